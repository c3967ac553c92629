"""Pictures as bytes: what the graph would have been given as floats, before the normalisation it does itself."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2deploy.contract import Input, Preprocessing
from mnv2deploy.runtime import images
from mnv2deploy.runtime.preprocessing import prepare

FLOATS = Input(name="image", layout="NCHW", dtype="float32", height=224, width=192)
BYTES = dataclasses.replace(FLOATS, layout="NHWC", dtype="uint8")
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
RESIZES = {"stretch": {}, "centre_crop": {"shorter_side": 256}, "pad": {"pad_value": 37.0}}
KINDS = list(itertools.product(RESIZES, ("bilinear", "antialias")))


def agree(picture: np.ndarray, floats: Input, how: Preprocessing) -> None:
    """The float tensor is ``(bytes - mean) / std`` with the channels first, to the last bit."""
    as_bytes = dataclasses.replace(floats, layout="NHWC", dtype="uint8")
    before = picture.copy()
    found = prepare(picture, as_bytes, dataclasses.replace(how, mean=(0.0,) * 3, std=(1.0,) * 3))
    assert found.dtype == np.uint8
    assert found.shape == (1, floats.height, floats.width, 3)
    assert found.flags.c_contiguous
    assert not np.shares_memory(found, picture)
    assert np.array_equal(picture, before)
    expected = ((found.astype(np.float64) - how.mean) / how.std).astype(np.float32).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(prepare(picture, floats, how), expected, strict=True)


def preprocessing(resize: str, interpolation: str, **values: object) -> Preprocessing:
    rest = {"colour": "rgb", "mean": MEAN, "std": STD, **RESIZES[resize], **values}
    return Preprocessing(resize=resize, interpolation=interpolation, **rest)


@pytest.mark.parametrize(("resize", "interpolation"), KINDS)
def test_photos_as_bytes_are_what_their_floats_were_made_of(resize, interpolation, photos) -> None:
    for photo in list(photos.values())[:3]:
        agree(images.read(photo), FLOATS, preprocessing(resize, interpolation))


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    kind=st.sampled_from(KINDS),
    picture=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 99),
    grey=st.integers(0, 255),
)
def test_pictures_of_any_size_as_bytes_are_what_their_floats_were_made_of(kind, picture, size, seed, grey) -> None:
    floats = dataclasses.replace(FLOATS, height=size[0], width=size[1])
    values = {"shorter_side": max(size) + seed % 5} if kind[0] == "centre_crop" else {}
    values |= {"pad_value": float(grey)} if kind[0] == "pad" else {}
    noise = np.random.default_rng(seed).integers(0, 256, (*picture, 3), np.uint8)
    agree(noise, floats, preprocessing(*kind, **values))


def test_a_picture_of_the_right_size_is_passed_on_in_its_own_colours_and_places() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (224, 192, 3), np.uint8)
    for kind in (("stretch", "bilinear"), ("stretch", "antialias"), ("pad", "bilinear")):
        how = preprocessing(*kind, mean=(0.0,) * 3, std=(1.0,) * 3)
        np.testing.assert_array_equal(prepare(noise, BYTES, how)[0], noise, strict=True)


def test_padding_is_grey_below_and_on_the_right() -> None:
    how = preprocessing("pad", "bilinear", mean=(0.0,) * 3, std=(1.0,) * 3)
    wide, tall = (prepare(np.full((*size, 3), 200, np.uint8), BYTES, how)[0] for size in ((50, 96), (112, 24)))
    assert (wide[:100] == 200).all()
    assert (wide[100:] == 37).all()
    assert (tall[:, :48] == 200).all()
    assert (tall[:, 48:] == 37).all()
