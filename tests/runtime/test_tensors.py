from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mnv2deploy import contract
from mnv2deploy.runtime.preprocessing import fitted_size, prepare, to_tensor
from mnv2deploy.runtime.resizing import resize

INPUT = contract.Input(name="input", layout="NCHW", dtype="float32", height=30, width=20)
PREPROCESSING = contract.Preprocessing(
    resize="stretch",
    interpolation="bilinear",
    colour="rgb",
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
)
NOISE = np.random.default_rng(3).integers(0, 256, (37, 53, 3), np.uint8)


@settings(deadline=None, max_examples=50)
@given(
    mean=st.tuples(*[st.floats(0, 255)] * 3),
    std=st.tuples(*[st.floats(0.5, 255)] * 3),
)
def test_normalises_as_exactly_as_float32_can(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    tensor = to_tensor(NOISE, mean, std)
    expected = ((NOISE.astype(np.float64) - mean) / std).transpose(2, 0, 1)[None]
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    np.testing.assert_allclose(tensor, expected, rtol=1e-6, atol=1e-30)


def test_normalises_a_view_of_a_picture_too() -> None:
    view = NOISE[5:25:2, ::-1]
    np.testing.assert_array_equal(to_tensor(view, (0, 0, 0), (1, 1, 1))[0].transpose(1, 2, 0), view)


def half_pixel_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The textbook: output centres mapped to input centres, the edge repeated, no antialiasing."""
    for axis, size in ((0, height), (1, width)):
        old = image.shape[axis]
        centres = ((np.arange(size) + 0.5) * old / size - 0.5).clip(0, old - 1)
        low = np.floor(centres).astype(int)
        weight = (centres - low).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        following = np.minimum(low + 1, old - 1)
        image = image.take(low, axis) * (1 - weight) + image.take(following, axis) * weight
    return image


@pytest.mark.parametrize(
    ("height", "width"),
    [(37, 53), (20, 20), (60, 90), (1, 1), (300, 300)],  # as it is, smaller, larger, one pixel, a network's
)
def test_stretches_bilinearly_with_half_pixel_centres(height: int, width: int) -> None:
    resized = resize(NOISE, height, width, "bilinear")
    assert resized.shape == (height, width, 3)
    assert np.abs(resized - half_pixel_bilinear(NOISE.astype(float), height, width)).max() <= 1.01


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 2000, 3), (40_000, 2, 3)])
def test_stretches_pictures_of_any_shape(shape: tuple[int, ...]) -> None:
    assert (resize(np.full(shape, 77, np.uint8), 30, 20, "bilinear") == 77).all()


def test_prepares_what_the_contract_says() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[:] = (255, 128, 0)
    tensor = prepare(image, INPUT, PREPROCESSING)
    assert tensor.shape == (1, 3, 30, 20)
    expected = [(255 - 123.675) / 58.395, (128 - 116.28) / 57.12, -103.53 / 57.375]
    np.testing.assert_allclose(tensor[0].reshape(3, -1).T, [expected] * 600, rtol=1e-6)


PILS = {"antialias": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@pytest.mark.parametrize("interpolation", PILS)
@settings(deadline=None, max_examples=60)
@given(height=st.integers(1, 90), width=st.integers(1, 90), new_height=st.integers(1, 70), new_width=st.integers(1, 70))
def test_antialiased_resize_is_pils(
    interpolation: str, height: int, width: int, new_height: int, new_width: int
) -> None:
    image = np.random.default_rng(height * 91 + width).integers(0, 256, (height, width, 3), np.uint8)
    # Across first, as we and PIL to its twelfth version do; since, which pass comes first depends on the sizes.
    across = Image.fromarray(image).resize((new_width, height), PILS[interpolation])
    expected = np.asarray(across.resize((new_width, new_height), PILS[interpolation])).astype(int)
    difference = np.abs(resize(image, new_height, new_width, interpolation) - expected)
    # Both round to 8 bits between the two passes, and a tie that goes the other way there may cost one more.
    assert difference.max() <= 2
    assert difference.mean() <= 0.1


def test_bicubic_overshoots_are_cut_off_as_pils_are() -> None:
    """Beside an edge the sums leave 0 to 255, before the second pass and after it."""
    image = np.zeros((40, 40, 3), np.uint8)
    image[10:30, 15:] = 255
    for size in (25, 40, 90):
        expected = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)).astype(int)
        found = resize(image, size, size, "bicubic")
        assert np.abs(found - expected).max() <= 1
        assert {0, 255} <= set(found.ravel().tolist())


@pytest.mark.parametrize("interpolation", PILS)
def test_antialiased_resize_of_a_large_picture_is_pils(interpolation: str) -> None:
    """More than one chunk, and a part of it is that part of the whole."""
    image = np.random.default_rng(5).integers(0, 256, (1500, 2200, 3), np.uint8)
    expected = np.asarray(Image.fromarray(image).resize((375, 256), PILS[interpolation])).astype(int)
    whole = resize(image, 256, 375, interpolation)
    assert np.abs(whole - expected).max() <= 1
    difference = np.abs(resize(image, 256, 375, interpolation, (16, 75, 224, 223)) - whole[16:240, 75:298].astype(int))
    assert difference.max() <= 1
    assert difference.mean() < 1e-4  # sums of the same numbers in another order


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 333), (256, 256), (299, 299), (100, 90)])
def test_centre_crop_is_torchvisions(height: int, width: int) -> None:
    """Resize(256) and CenterCrop(224) by PIL, the longer side cut to whole pixels, the crop's place rounded."""
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    size = (256, 256 * height // width) if width <= height else (256 * width // height, 256)
    resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
    expected = np.asarray(resized.crop((left, top, left + 224, top + 224)))
    square = dataclasses.replace(INPUT, height=224, width=224)
    how = dataclasses.replace(
        PREPROCESSING, resize="centre_crop", shorter_side=256, interpolation="antialias", mean=(0, 0, 0), std=(1, 1, 1)
    )
    tensor = prepare(image, square, how)
    assert np.abs(tensor[0].transpose(1, 2, 0) - expected).max() <= 1


@pytest.mark.parametrize(
    ("height", "width", "fitted"), [(60, 40, (30, 20)), (10, 40, (5, 20)), (90, 10, (30, 3)), (4000, 1, (30, 1))]
)
def test_padding_keeps_the_aspect_ratio_and_fills_the_rest(height: int, width: int, fitted: tuple[int, int]) -> None:
    how = dataclasses.replace(PREPROCESSING, resize="pad", pad_value=127.5)
    tensor = prepare(np.full((height, width, 3), 200, np.uint8), INPUT, how)
    assert fitted_size(height, width, INPUT) == fitted
    rows, columns = fitted
    inside = np.zeros((30, 20), bool)
    inside[:rows, :columns] = True
    for plane, mean, std in zip(tensor[0], how.mean, how.std, strict=True):
        np.testing.assert_allclose(plane[inside], (200 - mean) / std, rtol=1e-6)
        np.testing.assert_allclose(plane[~inside], (127.5 - mean) / std, rtol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"std": (1.0, 0.0, 1.0)},
        {"shorter_side": 256},
        {"resize": "centre_crop"},
        {"resize": "pad"},
        {"pad_value": 0.0},
    ],
)
def test_preprocessing_that_contradicts_itself_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="std|shorter_side|pad_value"):
        dataclasses.replace(PREPROCESSING, **change)
