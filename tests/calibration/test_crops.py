"""Where random crops lie, and what is cut out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import positions

from mnv2deploy.calibration.crops import Crop, cut, draw_crop
from mnv2deploy.calibration.recipe import Crops

CROPS = Crops(count=128, least_scale=0.3)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**70),
    index=st.integers(0, 10_000),
    least=st.floats(0.01, 1),
    height=st.integers(1, 5000),
    width=st.integers(1, 5000),
)
def test_a_crop_lies_inside_the_photo_and_is_not_empty(
    seed: int, index: int, least: float, height: int, width: int
) -> None:
    crop = draw_crop(Crops(count=4, seed=seed, least_scale=least), index, height, width)
    left, top, right, bottom = crop.box
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_crops_have_the_shares_and_shapes_asked_for() -> None:
    height, width = 1000, 1300
    boxes = np.array([draw_crop(CROPS, index, height, width).box for index in range(2000)], float)
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    share, aspect = wide * high / (height * width), wide / high
    assert share.min() > 0.299
    assert share.min() < 0.32
    assert share.max() > 0.9
    assert aspect.min() > 0.749
    assert aspect.max() < 1.335
    assert aspect.min() < 0.77  # as tall ones fit into this photo
    assert aspect.max() > 1.31
    for start, size, side in ((boxes[:, 0], wide, width), (boxes[:, 1], high, height)):
        place = start / (side - size + 1)  # from one border to the other, evenly
        assert np.abs(np.histogram(place, 4, (0, 1))[0] / 500 - 1).max() < 0.15


def test_half_are_flipped_unless_none_are_to_be() -> None:
    flipped = [draw_crop(CROPS, index, 300, 400).flipped for index in range(1000)]
    assert 430 < sum(flipped) < 570
    upright = dataclasses.replace(CROPS, flip=False)
    assert not any(draw_crop(upright, index, 300, 400).flipped for index in range(1000))
    # Only the flips go: the boxes stay.
    assert [draw_crop(upright, index, 300, 400).box for index in range(50)] == [
        draw_crop(CROPS, index, 300, 400).box for index in range(50)
    ]


def test_seed_and_index_each_make_other_crops() -> None:
    boxes = {
        draw_crop(dataclasses.replace(CROPS, seed=seed), i, 3000, 4000).box for seed in range(20) for i in range(20)
    }
    assert len(boxes) == 400


def test_a_photo_too_long_for_the_shapes_is_taken_whole() -> None:
    crop = draw_crop(dataclasses.replace(CROPS, least_scale=0.9), 0, 100, 5000)
    assert crop.box == (0, 0, 5000, 100)


@pytest.mark.parametrize("flipped", [False, True])
def test_what_is_cut_is_what_the_box_says(flipped: bool) -> None:
    piece = cut(positions(100, 200), Crop((20, 30, 170, 90), flipped), 150)
    assert piece.shape == (60, 150, 3)
    assert piece.flags.c_contiguous
    columns = np.arange(20, 170)
    assert (piece[:, :, 0] == (columns[::-1] if flipped else columns)).all()
    assert (piece[:, :, 1] == np.arange(30, 90)[:, None]).all()


def test_a_longer_side_is_shrunk_to_the_limit_by_averaging() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    piece = cut(photo, Crop((0, 0, 128, 64), False), 32)
    means = photo.reshape(16, 4, 32, 4, 3).mean(axis=(1, 3))
    assert piece.shape == (16, 32, 3)
    assert np.abs(piece - means).max() <= 0.5
    assert cut(photo, Crop((0, 0, 1, 64), False), 32).shape == (32, 1, 3)
