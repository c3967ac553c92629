"""Detections drawn into pictures: boxes, and plates with the label and the score."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mnv2deploy.media.drawing import (
    Colour,
    Image,
    Style,
    beginnings,
    class_colour,
    drawable,
    first_fitting,
    style_for,
    text_colour,
    text_width,
    write_text,
)
from mnv2deploy.runtime.results import Detection, DetectionResult


@dataclass(frozen=True, slots=True)
class _Plate:
    """A label's text and the place of its plate, top left corner included, bottom right excluded."""

    text: str
    left: int
    top: int
    right: int
    bottom: int


def draw_detections(image: Image, result: DetectionResult) -> Image:
    """Draws boxes and labels into a copy of a picture.

    Lines and text grow with the picture. A plate sits on its box or, where another plate is already there, at the
    corner of the box that hides least; it never leaves the picture. The most certain detection is drawn last, on top.

    Args:
        image: `(H, W, 3)` uint8 RGB, the picture the detections were found in.
        result: Boxes in pixels of ``image``.

    Returns:
        `(H, W, 3)` uint8 RGB, new.
    """
    canvas = np.array(image, order="C")
    style = style_for(image.shape[0], image.shape[1])
    for detection in reversed(result.detections):
        left, top, right, bottom = _corners(detection, image.shape[1], image.shape[0])
        cv2.rectangle(canvas, (left, top), (right, bottom), class_colour(detection.class_id), style.line)
    plates = _place(result.detections, style, image.shape[1], image.shape[0])
    for detection, plate in reversed(list(zip(result.detections, plates, strict=True))):
        _draw_plate(canvas, plate, class_colour(detection.class_id), style)
    return canvas


def _corners(detection: Detection, width: int, height: int) -> tuple[int, int, int, int]:
    """The box in whole pixels of the picture, ends included."""
    left, top, right, bottom = (round(side) for side in detection.box)
    return (
        min(max(left, 0), width - 1),
        min(max(top, 0), height - 1),
        min(max(right, 0), width - 1),
        min(max(bottom, 0), height - 1),
    )


def _fitting_text(detection: Detection, style: Style, room: int) -> tuple[str, int]:
    """Label and score; where the picture is too narrow, the label alone, then as much of it as fits. With its width."""
    label = drawable(detection.label)
    texts = (f"{label} {detection.score:.2f}", *beginnings(label))
    text = first_fitting(texts, style, room - 2 * style.pad)
    return text, text_width(text, style) + 2 * style.pad if text else 0


def _place(detections: tuple[Detection, ...], style: Style, width: int, height: int) -> list[_Plate]:
    """Gives each plate the corner of its box where it covers least of the plates before it."""
    plates: list[_Plate] = []
    taken = np.zeros((0, 4))
    for detection in detections:
        text, plate_width = _fitting_text(detection, style, width)
        corners = _candidates(_corners(detection, width, height), plate_width, style, width, height)
        boxes = np.hstack([corners, corners + np.array([plate_width, style.plate_height])])
        first, last = np.maximum(boxes[:, None, :2], taken[:, :2]), np.minimum(boxes[:, None, 2:], taken[:, 2:])
        hidden = (last - first).clip(min=0).prod(axis=2).sum(axis=1)
        best = boxes[np.argmin(hidden)]
        taken = np.concatenate([taken, best[None]])
        plates.append(_Plate(text, *(int(side) for side in best)))
    return plates


def _candidates(
    box: tuple[int, int, int, int], plate_width: int, style: Style, width: int, height: int
) -> NDArray[np.int64]:
    """Top left corners a plate may have, `(8, 2)` x, y, the best first: outside the box's corners, then inside."""
    left, top, right, bottom = box
    half = style.line // 2
    near, far = left - half, right + half + 1 - plate_width
    above, below = top - half - style.plate_height, bottom + half + 1
    inside_top, inside_bottom = top - half, bottom + half + 1 - style.plate_height
    if above < 0:
        above = inside_top
    if below + style.plate_height > height:
        below = inside_bottom
    rows = (above, below, inside_top, inside_bottom)
    corners = np.array([(x, y) for y in rows for x in (near, far)])
    return corners.clip(0, [max(width - plate_width, 0), max(height - style.plate_height, 0)])


def _draw_plate(canvas: Image, plate: _Plate, colour: Colour, style: Style) -> None:
    if not plate.text:
        return
    canvas[plate.top : plate.bottom, plate.left : plate.right] = colour
    write_text(canvas, plate.text, plate.left, plate.top, text_colour(colour), style)
