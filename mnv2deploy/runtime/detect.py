"""Detection: a picture in, labelled boxes out."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.contract import Contract, DetectionDecoding
from mnv2deploy.errors import ModelError, UsageError
from mnv2deploy.runtime.boxes import BoxCoder, Floats, generate_anchors, non_maximum_suppression, strongest
from mnv2deploy.runtime.results import Detection, DetectionResult
from mnv2deploy.runtime.session import Session


class Detector:
    """Finds objects.

    Args:
        session: An artifact whose task is ``detect``.
        score: Least probability answered; None takes the artifact's own threshold.
        iou: Boxes of one class that overlap more are one object; None takes the artifact's own threshold.
        max_detections: At most so many a picture; None takes the artifact's own.
        classes: Names of the classes to answer; empty answers all.

    Raises:
        ModelError: the artifact is for another task.
        UsageError: a threshold is out of range, or a class name is not one of the model's.
    """

    def __init__(
        self,
        session: Session,
        *,
        score: float | None = None,
        iou: float | None = None,
        max_detections: int | None = None,
        classes: Collection[str] = (),
    ) -> None:
        contract = session.contract
        decoding = session.decoding(DetectionDecoding)
        self.session = session
        self.contract = contract
        self._activation = decoding.activation
        self._score = in_unit_range("score", decoding.score_threshold if score is None else score)
        self._iou = in_unit_range("iou", decoding.iou_threshold if iou is None else iou)
        self._max_detections = decoding.max_detections if max_detections is None else max_detections
        if self._max_detections < 1:
            raise UsageError(f"max_detections {self._max_detections}: at least 1 is needed.")
        self._anchors = generate_anchors(decoding.anchors)
        self._coder = BoxCoder(decoding.coder, decoding.coder_scales, decoding.size_ratio_limit)
        self._clips_first = decoding.clip == "before_nms"
        self._candidates_per_map = decoding.candidates_per_map
        sizes = [layer.grid[0] * layer.grid[1] * len(layer.sizes) for layer in decoding.anchors]
        self._map_of_anchor = np.repeat(np.arange(len(sizes)), sizes)
        self._labels = {label.column: label for label in contract.labels}
        self._wanted = wanted_columns(contract, classes)

    def __call__(self, picture: NDArray[np.uint8] | Path | str) -> DetectionResult:
        """Detects in one picture, given as `Session.run_picture` takes it."""
        (logits, encodings), height, width = self.session.run_picture(picture)
        return self.decode(logits, encodings, height=height, width=width)

    def decode(self, logits: Floats, encodings: Floats, height: int, width: int) -> DetectionResult:
        """Turns one picture's raw outputs into detections.

        Args:
            logits: (A, columns) float32.
            encodings: (A, 4) float32.
            height: Of the original picture, pixels.
            width: Of the original picture, pixels.
        """
        if len(logits) != len(self._anchors):
            raise ModelError(
                f"{self.session.name} answers for {len(logits)} anchors, its contract describes {len(self._anchors)}."
            )
        anchors, columns, scores = self._candidates(logits)
        boxes = self._coder.decode(encodings[anchors], self._anchors[anchors])
        if self._clips_first:
            boxes = np.clip(boxes, 0, 1)
            seen = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
            boxes, columns, scores = boxes[seen], columns[seen], scores[seen]
        # Else they are cut at the picture's border after suppression: TensorFlow's order, and the overlap of two boxes
        # that reach out of the picture depends on it.
        kept = non_maximum_suppression(boxes, scores, columns, self._iou, self._max_detections)
        pixels = np.clip(boxes[kept], 0, 1).astype(np.float64) * (width, height, width, height)
        return DetectionResult(
            width=width,
            height=height,
            detections=tuple(
                Detection(self._labels[column].name, self._labels[column].class_id, score, tuple(box))
                for column, score, box in zip(
                    columns[kept].tolist(), scores[kept].tolist(), pixels.tolist(), strict=True
                )
            ),
        )

    def _candidates(self, logits: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
        """Anchor, column and score of everything over the threshold, in the wanted columns.

        A sigmoid is monotonic, so its threshold is applied to the logits; only what passes is activated.
        """
        if self._activation == "softmax":
            values = np.exp(logits - logits.max(axis=1, keepdims=True))
            values /= values.sum(axis=1, keepdims=True)
            threshold = self._score
        else:
            values, threshold = logits, _logit(self._score)
        hits = np.flatnonzero(values > np.float32(threshold))
        anchors, columns = np.divmod(hits, logits.shape[1])
        wanted = np.isin(columns, self._wanted)
        anchors, columns = anchors[wanted], columns[wanted]
        scores = values[anchors, columns]
        if self._activation == "sigmoid":
            scores = 1 / (1 + np.exp(-scores))
        if self._candidates_per_map is not None:
            best = strongest(scores, self._map_of_anchor[anchors], self._candidates_per_map)
            return anchors[best], columns[best], scores[best]
        return anchors, columns, scores


def wanted_columns(contract: Contract, classes: Collection[str]) -> list[int]:
    """The columns to answer: those with a label, and of them only the named ones where names are given."""
    if isinstance(classes, str):
        raise UsageError(f"classes is a list of names, not the one text {classes!r}.")
    columns = {label.name.casefold(): label.column for label in contract.labels}
    for name in classes:
        if name.casefold() not in columns:
            close = difflib.get_close_matches(name.casefold(), columns, n=3) or sorted(columns)
            raise UsageError(f"The model knows no class {name!r}; it knows {', '.join(close)}.")
    wanted = {columns[name.casefold()] for name in classes}
    return [column for column in columns.values() if not classes or column in wanted]


def in_unit_range(name: str, value: float) -> float:
    """The value; raises UsageError where it does not lie between 0 and 1."""
    if not 0 <= value <= 1:
        raise UsageError(f"{name} {value:g} is not between 0 and 1.")
    return value


def _logit(probability: float) -> float:
    if probability <= 0:
        return -math.inf
    return math.inf if probability >= 1 else math.log(probability / (1 - probability))
