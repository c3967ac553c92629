"""Masks drawn into pictures: every class in its colour over its pixels, outlined, with a legend."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mnv2deploy.media.drawing import BACKGROUND, Colour, Image, mask_colour, style_for
from mnv2deploy.media.panel import Panel, lay_out
from mnv2deploy.runtime.results import Segment, SegmentationResult

_OPACITY = 0.55
_WHITE: Colour = (255, 255, 255)
# Pixels tinted at a time: the layers of colour beside a large picture stay small.
_BAND = 2**20

Mask = NDArray[np.uint8] | NDArray[np.uint16]


def draw_segmentation(image: Image, result: SegmentationResult) -> Image:
    """Lays the mask's colours over a copy of a picture.

    A class has its data set's colour, or else `class_colour`'s. The class named "background" is left as it is and out
    of the legend. The legend stands in the corner where it hides least of the mask; in a small picture it has the
    largest classes only.

    Args:
        image: `(H, W, 3)` uint8 RGB, the picture that was segmented.
        result: Its mask, as large as ``image``.

    Returns:
        `(H, W, 3)` uint8 RGB, new.
    """
    canvas = np.array(image, order="C")
    shown = [segment for segment in result.segments if segment.label != BACKGROUND]
    if not shown:
        return canvas
    height, width = result.mask.shape
    paint = np.zeros((np.iinfo(result.mask.dtype).max + 1, 4), np.uint8)  # of each class id: RGB, and 1 if painted
    for segment in shown:
        paint[segment.class_id] = (*_colour(segment), 1)
    rows = max(1, _BAND // width)
    for start in range(0, height, rows):
        _tint(canvas[start : start + rows], result.mask[start : start + rows], paint)
    _outline(canvas, result.mask)
    panel = lay_out([(one.label, _percent(one.share)) for one in shown], height, width, swatches=True)
    _draw_legend(canvas, panel, shown, *_emptiest_corner(result.mask, paint[:, 3], panel))
    return canvas


def _colour(segment: Segment) -> Colour:
    return mask_colour(segment.label, segment.class_id, segment.colour)


def _percent(share: float) -> str:
    return "<0.1%" if share < 0.0005 else f"{share:.1%}"


def _tint(canvas: Image, mask: Mask, paint: NDArray[np.uint8]) -> None:
    layer = paint.take(mask, axis=0)
    tinted = cv2.addWeighted(canvas, 1 - _OPACITY, np.ascontiguousarray(layer[:, :, :3]), _OPACITY, 0)
    np.copyto(canvas, tinted, where=layer[:, :, 3:].view(np.bool_))


def _outline(canvas: Image, mask: Mask) -> None:
    """A white line along every border between classes."""
    reach = max(2, style_for(*mask.shape).line)  # 2: one pixel wide
    canvas[cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((reach, reach), np.uint8)) > 0] = _WHITE


def _emptiest_corner(mask: Mask, painted: NDArray[np.uint8], panel: Panel) -> tuple[int, int]:
    """Left and top of the panel in the corner of the picture where it covers least that is painted."""
    height, width = mask.shape
    corners = [(x, y) for y in (0, height - panel.height) for x in (0, width - panel.width)]
    hidden = [painted.take(mask[y : y + panel.height, x : x + panel.width]).sum() for x, y in corners]
    return corners[int(np.argmin(hidden))]


def _draw_legend(canvas: Image, panel: Panel, shown: Sequence[Segment], left: int, top: int) -> None:
    panel.shade(canvas, left, top)
    pad = panel.style.pad
    for index, segment in enumerate(shown[: len(panel.rows)]):
        x, y, _, end = panel.row_box(index, left, top)
        side = end - y
        canvas[y + pad : end - pad, x + pad : x + side - pad] = _WHITE
        canvas[y + pad + 1 : end - pad - 1, x + pad + 1 : x + side - pad - 1] = _colour(segment)
    panel.write(canvas, left, top)
