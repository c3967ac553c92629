"""Masks against full interpolation in float64, against torch, and where the shortcuts could go wrong."""

import tracemalloc

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional as F

from mnv2deploy.runtime.masks import axis_positions, upsample_argmax

Array = NDArray[np.float64]

# Of the largest logit: an interpolated value is seven float32 roundings of 6e-8 away from the exact one, at most.
TOLERANCE = 1e-6


def interpolate(logits: NDArray[np.float32], rows: Array, columns: Array) -> Array:
    """Every class at every sample, (C, H, W) float64: two matrix products with hat functions."""
    down, across = (
        np.stack([np.interp(positions, np.arange(points), hat) for hat in np.eye(points)], axis=1)
        for positions, points in ((rows, logits.shape[1]), (columns, logits.shape[2]))
    )
    return np.einsum("yi,cij,xj->cyx", down, logits.astype(np.float64), across, optimize=True)


def assert_best(mask: NDArray[np.unsignedinteger], values: Array) -> None:
    """The class chosen is the best or, where others come within the tolerance of it, one of those."""
    assert mask.shape == values.shape[1:]
    chosen = np.take_along_axis(values, mask[None].astype(np.intp), axis=0)[0]
    assert np.max(values.max(axis=0) - chosen) <= TOLERANCE * np.abs(values).max(initial=1)


def upsample(logits: NDArray[np.float32], height: int, width: int, align_corners: bool) -> NDArray[np.unsignedinteger]:
    return upsample_argmax(
        logits,
        axis_positions(logits.shape[1], height, align_corners=align_corners),
        axis_positions(logits.shape[2], width, align_corners=align_corners),
    )


def smooth(shape: tuple[int, int, int], seed: int, blur: float) -> NDArray[np.float32]:
    """Logits that hang together, as a network's do."""
    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return np.stack([cv2.GaussianBlur(plane, (0, 0), blur) for plane in noise])


@st.composite
def grids(draw: st.DrawFn) -> NDArray[np.float32]:
    shape = draw(st.sampled_from([1, 2, 3, 5, 21, 40])), draw(st.integers(1, 14)), draw(st.integers(1, 14))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["noise", "smooth", "few values", "far apart", "close together"]))
    logits = {
        "noise": lambda: random.standard_normal(shape),
        "smooth": lambda: smooth(shape, int(random.integers(2**31)), 2.0),
        "few values": lambda: random.integers(-1, 2, shape),
        "far apart": lambda: random.standard_normal(shape) * 10.0 ** random.integers(-6, 7, (shape[0], 1, 1)),
        "close together": lambda: 1000 + random.standard_normal(shape) / 100,
    }[kind]()
    layout = draw(st.sampled_from(["planes", "channels last", "upside down", "every other column"]))
    logits = logits.astype(np.float32)
    if layout == "channels last":
        return np.ascontiguousarray(logits.transpose(1, 2, 0)).transpose(2, 0, 1)
    if layout == "upside down":
        return logits[::-1, ::-1]
    return logits if layout == "planes" else np.repeat(logits, 2, axis=2)[:, :, ::2]


@settings(max_examples=400, deadline=None)
@given(grids(), st.integers(1, 90), st.integers(1, 90), st.booleans())
def test_every_pixel_is_the_argmax_of_full_interpolation(
    logits: NDArray[np.float32], height: int, width: int, align_corners: bool
) -> None:
    rows = axis_positions(logits.shape[1], height, align_corners=align_corners)
    columns = axis_positions(logits.shape[2], width, align_corners=align_corners)
    assert_best(upsample_argmax(logits, rows, columns), interpolate(logits, rows, columns))


@settings(max_examples=150, deadline=None)
@given(
    grids(),
    *[st.lists(st.floats(-3, 17), min_size=1, max_size=60).map(lambda positions: np.array(positions, np.float64))] * 2,
)
def test_positions_may_lie_anywhere_and_in_any_order(logits: NDArray[np.float32], rows: Array, columns: Array) -> None:
    assert_best(upsample_argmax(logits, rows, columns), interpolate(logits, rows, columns))


@settings(max_examples=100, deadline=None)
@given(grids())
def test_at_grid_points_it_is_numpys_argmax_ties_included(logits: NDArray[np.float32]) -> None:
    rows, columns = (np.arange(points, dtype=np.float64) for points in logits.shape[1:])
    np.testing.assert_array_equal(upsample_argmax(logits, rows, columns), logits.argmax(axis=0))


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    ("grid", "size"),
    [
        ((65, 65), (513, 513)),  # DeepLab
        ((16, 32), (128, 256)),  # by 8
        ((33, 17), (100, 301)),  # by no whole number
        ((40, 60), (17, 23)),  # down
        ((40, 6), (17, 99)),  # down and up
        ((9, 9), (9, 9)),  # as it is
        ((1, 1), (8, 5)),
        ((1, 7), (9, 1)),
        ((5, 6), (1, 1)),
    ],
)
def test_it_samples_where_torch_does(grid: tuple[int, int], size: tuple[int, int], align_corners: bool) -> None:
    logits = smooth((21, *grid), 0, 1.5)
    tensor = torch.from_numpy(logits).double()[None]
    full = F.interpolate(tensor, size, mode="bilinear", align_corners=align_corners)[0]
    assert_best(upsample(logits, *size, align_corners), full.numpy())


def test_a_class_that_leads_at_no_grid_point_can_win_between_them() -> None:
    logits = np.array([[[3, 0]], [[0, 3]], [[2, 2]]], np.float32)
    np.testing.assert_array_equal(upsample(logits, 1, 5, True), [[0, 0, 2, 1, 1]])


def test_the_lowest_of_equal_classes_wins() -> None:
    assert not upsample(np.full((4, 5, 6), 0.1, np.float32), 31, 47, False).any()
    twins = smooth((6, 12, 12), 1, 2.0)
    twins[1] += 0.2
    twins[4] = twins[1]
    mask = upsample(twins, 97, 101, False)
    assert (mask == 1).any()
    assert not (mask == 4).any()


@pytest.mark.parametrize(("classes", "dtype"), [(1, np.uint8), (256, np.uint8), (257, np.uint16), (300, np.uint16)])
def test_the_mask_is_as_narrow_as_the_classes_allow(classes: int, dtype: type) -> None:
    logits = smooth((classes, 6, 7), 2, 1.0)
    logits[-1, :3] += 9
    mask = upsample(logits, 50, 60, False)
    assert mask.dtype == dtype
    assert mask[0, 0] == classes - 1
    rows, columns = (axis_positions(points, size, align_corners=False) for points, size in ((6, 50), (7, 60)))
    assert_best(mask, interpolate(logits, rows, columns))


def test_the_logits_are_left_as_they_were() -> None:
    logits = smooth((3, 8, 8), 3, 1.0)
    logits.flags.writeable = False
    before = logits.copy()
    upsample(logits, 64, 64, True)
    np.testing.assert_array_equal(logits, before)


def test_the_padding_is_cut_off() -> None:
    logits = smooth((21, 65, 65), 4, 1.5)
    whole = upsample(logits, 513, 513, True)
    rows = axis_positions(65, 513, align_corners=True, valid=342)
    columns = axis_positions(65, 513, align_corners=True)
    np.testing.assert_array_equal(upsample_argmax(logits, rows, columns), whole[:342])


@pytest.mark.parametrize(
    ("valid", "target"),
    [
        ((385, 513), (375, 500)),  # VOC
        ((513, 342), (1536, 1024)),  # a photo three times as large
        ((288, 513), (90, 160)),  # a picture smaller than the input
        ((385, 513), (385, 513)),
        ((1, 513), (2, 700)),
    ],
)
def test_one_step_to_the_picture_is_two_steps_by_way_of_the_input(
    valid: tuple[int, int], target: tuple[int, int]
) -> None:
    logits = smooth((21, 65, 65), 5, 1.5)
    tensor = torch.from_numpy(logits).double()[None]
    in_input = F.interpolate(tensor, (513, 513), mode="bilinear", align_corners=True)[:, :, : valid[0], : valid[1]]
    in_picture = F.interpolate(in_input, target, mode="bilinear", align_corners=False)[0]
    rows, columns = (
        axis_positions(65, 513, align_corners=True, valid=part, target=size)
        for part, size in zip(valid, target, strict=True)
    )
    assert_best(upsample_argmax(logits, rows, columns), in_picture.numpy())


def test_positions_are_those_of_the_formulas() -> None:
    np.testing.assert_array_equal(axis_positions(65, 513, align_corners=True), np.arange(513) / 8)
    np.testing.assert_array_equal(axis_positions(3, 6, align_corners=False), [-0.25, 0.25, 0.75, 1.25, 1.75, 2.25])
    np.testing.assert_array_equal(axis_positions(9, 1, align_corners=True), [0])
    # The first pixel of a picture shrunk by two lies between the input's pixels 0 and 1, its last between 2 and 3.
    halved = axis_positions(65, 513, align_corners=True, valid=4, target=2)
    np.testing.assert_array_equal(halved, [0.5 / 8, 2.5 / 8])
    # Enlarged, the borders repeat: nothing is taken from the padding.
    doubled = axis_positions(65, 513, align_corners=True, valid=2, target=4)
    np.testing.assert_array_equal(doubled, [0, 0.25 / 8, 0.75 / 8, 1 / 8])


def memory_beside_the_mask(logits: NDArray[np.float32], height: int, width: int) -> int:
    tracemalloc.start()
    try:
        mask = upsample(logits, height, width, False)
        return tracemalloc.get_traced_memory()[1] - mask.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("blur", [0.01, 5.0])  # noise, where every cell is mixed, and logits as they are
def test_memory_stays_near_the_size_of_the_mask(blur: float) -> None:
    assert memory_beside_the_mask(smooth((19, 128, 256), 6, blur), 1024, 2048) < 2.5 * 1024 * 2048
    # one cell under all of the mask
    assert memory_beside_the_mask(smooth((3, 2, 2), 6, blur), 2048, 2048) < 1.5 * 2048 * 2048
