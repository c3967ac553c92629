"""What all drawings share: sizes that suit a picture, colours of classes, and text."""

from __future__ import annotations

import colorsys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

# The name data sets give to what is none of their classes.
BACKGROUND = "background"

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GOLDEN_RATIO = 0.618033988749895
# OpenCV 5 draws text with a TrueType font that knows most scripts; OpenCV 4 has ASCII only.
_FONT_IS_ASCII = int(cv2.__version__.split(".")[0]) < 5
# The smallest text that can still be read, and the text's share of the mean side of the picture.
_MIN_TEXT_PIXELS, _TEXT_SHARE, _LINE_SHARE = 9, 0.026, 0.0035
# In a strip much wider than high, the mean side says too much: this share of the short side is the most.
_MOST_TEXT_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes in pixels that suit one picture.

    Attributes:
        line: Thickness of a line.
        scale: Of the font.
        weight: Thickness of the letters' strokes.
        ascent: Height of text above its baseline.
        descent: Depth of text below it.
        pad: Room around text.
    """

    line: int
    scale: float
    weight: int
    ascent: int
    descent: int
    pad: int

    @property
    def plate_height(self) -> int:
        """Of one line of text with room around it."""
        return self.ascent + self.descent + 2 * self.pad


def style_for(height: int, width: int) -> Style:
    """Lines and text that grow with the picture and stay readable in a small one."""
    side = (height + width) / 2
    wanted = max(_MIN_TEXT_PIXELS, min(side * _TEXT_SHARE, min(height, width) * _MOST_TEXT_SHARE))
    (_, tall), below = cv2.getTextSize("Ag", _FONT, 1.0, 1)
    scale = wanted / (tall + below)
    weight = 1 if wanted < 20 else max(1, round(wanted / 16))
    (_, ascent), descent = cv2.getTextSize("Ag", _FONT, scale, weight)
    return Style(
        line=max(1, round(side * _LINE_SHARE)),
        scale=scale,
        weight=weight,
        ascent=ascent,
        descent=descent,
        pad=max(1, round(wanted / 8)),
    )


def class_colour(class_id: int) -> Colour:
    """RGB of a class, always the same: hues a golden angle apart, so that neighbouring ids differ most."""
    brightness = (1.0, 0.8, 0.62)[class_id // 3 % 3]
    red, green, blue = colorsys.hsv_to_rgb(class_id * _GOLDEN_RATIO % 1.0, 0.85, brightness)
    return round(red * 255), round(green * 255), round(blue * 255)


def mask_colour(label: str, class_id: int, own: Colour | None) -> Colour:
    """RGB of a class's pixels in a mask: the data set's own, else black for the background, else `class_colour`."""
    return own or ((0, 0, 0) if label == BACKGROUND else class_colour(class_id))


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


def text_width(text: str, style: Style) -> int:
    """Pixels a text takes, without room around it."""
    width: int = cv2.getTextSize(text, _FONT, style.scale, style.weight)[0][0]
    return width


def beginnings(text: str) -> Iterable[str]:
    """All of a text, then ever less of it, to the first letter."""
    return (text[:end] for end in range(len(text), 0, -1))


def first_fitting(texts: Iterable[str], style: Style, room: int) -> str:
    """The first of some texts that takes no more than ``room`` pixels; nothing if none does."""
    return next((text for text in texts if text_width(text, style) <= room), "")


def write_text(canvas: Image, text: str, left: int, top: int, colour: Colour, style: Style) -> None:
    """Writes one line, its plate's top left corner given: the letters begin `Style.pad` inside."""
    baseline = (left + style.pad, top + style.pad + style.ascent)
    cv2.putText(canvas, text, baseline, _FONT, style.scale, colour, style.weight, cv2.LINE_AA)
