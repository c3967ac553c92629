from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mnv2deploy.errors import InputError
from mnv2deploy.media.sources import find_sources, read_sources
from mnv2deploy.runtime import images


def put(path: Path, value: int = 0) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path.with_suffix(".png")), np.full((2, 3, 3), value, np.uint8))
    path.with_suffix(".png").rename(path)
    return str(path)


def test_takes_files_and_the_pictures_of_folders_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in ("b.JPG", "a.png", "c.webp", "deeper/d.png", ".hidden.png", "notes.txt"):
        put(folder / name)
    (folder / "folder.png").mkdir()
    single = put(tmp_path / "z.dat")
    found = [source.name for source in find_sources([single, str(folder), single])]
    assert found == [single, *(str(folder / name) for name in ("a.png", "b.JPG", "c.webp")), single]


@pytest.mark.parametrize("inside", [(), ("notes.txt",), ("deeper/a.png",)])
def test_a_folder_without_pictures_is_an_input_error(tmp_path: Path, inside: tuple[str, ...]) -> None:
    for name in inside:
        put(tmp_path / "folder" / name)
    (tmp_path / "folder").mkdir(exist_ok=True)
    ((name, answer),) = read_sources(find_sources([str(tmp_path / "folder")]))
    assert name == str(tmp_path / "folder")
    assert isinstance(answer, InputError)
    assert "no pictures" in str(answer)


def test_one_bad_picture_stops_no_other(tmp_path: Path) -> None:
    good, last = put(tmp_path / "good.png", 9), put(tmp_path / "last.png", 7)
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "empty").mkdir()
    arguments = [str(tmp_path / "absent.jpg"), good, str(tmp_path / "bad.jpg"), str(tmp_path / "empty"), last]
    answers = list(read_sources(find_sources(arguments)))
    assert [name for name, _ in answers] == arguments
    assert [isinstance(answer, InputError) for _, answer in answers] == [True, False, True, True, False]
    assert [int(answer[0, 0, 0]) for _, answer in answers if not isinstance(answer, InputError)] == [9, 7]


def test_reads_a_picture_only_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [put(tmp_path / f"{number}.png") for number in range(3)]
    read: list[str] = []
    real = images.read
    monkeypatch.setattr(images, "read", lambda path: (read.append(path.name), real(path))[1])
    pictures = read_sources(find_sources(names))
    assert read == []
    next(pictures)
    assert read == ["0.png"]
