"""Answers drawn into pictures: boxes, and plates with the label and the score."""

from __future__ import annotations

import colorsys
import unicodedata
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mnv2deploy.runtime.results import Detection, DetectionResult

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GOLDEN_RATIO = 0.618033988749895
# OpenCV 5 draws text with a TrueType font that knows most scripts; OpenCV 4 has ASCII only.
_FONT_IS_ASCII = int(cv2.__version__.split(".")[0]) < 5
# The smallest text that can still be read, and the text's share of the mean side of the picture.
_MIN_TEXT_PIXELS, _TEXT_SHARE, _LINE_SHARE = 9, 0.026, 0.0035


@dataclass(frozen=True, slots=True)
class _Style:
    """Sizes in pixels that suit one picture."""

    line: int
    scale: float
    weight: int
    ascent: int
    descent: int
    pad: int

    @property
    def plate_height(self) -> int:
        return self.ascent + self.descent + 2 * self.pad


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
    style = _style(image.shape[0], image.shape[1])
    for detection in reversed(result.detections):
        left, top, right, bottom = _corners(detection, image.shape[1], image.shape[0])
        cv2.rectangle(canvas, (left, top), (right, bottom), class_colour(detection.class_id), style.line)
    plates = _place(result.detections, style, image.shape[1], image.shape[0])
    for detection, plate in reversed(list(zip(result.detections, plates, strict=True))):
        _draw_plate(canvas, plate, class_colour(detection.class_id), style)
    return canvas


def class_colour(class_id: int) -> Colour:
    """RGB of a class, always the same: hues a golden angle apart, so that neighbouring ids differ most."""
    brightness = (1.0, 0.8, 0.62)[class_id // 3 % 3]
    red, green, blue = colorsys.hsv_to_rgb(class_id * _GOLDEN_RATIO % 1.0, 0.85, brightness)
    return round(red * 255), round(green * 255), round(blue * 255)


def text_colour(background: Colour) -> Colour:
    """Black or white, whichever contrasts more (WCAG 2.2, relative luminance and contrast ratio)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in background)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else (255, 255, 255)


def drawable(text: str, ascii_only: bool = _FONT_IS_ASCII) -> str:
    """What OpenCV's font can show of a text. Where it has ASCII only, accents go and other letters become ``?``."""
    plain = " ".join(text.split())
    if not ascii_only:
        return plain
    letters = (c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    return "".join(letters).encode("ascii", "replace").decode("ascii")


def _style(height: int, width: int) -> _Style:
    side = (height + width) / 2
    line = max(1, round(side * _LINE_SHARE))
    wanted = max(_MIN_TEXT_PIXELS, side * _TEXT_SHARE)
    (_, tall), below = cv2.getTextSize("Ag", _FONT, 1.0, 1)
    scale = wanted / (tall + below)
    weight = 1 if wanted < 20 else max(1, round(wanted / 16))
    (_, ascent), descent = cv2.getTextSize("Ag", _FONT, scale, weight)
    return _Style(line, scale, weight, ascent, descent, pad=max(1, round(wanted / 8)))


def _corners(detection: Detection, width: int, height: int) -> tuple[int, int, int, int]:
    """The box in whole pixels of the picture, ends included."""
    left, top, right, bottom = (round(side) for side in detection.box)
    return (
        min(max(left, 0), width - 1),
        min(max(top, 0), height - 1),
        min(max(right, 0), width - 1),
        min(max(bottom, 0), height - 1),
    )


def _fitting_text(detection: Detection, style: _Style, room: int) -> tuple[str, int]:
    """Label and score; where the picture is too narrow, the label alone, then as much of it as fits. With its width."""
    label = drawable(detection.label)
    shorter = (label[:end] for end in range(len(label), 0, -1))
    for text in (f"{label} {detection.score:.2f}", *shorter):
        width = cv2.getTextSize(text, _FONT, style.scale, style.weight)[0][0] + 2 * style.pad
        if width <= room:
            return text, width
    return "", 0


def _place(detections: tuple[Detection, ...], style: _Style, width: int, height: int) -> list[_Plate]:
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
    box: tuple[int, int, int, int], plate_width: int, style: _Style, width: int, height: int
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


def _draw_plate(canvas: Image, plate: _Plate, colour: Colour, style: _Style) -> None:
    if not plate.text:
        return
    canvas[plate.top : plate.bottom, plate.left : plate.right] = colour
    baseline = (plate.left + style.pad, plate.top + style.pad + style.ascent)
    cv2.putText(canvas, plate.text, baseline, _FONT, style.scale, text_colour(colour), style.weight, cv2.LINE_AA)
