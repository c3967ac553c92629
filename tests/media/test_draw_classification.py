from __future__ import annotations

import numpy as np
import pytest

from mnv2deploy.media.draw_classification import _BAR, draw_classification
from mnv2deploy.runtime.results import ClassificationResult, ClassScore


def draw(width: int, height: int, *classes: tuple[str, float], grey: int = 128) -> np.ndarray:
    scores = tuple(ClassScore(label, index, score) for index, (label, score) in enumerate(classes))
    before = np.full((height, width, 3), grey, np.uint8)
    return draw_classification(before, ClassificationResult(width, height, scores))


def changed(image: np.ndarray, grey: int = 128) -> tuple[int, int]:
    """Width and height of the part in the upper left corner outside of which nothing was drawn."""
    ys, xs = np.nonzero((image != grey).any(axis=2))
    assert (xs.min(), ys.min()) == (0, 0)
    return int(xs.max()) + 1, int(ys.max()) + 1


def bars(image: np.ndarray) -> list[int]:
    """Lengths of the bars from the top down: of runs of rows that begin with the bars' colour."""
    blue = (image == _BAR).all(axis=2)
    first = int(np.flatnonzero(blue.any(axis=0))[0])
    starts = np.flatnonzero(np.diff(blue[:, first].astype(int), prepend=0) == 1)
    return [int(np.flatnonzero(blue[row])[-1]) - first + 1 for row in starts]


def test_leaves_the_picture_it_was_given_alone() -> None:
    before = np.full((160, 200, 3), 128, np.uint8)[::2]
    before.flags.writeable = False
    after = draw_classification(before, ClassificationResult(200, 80, (ClassScore("cat", 1, 0.5),)))
    assert (before == 128).all()
    assert after.shape == before.shape
    assert after.dtype == np.uint8
    assert (after != before).any()


def test_draws_nothing_of_no_classes() -> None:
    assert (draw(200, 100) == 128).all()


@pytest.mark.parametrize(("width", "height"), [(200, 150), (640, 480), (6000, 4000)])
def test_bars_are_as_long_as_the_scores(width: int, height: int) -> None:
    whole, half, tenth = bars(draw(width, height, ("a", 1.0), ("b", 0.5), ("c", 0.1)))
    assert half == pytest.approx(whole / 2, abs=1)
    assert tenth == pytest.approx(whole / 10, abs=1)
    assert whole == pytest.approx(0.3 * width, rel=0.15)  # short labels still leave the bars some length


@pytest.mark.parametrize(("width", "height"), [(64, 64), (640, 480), (6000, 4000), (900, 60)])
def test_the_panel_leaves_a_third_of_the_picture_free_and_its_text_is_readable(width: int, height: int) -> None:
    _, five = changed(draw(width, height, *[("a long label of a class", 0.2)] * 5))
    _, one = changed(draw(width, height, ("a long label of a class", 0.2)))
    assert five <= 2 / 3 * height
    assert one >= max(9, min(0.02 * (width + height) / 2, height / 5))


def test_a_small_picture_has_the_likeliest_classes() -> None:
    classes = [("one", 0.9), ("two", 0.5), ("three", 0.2), ("four", 0.1), ("five", 0.05)]
    np.testing.assert_array_equal(draw(64, 64, *classes), draw(64, 64, *classes[:3]))
    assert (draw(128, 128, *classes) != draw(128, 128, *classes[:4])).any()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 3), (2000, 3), (3, 2000), (20, 300), (64, 10), (64, 14)])
@pytest.mark.parametrize("label", ["cat", "", "a very long name of a class that no small picture can hold", "犬 ñ\n"])
def test_draws_in_pictures_of_any_size(width: int, height: int, label: str) -> None:
    assert draw(width, height, (label, 1.0), (label, 0.0)).shape == (height, width, 3)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 3), (2000, 3), (3, 2000), (64, 8)])
def test_nothing_is_drawn_where_nothing_could_be_read(width: int, height: int) -> None:
    assert (draw(width, height, ("mouse", 1.0), ("cat", 0.0)) == 128).all()


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_letters_are_white_on_dark_over_any_picture(grey: int) -> None:
    width, height = changed(draw(640, 480, ("mmmmmmmm", 0.0)))
    panel = draw(640, 480, ("mmmmmmmm", 0.0), grey=grey)[:height, :width]
    assert (panel > 200).all(axis=2).sum() > 20
    assert np.median(panel) <= 72  # 9 to 1 in contrast with white


def test_a_class_without_a_name_keeps_its_row() -> None:
    first, _, last = bars(draw(640, 480, ("a", 1.0), ("", 0.5), ("b", 0.25)))
    assert last == pytest.approx(first / 4, abs=1)
