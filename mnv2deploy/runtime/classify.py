"""Classification: a picture in, the likeliest classes out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.contract import ClassificationDecoding
from mnv2deploy.errors import UsageError
from mnv2deploy.runtime.results import ClassificationResult, ClassScore
from mnv2deploy.runtime.session import Session


class Classifier:
    """Says what a picture shows.

    Args:
        session: An artifact whose task is ``classify``.
        top: Answer so many classes; None takes the artifact's own number.

    Raises:
        ModelError: the artifact is for another task.
        UsageError: ``top`` is not positive.
    """

    def __init__(self, session: Session, *, top: int | None = None) -> None:
        decoding = session.decoding(ClassificationDecoding)
        self.session = session
        self.contract = session.contract
        self._activation = decoding.activation
        self._top = decoding.top if top is None else top
        if self._top < 1:
            raise UsageError(f"top {self._top}: at least 1 is needed.")
        self._labels = sorted(self.contract.labels, key=lambda label: label.column)
        self._columns = np.array([label.column for label in self._labels])

    def __call__(self, picture: NDArray[np.uint8] | Path | str) -> ClassificationResult:
        """Classifies one picture, given as `Session.run_picture` takes it."""
        (logits,), height, width = self.session.run_picture(picture)
        return self.decode(logits, height=height, width=width)

    def decode(self, logits: NDArray[np.float32], height: int, width: int) -> ClassificationResult:
        """Turns one picture's logits into classes. Of equal scores the lower column comes first.

        Args:
            logits: (columns,) float32.
            height: Of the original picture, pixels.
            width: Of the original picture, pixels.
        """
        # Columns are sorted and differ: if they are as many as the logits and end with them, they are all of them.
        is_all = len(self._columns) == len(logits) == self._columns[-1] + 1
        values = logits if is_all else logits[self._columns]
        top = min(self._top, len(values))
        # The few that reach the last answered value are soon found; sorting all would take ten times as long.
        best = np.flatnonzero(values >= np.partition(values, -top)[-top]).tolist()
        order = sorted(best, key=values.__getitem__, reverse=True)[:top]
        scores = self._scores(values[order].astype(np.float64), logits.astype(np.float64))
        classes = tuple(
            ClassScore(
                self._labels[place].name,
                self._labels[place].class_id,
                score,
            )
            for place, score in zip(order, scores, strict=True)
        )
        return ClassificationResult(width=width, height=height, classes=classes)

    def _scores(self, values: NDArray[np.float64], logits: NDArray[np.float64]) -> list[float]:
        """Probabilities of some of the logits."""
        if self._activation == "sigmoid":
            return [float(score) for score in np.exp(-np.logaddexp(0, -values))]
        highest = float(logits.max())
        total = float(np.exp(logits - highest).sum())
        return [math.exp(value - highest) / total for value in values.tolist()]
