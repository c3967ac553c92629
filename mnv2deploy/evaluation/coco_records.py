"""Detections as COCO has them: kept in little room, and written to a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.evaluation.matching import Detections
from mnv2deploy.files import write_atomically
from mnv2deploy.runtime.results import DetectionResult


@dataclass(frozen=True, slots=True, eq=False)
class CocoRecord:
    """What is kept of one answer: 40 bytes a detection.

    Attributes:
        image_id: The data set's.
        category_ids: (K,) int32.
        boxes: (K, 4) float64: left, top, width, height in pixels, to a thousandth: as they are written, so that the
            file gives the very numbers the records give.
        scores: (K,) float32.
    """

    image_id: int
    category_ids: NDArray[np.int32]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]


def make_record(image_id: int, result: DetectionResult) -> CocoRecord:
    """Keeps the answer to one picture."""
    boxes = np.array([found.box for found in result.detections], np.float64).reshape(-1, 4)
    boxes[:, 2:] -= boxes[:, :2]
    return CocoRecord(
        image_id=image_id,
        category_ids=np.array([found.class_id for found in result.detections], np.int32),
        boxes=boxes.round(3),
        scores=np.array([found.score for found in result.detections], np.float32),
    )


def stack(records: Sequence[CocoRecord]) -> Detections:
    """The detections of all pictures in one table."""
    image_ids = np.array([record.image_id for record in records], np.int64)
    # The empty arrays give the types, and a table of nothing where there is no record.
    return Detections(
        image_ids=image_ids.repeat([len(record.scores) for record in records]),
        category_ids=np.concatenate([np.empty(0, np.int64), *[record.category_ids for record in records]]),
        boxes=np.concatenate([np.empty((0, 4)), *[record.boxes for record in records]]),
        scores=np.concatenate([np.empty(0), *[record.scores for record in records]]),
    )


def write_predictions(records: Sequence[CocoRecord], path: Path) -> None:
    """Writes detections in COCO's results format (cocodataset.org, "Results format"), one a line.

    Raises:
        UsageError: the file cannot be written.
    """
    # Nine digits tell any two float32 scores apart, so their order is kept too.
    lines = [
        f'{{"image_id":{record.image_id},"category_id":{category},"bbox":[{x},{y},{w},{h}],"score":{score:.9g}}}'
        for record in records
        for category, (x, y, w, h), score in zip(
            record.category_ids.tolist(), record.boxes.tolist(), record.scores.tolist(), strict=True
        )
    ]
    write_atomically(path, ("[\n" + ",\n".join(lines) + "\n]\n").encode())
