from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from mnv2deploy.catalog.cards import load_card
from mnv2deploy.media.masks import encode_mask_png

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def test_the_pixels_are_the_class_ids_and_the_palette_shows_their_colours() -> None:
    palette = {label.class_id: label.colour for label in load_card("deeplabv3-voc").labels}
    mask = np.arange(21, dtype=np.uint8).reshape(3, 7)
    picture = Image.open(io.BytesIO(encode_mask_png(mask, palette)))
    assert (picture.mode, picture.size) == ("P", (7, 3))
    np.testing.assert_array_equal(np.asarray(picture), mask)
    assert picture.getpalette()[: 3 * 21] == [part for class_id in range(21) for part in palette[class_id]]


@given(arrays.arrays(np.uint8, SHAPES))
def test_every_mask_comes_back(mask: np.ndarray) -> None:
    picture = Image.open(io.BytesIO(encode_mask_png(mask, {3: (1, 2, 3)})))
    assert picture.mode == "P"
    np.testing.assert_array_equal(np.asarray(picture), mask)


@given(arrays.arrays(np.uint16, SHAPES))
def test_ids_beyond_255_come_back_from_16_bit_grey(mask: np.ndarray) -> None:
    data = encode_mask_png(mask, {300: (1, 2, 3)})
    picture = Image.open(io.BytesIO(data))
    assert picture.mode == "I;16"
    np.testing.assert_array_equal(np.asarray(picture), mask)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), mask)


def test_opencv_reads_the_colours_as_documented() -> None:
    mask = np.array([[0, 1], [2, 1]], np.uint8)
    palette = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 64)}
    seen = cv2.imdecode(np.frombuffer(encode_mask_png(mask, palette), np.uint8), cv2.IMREAD_UNCHANGED)
    colours = np.array([palette[class_id] for class_id in range(3)])
    np.testing.assert_array_equal(seen[:, :, ::-1], colours[mask])


@pytest.mark.parametrize(
    ("mask", "palette", "expected"),
    [
        # an id without a colour is black; the palette reaches as far as ids or colours do
        ([[0, 9]], {0: (7, 7, 7)}, {0: (7, 7, 7), 9: (0, 0, 0)}),
        ([[0]], {5: (1, 2, 3)}, {5: (1, 2, 3), 4: (0, 0, 0)}),
        ([[255]], {}, {255: (0, 0, 0)}),
    ],
)
def test_gaps_in_the_palette_are_black(mask: list, palette: dict, expected: dict) -> None:
    data = encode_mask_png(np.array(mask, np.uint8), palette)
    picture = Image.open(io.BytesIO(data))
    entries = np.reshape(picture.getpalette(), (-1, 3))
    assert len(entries) == max(expected) + 1
    assert {index: tuple(entries[index].tolist()) for index in expected} == expected
    np.testing.assert_array_equal(np.asarray(picture), mask)


def test_the_order_in_memory_does_not_matter() -> None:
    mask = np.random.default_rng(0).integers(0, 21, (30, 50))
    for dtype in (np.uint8, np.uint16):
        plain = mask.astype(dtype)
        expected = encode_mask_png(plain, {})
        assert encode_mask_png(np.asfortranarray(plain), {}) == expected
        assert encode_mask_png(np.repeat(plain, 2, axis=1)[:, ::2], {}) == expected
