"""Runs over the awkward files of MNV2DEPLOY_DATA, which cannot all be made with OpenCV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mnv2deploy.errors import InputError
from mnv2deploy.runtime.images import decode, read

DATA = os.environ.get("MNV2DEPLOY_DATA")
pytestmark = pytest.mark.skipif(DATA is None, reason="MNV2DEPLOY_DATA is unset")
AWKWARD = Path(DATA or ".") / "awkward"


def awkward_files() -> Iterator[Path]:
    yield from (path for path in sorted(AWKWARD.rglob("*")) if path.is_file())


def test_answers_every_awkward_file_with_a_picture_or_an_input_error() -> None:
    resource = pytest.importorskip("resource", reason="needs getrusage")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decoded, messages = 0, []
    for path in awkward_files():
        try:
            image = read(path)
        except InputError as error:
            messages.append((str(path), str(error)))
            continue
        assert image.dtype == np.uint8, path
        assert image.ndim == 3, path
        assert image.shape[2] == 3, path
        decoded += 1
    assert decoded > 300
    assert all(message.startswith(path) for path, message in messages)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_sees_one_cat_in_every_format() -> None:
    """The same photograph, whatever it is stored as: only compression may differ."""
    cat = read(AWKWARD / "made" / "chelsea.bmp").astype(int)
    kinds = (
        "tif webp _animated.gif _animated.webp _cmyk.jpg _lossless.webp _palette.png _png_named.jpg _progressive.jpg"
    )
    for kind in (*kinds.split(), "_rgb16.png", *(f"_exif{n}.jpg" for n in range(1, 9))):
        same = read(AWKWARD / "made" / f"chelsea{kind if kind[0] == '_' else '.' + kind}")
        assert same.shape == cat.shape, kind
        assert np.abs(same - cat).mean() < 8, kind


@pytest.mark.parametrize("name", ["Landscape", "Portrait"])
def test_turns_all_orientations_of_a_photograph_alike(name: str) -> None:
    upright = read(AWKWARD / "exif" / f"{name}_1.jpg").astype(int)
    for orientation in range(2, 9):
        same = read(AWKWARD / "exif" / f"{name}_{orientation}.jpg")
        assert same.shape == upright.shape
        assert np.abs(same - upright).mean() < 12, orientation


def test_reads_cmyk_colours_as_colours() -> None:
    """Pillow's sample is inverted Adobe CMYK; Pillow's own conversion is within 2 of ours everywhere."""
    image = read(AWKWARD / "pillow" / "pil_sample_cmyk.jpg")
    np.testing.assert_allclose(image.mean(axis=(0, 1)), CMYK_MEAN, atol=1.5)


# Image.open(...).convert("RGB") of Pillow 13.0.0, mean of each channel.
CMYK_MEAN = (30.232, 5.444, 7.386)


@pytest.mark.parametrize("name", ["made/chelsea_truncated.jpg", "made/chelsea_truncated.png", "made/text_named.jpg"])
def test_names_the_broken_file(name: str) -> None:
    with pytest.raises(InputError, match=Path(name).name):
        decode((AWKWARD / name).read_bytes(), Path(name).name)
