"""Classes drawn into pictures: a panel with the labels, their scores, and a bar as long as the score."""

from __future__ import annotations

import numpy as np

from mnv2deploy.media.drawing import Colour, Image
from mnv2deploy.media.panel import lay_out
from mnv2deploy.runtime.results import ClassificationResult

_BAR: Colour = (30, 105, 185)
# The bars of a short label need some length to be told apart.
_LEAST_WIDTH = 0.3


def draw_classification(image: Image, result: ClassificationResult) -> Image:
    """Draws the classes into the upper left corner of a copy of a picture.

    Text grows with the picture. In a small one the likeliest classes are shown, as many as leave a third of it free.

    Args:
        image: `(H, W, 3)` uint8 RGB.
        result: What it shows.

    Returns:
        `(H, W, 3)` uint8 RGB, new.
    """
    canvas = np.array(image, order="C")
    rows = [(one.label, f"{one.score:.2f}") for one in result.classes]
    panel = lay_out(rows, image.shape[0], image.shape[1], least=_LEAST_WIDTH)
    panel.shade(canvas, 0, 0)
    gap = max(1, panel.style.pad // 2)
    for index, one in enumerate(result.classes[: len(panel.rows)]):
        left, top, right, bottom = panel.row_box(index, 0, 0)
        canvas[top + gap : bottom, left : left + round(one.score * (right - left))] = _BAR
    panel.write(canvas, 0, 0)
    return canvas
