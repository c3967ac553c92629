from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2deploy.media import drawing
from mnv2deploy.media.draw_detections import draw_detections
from mnv2deploy.media.drawing import class_colour, text_colour
from mnv2deploy.runtime.results import Box, Detection, DetectionResult

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def draw(width: int, height: int, *detections: Detection, grey: int = 128) -> tuple[np.ndarray, np.ndarray]:
    before = np.full((height, width, 3), grey, np.uint8)
    return before, draw_detections(before, DetectionResult(width, height, detections))


def found(box: Box, label: str = "cat", class_id: int = 17, score: float = 0.9) -> Detection:
    return Detection(label, class_id, score, box)


def plates(image: np.ndarray, class_id: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of all that has the class's colour."""
    ys, xs = np.nonzero((image == class_colour(class_id)).all(axis=2))
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def test_leaves_the_picture_it_was_given_alone() -> None:
    before, after = draw(100, 80, found((20, 40, 60, 70)))
    assert (before == 128).all()
    assert after.shape == before.shape
    assert after.dtype == np.uint8
    assert (after != before).any()


def test_draws_nothing_where_nothing_was_found() -> None:
    before, after = draw(100, 80)
    np.testing.assert_array_equal(after, before)
    assert after is not before


def test_draws_into_a_read_only_view_of_a_picture_too() -> None:
    view = np.full((160, 100, 3), 128, np.uint8)[::2]
    view.flags.writeable = False
    after = draw_detections(view, DetectionResult(100, 80, (found((20, 40, 60, 70)),)))
    np.testing.assert_array_equal(after, draw(100, 80, found((20, 40, 60, 70)))[1])


def test_draws_the_box_in_its_classs_colour_and_nothing_inside_it() -> None:
    _, after = draw(640, 480, found((200, 150, 400, 350)))
    for x, y in ((200, 250), (400, 250), (300, 150), (300, 350)):
        assert tuple(after[y, x]) == class_colour(17)
    assert (after[160:340, 210:390] == 128).all()


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (5, 3), (64, 64), (2000, 3), (3, 2000), (300, 300), (640, 480), (6000, 4000)]
)
@pytest.mark.parametrize("label", ["cat", "", "a very long name of a class that no small picture can hold", "犬 ñ\n"])
def test_draws_in_pictures_of_any_size(width: int, height: int, label: str) -> None:
    for box in ((0, 0, width, height), (width - 1, height - 1, width, height), (0, 0, 0, 0)):
        before, after = draw(width, height, found(box, label))
        assert after.shape == before.shape


@pytest.mark.parametrize(("width", "height"), [(64, 64), (640, 480), (6000, 4000)])
def test_text_grows_with_the_picture_and_stays_readable(width: int, height: int) -> None:
    box = (0.4 * width, 0.5 * height, 0.45 * width, 0.55 * height)
    _, after = draw(width, height, found(box, "cat"))
    plate_height = int(0.5 * height) - plates(after, 17)[1]
    assert max(9, 0.02 * height) <= plate_height <= max(14, 0.06 * height)


@settings(deadline=None, max_examples=40)
@given(
    corner=st.tuples(st.floats(0, 320), st.floats(0, 240)),
    size=st.tuples(st.floats(0, 320), st.floats(0, 240)),
)
def test_plates_stay_whole_inside_the_picture(corner: tuple[float, float], size: tuple[float, float]) -> None:
    (x, y), (w, h) = corner, size
    _, reference = draw(320, 240, found((150, 100, 150, 100)))
    _, after = draw(320, 240, found((x, y, min(x + w, 320), min(y + h, 240))))
    letters = np.array(text_colour(class_colour(17)))
    assert (after == letters).all(axis=2).sum() == (reference == letters).all(axis=2).sum()


def letter_pixels(image: np.ndarray) -> int:
    return int(((image == BLACK) | (image == WHITE)).all(axis=2).sum())


def test_plates_of_one_place_do_not_hide_each_other() -> None:
    box = (250, 200, 400, 300)
    detections = [found(box, "person", class_id, 0.9 - class_id / 10) for class_id in range(1, 7)]
    _, together = draw(640, 480, *detections)
    assert letter_pixels(together) == sum(letter_pixels(draw(640, 480, one)[1]) for one in detections)


def test_the_most_certain_detection_is_on_top() -> None:
    box = (20, 40, 60, 70)
    _, after = draw(100, 80, found(box, "cat", 1, 0.9), found(box, "cat", 2, 0.3))
    assert tuple(after[55, 20]) == class_colour(1)


@pytest.mark.skipif(drawing._FONT_IS_ASCII, reason="this OpenCV draws ASCII only")
def test_letters_of_other_scripts_are_drawn() -> None:
    box = (200, 150, 400, 350)
    _, dog = draw(640, 480, found(box, "犬"))
    _, unknown = draw(640, 480, found(box, "?"))
    assert (dog != unknown).any()
