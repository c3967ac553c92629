"""Classification: a picture in, the likeliest classes out."""

from __future__ import annotations

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
        self._top = decoding.top if top is None else top
        if self._top < 1:
            raise UsageError(f"top {self._top}: at least 1 is needed.")
        self._labels = {label.column: label for label in self.contract.labels}

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
        exponentials = np.exp(logits.astype(np.float64) - logits.max())
        probabilities = exponentials / exponentials.sum()
        order = [column for column in np.argsort(-logits, kind="stable").tolist() if column in self._labels]
        classes = tuple(
            ClassScore(self._labels[column].name, self._labels[column].class_id, float(probabilities[column]))
            for column in order[: self._top]
        )
        return ClassificationResult(width=width, height=height, classes=classes)
