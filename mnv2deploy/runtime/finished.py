"""Finished artifacts, whose graphs decode: a picture in, and what the graph answers out.

What the graph was made to do is done; a pipeline can only leave out some of its answers.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.contract import ClassificationDecoding, DetectionDecoding, SegmentationDecoding
from mnv2deploy.errors import UsageError
from mnv2deploy.runtime.boxes import Floats
from mnv2deploy.runtime.detect import in_unit_range, wanted_columns
from mnv2deploy.runtime.preprocessing import fitted_size
from mnv2deploy.runtime.results import ClassificationResult, ClassScore, Detection, DetectionResult, SegmentationResult
from mnv2deploy.runtime.segment import rank_segments
from mnv2deploy.runtime.session import Session

Ids = NDArray[np.int64]


class FinishedClassifier:
    """Says what a picture shows.

    Args:
        session: A finished artifact whose task is ``classify``.
        top: Answer so many classes; None takes all the graph answers.

    Raises:
        ModelError: the artifact is for another task.
        UsageError: ``top`` is not positive, or more than the graph answers.
    """

    def __init__(self, session: Session, *, top: int | None = None) -> None:
        decoding = session.decoding(ClassificationDecoding)
        self.session = session
        self.contract = session.contract
        self._top = _at_most("top", decoding.top, top, session)
        self._names = {label.class_id: label.name for label in self.contract.labels}

    def __call__(self, picture: NDArray[np.uint8] | Path | str) -> ClassificationResult:
        """Classifies one picture, given as `Session.run_picture` takes it."""
        (scores, class_ids), height, width = self.session.run_picture(picture)
        return self.decode(scores, class_ids, height=height, width=width)

    def decode(self, scores: Floats, class_ids: Ids, height: int, width: int) -> ClassificationResult:
        """Names one picture's classes.

        Args:
            scores: (top,) float32, falling.
            class_ids: (top,) int64.
            height: Of the original picture, pixels.
            width: Of the original picture, pixels.
        """
        classes = zip(class_ids.tolist()[: self._top], scores.tolist(), strict=False)
        found = tuple(ClassScore(self._names[class_id], class_id, score) for class_id, score in classes)
        return ClassificationResult(width=width, height=height, classes=found)


class FinishedDetector:
    """Finds objects.

    Args:
        session: A finished artifact whose task is ``detect``.
        score: Least probability answered; None takes the graph's own threshold.
        iou: None: the graph has suppressed what overlaps.
        max_detections: At most so many a picture; None takes all the graph answers.
        classes: Names of the classes to answer; empty answers all. They are chosen from what the graph answers.

    Raises:
        ModelError: the artifact is for another task.
        UsageError: a threshold is out of range or looser than the graph's, or a class name is not one of the model's.
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
        decoding = session.decoding(DetectionDecoding)
        self.session = session
        self.contract = session.contract
        if iou is not None:
            raise UsageError(
                f"{session.name} is finished: its graph has suppressed boxes at an IoU of {decoding.iou_threshold:g}, "
                "and takes no other; leave iou out."
            )
        least = decoding.score_threshold
        self._score = in_unit_range("score", least if score is None else score)
        if self._score < least:
            raise UsageError(
                f"score {self._score:g}: {session.name} is finished, and its graph answers nothing below {least:g}; "
                f"make one that does with 'mnv2deploy finish --end-to-end --score {self._score:g}'."
            )
        self._most = _at_most("max_detections", decoding.max_detections, max_detections, session)
        wanted = set(wanted_columns(self.contract, classes))
        self._labels = {label.class_id: label for label in self.contract.labels}
        self._wanted = [label.class_id for label in self.contract.labels if label.column in wanted]

    def __call__(self, picture: NDArray[np.uint8] | Path | str) -> DetectionResult:
        """Detects in one picture, given as `Session.run_picture` takes it."""
        (boxes, scores, class_ids, count), height, width = self.session.run_picture(picture)
        return self.decode(boxes, scores, class_ids, count, height=height, width=width)

    def decode(
        self,
        boxes: Floats,
        scores: Floats,
        class_ids: Ids,
        count: np.int64 | NDArray[np.int64],
        height: int,
        width: int,
    ) -> DetectionResult:
        """Brings one picture's boxes to its pixels, and leaves out what is not wanted.

        Args:
            boxes: (M, 4) float32 ``xyxy`` in fractions of the picture.
            scores: (M,) float32, falling.
            class_ids: (M,) int64.
            count: (), how many of the M are answers.
            height: Of the original picture, pixels.
            width: Of the original picture, pixels.
        """
        scores, class_ids = scores[:count], class_ids[:count]
        kept = np.flatnonzero((scores > np.float32(self._score)) & np.isin(class_ids, self._wanted))[: self._most]
        pixels = boxes[kept].astype(np.float64) * (width, height, width, height)
        found = zip(class_ids[kept].tolist(), scores[kept].tolist(), pixels.tolist(), strict=True)
        detections = tuple(
            Detection(self._labels[class_id].name, class_id, score, tuple(box)) for class_id, score, box in found
        )
        return DetectionResult(width=width, height=height, detections=detections)


class FinishedSegmenter:
    """Says of every pixel what it belongs to.

    The graph's mask is as large as its input. Of a larger picture each pixel takes the class of the nearest one in it,
    so outlines have steps, where those of `runtime.segment.Segmenter` are smooth.

    Args:
        session: A finished artifact whose task is ``segment``.

    Raises:
        ModelError: the artifact is for another task.
    """

    def __init__(self, session: Session) -> None:
        session.decoding(SegmentationDecoding)
        self.session = session
        self.contract = session.contract
        self._labels = sorted(self.contract.labels, key=lambda label: label.column)
        self._ids = np.array([label.class_id for label in self._labels])

    def __call__(self, picture: NDArray[np.uint8] | Path | str) -> SegmentationResult:
        """Segments one picture, given as `Session.run_picture` takes it."""
        (mask,), height, width = self.session.run_picture(picture)
        return self.decode(mask, height=height, width=width)

    def decode(self, mask: NDArray[np.uint8 | np.int32], height: int, width: int) -> SegmentationResult:
        """Takes one picture's padding off its mask and brings it to the picture's own size.

        Args:
            mask: (input's height, input's width) of class ids.
            height: Of the original picture, pixels.
            width: Of the original picture, pixels.
        """
        graph = self.contract.input
        padded = self.contract.preprocessing.resize == "pad"
        valid = fitted_size(height, width, graph) if padded else (graph.height, graph.width)
        rows, columns = (_nearest(side, target) for side, target in zip(valid, (height, width), strict=True))
        ids = mask.astype(np.min_scalar_type(self._ids.max()), copy=False).take(rows, axis=0).take(columns, axis=1)
        counts = np.bincount(ids.ravel(), minlength=int(self._ids.max()) + 1)[self._ids].tolist()
        segments = rank_segments(self._labels, counts)
        return SegmentationResult(width=width, height=height, mask=ids, segments=segments)


def _nearest(side: int, target: int) -> NDArray[np.intp]:
    """Which of ``side`` pixels each of ``target`` pixels that cover the same length has its centre in."""
    return ((2 * np.arange(target) + 1) * side // (2 * target)).astype(np.intp)


def _at_most(option: str, limit: int, asked: int | None, session: Session) -> int:
    count = limit if asked is None else asked
    if count < 1:
        raise UsageError(f"{option} {count}: at least 1 is needed.")
    if count > limit:
        raise UsageError(f"{option} {count}: {session.name} is finished, and its graph answers at most {limit}.")
    return count
