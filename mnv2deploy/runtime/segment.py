"""Segmentation: a picture in, a class for every pixel out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.contract import Label, SegmentationDecoding
from mnv2deploy.errors import ModelError
from mnv2deploy.runtime.masks import Positions, axis_positions, upsample_argmax
from mnv2deploy.runtime.preprocessing import fitted_size
from mnv2deploy.runtime.results import Segment, SegmentationResult
from mnv2deploy.runtime.session import Session


class Segmenter:
    """Says of every pixel what it belongs to.

    Args:
        session: An artifact whose task is ``segment``.

    Raises:
        ModelError: the artifact is for another task.
    """

    def __init__(self, session: Session) -> None:
        self._decoding = session.decoding(SegmentationDecoding)
        self.session = session
        self.contract = session.contract
        self._labels = sorted(self.contract.labels, key=lambda label: label.column)
        self._columns = [label.column for label in self._labels]
        ids = [label.class_id for label in self._labels]
        self._ids = np.array(ids, np.min_scalar_type(max(ids)))

    def __call__(self, picture: NDArray[np.uint8] | Path | str) -> SegmentationResult:
        """Segments one picture, given as `Session.run_picture` takes it."""
        (logits,), height, width = self.session.run_picture(picture)
        return self.decode(logits, height=height, width=width)

    def decode(self, logits: NDArray[np.float32], height: int, width: int) -> SegmentationResult:
        """Turns one picture's logits into a mask of the picture's own size; columns without a label never win.

        Args:
            logits: (columns, h, w) float32.
            height: Of the original picture, pixels.
            width: Of the original picture, pixels.

        Raises:
            ModelError: a label's column is not in the logits.
        """
        if self._columns[-1] >= len(logits):
            raise ModelError(
                f"{self.session.name} answers {len(logits)} columns, its contract has a label for column "
                f"{self._columns[-1]}."
            )
        if len(self._columns) < len(logits):
            logits = logits[self._columns]
        graph = self.contract.input
        valid = fitted_size(height, width, graph) if self.contract.preprocessing.resize == "pad" else None
        winners = upsample_argmax(
            logits,
            self._positions(logits.shape[1], graph.height, valid and valid[0], height),
            self._positions(logits.shape[2], graph.width, valid and valid[1], width),
        )
        counts = np.bincount(winners.ravel(), minlength=len(self._labels)).tolist()
        segments = rank_segments(self._labels, counts)
        return SegmentationResult(width=width, height=height, mask=self._ids[winners], segments=segments)

    def _positions(self, grid: int, side: int, valid: int | None, target: int) -> Positions:
        return axis_positions(grid, side, align_corners=self._decoding.align_corners, valid=valid, target=target)


def rank_segments(labels: Sequence[Label], counts: Sequence[int]) -> tuple[Segment, ...]:
    """The classes that are present, the largest first.

    Args:
        labels: Of all classes.
        counts: Pixels of each.
    """
    pixels = sum(counts)
    present = [(label, count) for label, count in zip(labels, counts, strict=True) if count]
    return tuple(
        Segment(label=label.name, class_id=label.class_id, pixels=count, share=count / pixels, colour=label.colour)
        for label, count in sorted(present, key=lambda entry: -entry[1])
    )
