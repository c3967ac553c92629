from __future__ import annotations

import numpy as np
import pytest

from mnv2deploy.media import draw_segmentation as module
from mnv2deploy.media.draw_segmentation import draw_segmentation
from mnv2deploy.media.drawing import class_colour
from mnv2deploy.runtime.results import Segment, SegmentationResult

CAT = (64, 0, 0)
NAMES = {0: ("background", (0, 0, 0)), 8: ("cat", CAT), 12: ("dog", (64, 0, 128)), 300: ("sea", None)}


def result_of(mask: np.ndarray, names: dict = NAMES) -> SegmentationResult:
    ids, counts = np.unique(mask, return_counts=True)
    segments = [
        Segment(names[int(k)][0], int(k), int(n), n / mask.size, names[int(k)][1])
        for k, n in zip(ids, counts, strict=True)
    ]
    ordered = tuple(sorted(segments, key=lambda one: -one.pixels))
    return SegmentationResult(mask.shape[1], mask.shape[0], mask, ordered)


def scene(height: int = 480, width: int = 640, dtype: type = np.uint8, class_id: int = 8) -> np.ndarray:
    """One class in the lower right quarter, but not to the border."""
    mask = np.zeros((height, width), dtype)
    mask[height // 2 : height * 9 // 10, width // 2 : width * 9 // 10] = class_id
    return mask


def draw(mask: np.ndarray, grey: int = 128, names: dict = NAMES) -> np.ndarray:
    return draw_segmentation(np.full((*mask.shape, 3), grey, np.uint8), result_of(mask, names))


def test_a_class_has_its_colour_and_the_background_is_left_alone() -> None:
    mask = scene()
    after = draw(mask)
    inside = after[260:420, 340:560].reshape(-1, 3)
    assert (inside == inside[0]).all()
    # a mixture of the picture's grey and the class's colour, the same in every channel
    share = (128.0 - inside[0]) / (128.0 - np.array(CAT))
    assert 0.4 < share.mean() < 0.7
    np.testing.assert_allclose(share, share.mean(), atol=0.01)
    assert (after[200:230, :] == 128).all()
    assert (after[:, 600:] == 128).all()


def test_the_border_between_classes_is_outlined_in_white() -> None:
    mask = scene()
    mask[240:432, 450:576] = 12
    after = draw(mask)
    for x, y in ((320, 300), (450, 300), (400, 240)):  # background and cat, cat and dog, background and cat
        assert (after[y - 2 : y + 3, x - 2 : x + 3] == 255).all(axis=2).any()


def test_a_class_without_a_colour_gets_the_one_of_its_id() -> None:
    after = draw(scene(dtype=np.uint16, class_id=300), grey=0)
    shown, wanted = after[300, 400].astype(float), np.array(class_colour(300))
    np.testing.assert_allclose(shown / shown.max(), wanted / wanted.max(), atol=0.02)


def test_16_and_8_bit_masks_are_drawn_alike() -> None:
    np.testing.assert_array_equal(draw(scene()), draw(scene(dtype=np.uint16)))


@pytest.mark.parametrize("empty", ["top left", "top right", "bottom left", "bottom right"])
def test_the_legend_stands_where_it_hides_nothing(empty: str) -> None:
    mask = np.full((480, 640), 8, np.uint8)
    rows = slice(0, 100) if "top" in empty else slice(380, 480)
    columns = slice(0, 200) if "left" in empty else slice(440, 640)
    mask[rows, columns] = 0
    after = draw(mask)
    corner = after[rows, columns][2:-2, 2:-2]
    assert (corner != 128).any()  # the legend
    plain = after[mask == 8].reshape(-1, 3)
    values = np.unique(plain, axis=0)
    assert len(values) <= 2  # the tint and the outline: no legend


def test_the_legend_names_the_classes_but_not_the_background() -> None:
    mask = scene()
    renamed = {**NAMES, 8: ("dog", CAT)}
    assert (draw(mask) != draw(mask, names=renamed)).any()
    recoloured = {**NAMES, 8: ("cat", (0, 200, 0))}
    corner = np.s_[:30, :150]
    assert (draw(mask)[corner] == CAT).all(axis=2).any()  # the swatch is the colour itself
    assert (draw(mask, names=recoloured)[corner] == (0, 200, 0)).all(axis=2).any()
    other = {**NAMES, 0: ("background", (200, 100, 0))}
    np.testing.assert_array_equal(draw(mask), draw(mask, names=other))


def test_only_background_is_the_picture_itself() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    after = draw_segmentation(picture, result_of(np.zeros((4, 4), np.uint8)))
    np.testing.assert_array_equal(after, picture)
    assert after is not picture


def test_leaves_the_picture_it_was_given_alone() -> None:
    before = np.full((960, 640, 3), 128, np.uint8)[::2]
    before.flags.writeable = False
    after = draw_segmentation(before, result_of(scene()))
    assert (before == 128).all()
    np.testing.assert_array_equal(after, draw(scene()))


def test_a_large_picture_is_tinted_in_bands_that_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = draw(scene())
    monkeypatch.setattr(module, "_BAND", 640 * 7)
    np.testing.assert_array_equal(draw(scene()), whole)


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (2, 2), (5, 3), (2000, 3), (3, 2000), (20, 300), (64, 64), (3000, 2000)]
)
def test_draws_in_pictures_of_any_size(width: int, height: int) -> None:
    mask = np.full((height, width), 8, np.uint8)
    mask[: height // 2, : width // 2] = 12
    assert draw(mask).shape == (height, width, 3)


def test_many_classes_leave_a_third_of_the_height_free() -> None:
    mask = np.repeat(np.arange(1, 101, dtype=np.uint8), 5)[:, None].repeat(400, axis=1)
    after = draw(mask, names={class_id: (f"class {class_id}", None) for class_id in range(1, 101)})
    text = (after[:, 60:100] == 255).all(axis=2).mean(axis=1)
    lettered = np.flatnonzero((text > 0) & (text < 1))  # outlines are all white
    assert 0 < np.ptp(lettered) < 2 / 3 * 500
