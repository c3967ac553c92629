"""The size a picture will have is known before it is decoded, whichever way the camera was held."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mnv2deploy.errors import InputError
from mnv2deploy.evaluation import pictures
from mnv2deploy.evaluation.pictures import picture_files, upright_size
from mnv2deploy.runtime import images

ORIENTATION = 0x0112


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_the_size_is_that_of_the_picture_when_it_is_read(suffix, orientation, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION] = orientation
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path, exif=exif)
    turned = orientation is not None and orientation >= 5
    assert upright_size(path) == images.read(path).shape[:2] == ((30, 20) if turned else (20, 30))


def test_an_ordinary_picture_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.jpg", "a.png", "a.bmp", "a.gif", "a.webp"):
        Image.new("RGB", (9, 5)).save(tmp_path / name)
    monkeypatch.setattr(pictures.images, "read", lambda path: pytest.fail(f"{path} was decoded"))
    assert [upright_size(path) for path in picture_files(tmp_path)] == [(5, 9)] * 5


def test_awkward_files_have_the_size_they_are_read_with_or_are_refused_alike(data: Path) -> None:
    files = [path for path in sorted((data / "awkward").rglob("*")) if path.is_file()]
    assert len(files) > 300
    read = 0
    for path in files:
        try:
            expected = images.read(path).shape[:2]
        except InputError:
            continue  # what only decoding finds is found then
        assert upright_size(path) == expected, path
        read += 1
    assert read > 200


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("nothing to see")
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    for name in ("empty.png", "text.jpg", "cut.jpg", "gone.png"):
        with pytest.raises(InputError, match=name):
            upright_size(tmp_path / name)
