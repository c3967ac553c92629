"""A dark see-through panel of rows over a picture: a label at the left, a figure at the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mnv2deploy.media.drawing import (
    Colour,
    Image,
    Style,
    beginnings,
    drawable,
    first_fitting,
    style_for,
    text_width,
    write_text,
)

_TEXT: Colour = (255, 255, 255)
# What is left of the picture's light under a panel: white letters keep a contrast of 9 over white.
_LIGHT = 0.28
# At most this share of the picture's height is covered, or one row.
_MOST_HEIGHT = 2 / 3


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel's size and content; where it goes is said when it is drawn.

    Attributes:
        rows: Label and figure of each row, cut to what fits; nothing where nothing can be read.
        width: Pixels.
        indent: Pixels left free before the labels.
        style: Of the text.
    """

    rows: tuple[tuple[str, str], ...]
    width: int
    indent: int
    style: Style

    @property
    def height(self) -> int:
        """Pixels."""
        return len(self.rows) * self.style.plate_height + 2 * self.style.pad if self.rows else 0

    def row_box(self, row: int, left: int, top: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of a row inside the panel's margin, right and bottom excluded."""
        pad, high = self.style.pad, self.style.plate_height
        return left + pad, top + pad + row * high, left + self.width - pad, top + pad + (row + 1) * high

    def shade(self, canvas: Image, left: int, top: int) -> None:
        """Darkens the picture where the panel goes."""
        part = canvas[top : top + self.height, left : left + self.width]
        part[:] = (part * _LIGHT).astype(part.dtype)

    def write(self, canvas: Image, left: int, top: int) -> None:
        """Writes the rows."""
        for index, (label, figure) in enumerate(self.rows):
            row_left, row_top, row_right, _ = self.row_box(index, left, top)
            write_text(canvas, label, row_left + self.indent, row_top, _TEXT, self.style)
            figure_left = row_right - text_width(figure, self.style) - 2 * self.style.pad
            write_text(canvas, figure, figure_left, row_top, _TEXT, self.style)


def lay_out(
    rows: Sequence[tuple[str, str]], height: int, width: int, *, swatches: bool = False, least: float = 0
) -> Panel:
    """Makes a panel that fits into a picture.

    In a picture too small for all rows the first ones are kept; in one too narrow for a label its beginning is, and
    the figure only where half of the row is left to the label.

    Args:
        rows: Label and figure of each.
        height: Of the picture, pixels.
        width: Of the picture, pixels.
        swatches: Leave a square free at the beginning of each row.
        least: The panel's least share of the picture's width.
    """
    style = style_for(height, width)
    indent = style.plate_height if swatches else 0
    room = width - 4 * style.pad - indent  # for label, gap and figure
    fitting = int((height * _MOST_HEIGHT - 2 * style.pad) // style.plate_height)
    fitting = max(fitting, int(height >= style.plate_height + 2 * style.pad))
    gap = 4 * style.pad
    figures = max((text_width(figure, style) + gap for _, figure in rows[:fitting]), default=0)
    if figures > room / 2:
        figures = 0
    cut = tuple(
        (first_fitting(beginnings(drawable(label)), style, room - figures), figure if figures else "")
        for label, figure in rows[:fitting]
    )
    if not any(label for label, _ in cut):
        return Panel((), 0, indent, style)
    labels = max(text_width(label, style) for label, _ in cut)
    wide = max(labels + figures + indent + 4 * style.pad, min(width, round(least * width)))
    return Panel(cut, wide, indent, style)
