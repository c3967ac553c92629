from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2deploy import contract
from mnv2deploy.errors import ModelError
from mnv2deploy.runtime.images import prepare, resize, to_tensor

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


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("input", "layout", "NHWC"),
        ("input", "dtype", "uint8"),
        ("preprocessing", "resize", "letterbox"),
        ("preprocessing", "interpolation", "bicubic"),
        ("preprocessing", "colour", "bgr"),
    ],
)
def test_refuses_a_contract_it_does_not_know(part: str, field: str, value: str) -> None:
    changed = {"input": INPUT, "preprocessing": PREPROCESSING}
    changed[part] = dataclasses.replace(changed[part], **{field: value})
    with pytest.raises(ModelError, match=f"{field} '{value}'"):
        prepare(NOISE, changed["input"], changed["preprocessing"])
