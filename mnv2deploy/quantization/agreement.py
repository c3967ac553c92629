"""Whether the two networks answer alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnv2deploy.errors import InputError
from mnv2deploy.evaluation.answers import Failure
from mnv2deploy.evaluation.parallel import ordered_map
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.quantization.comparison import Power
from mnv2deploy.runtime import images
from mnv2deploy.runtime.pipeline import open_pipeline
from mnv2deploy.runtime.results import ClassificationResult, Detection, DetectionResult, SegmentationResult
from mnv2deploy.runtime.session import Session

# Boxes of one object: COCO's and VOC's least overlap.
_LEAST_IOU = 0.5

MEANINGS = {
    "classify": "pictures with the same first class",
    "detect": "detections that both found (F1: same class, IoU at least 0.5)",
    "segment": "pixels of the same class, mean over pictures",
}
"""What `agree` counts, by task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerComparison:
    """The answers of the two networks to the same pictures.

    Attributes:
        task: ``classify``, ``detect`` or ``segment``.
        pictures: How many both answered.
        agreement: Share of the answers that are the same, 0..1; see `agreement.agree`.
        sqnr: Of each output by its name, dB; infinite where they are equal.
        failures: Pictures that could not be read.
    """

    task: str
    pictures: int
    agreement: float
    sqnr: Mapping[str, float]
    failures: tuple[Failure, ...]


def compare_answers(
    floats: Session,
    quantized: Session,
    pictures: Sequence[Path],
    *,
    threads: int = 1,
    progress: Progress = SILENT,
) -> AnswerComparison:
    """Answers every picture with both networks; nothing is kept but sums.

    Args:
        floats: The float artifact, opened with one thread.
        quantized: What was made of it, opened with one thread.
        pictures: Files; what cannot be read is left out and listed.
        threads: Pictures at a time; the result does not depend on it.
        progress: Told how many are done.

    Raises:
        InputError: none of the pictures can be read.
    """
    sessions = (floats, quantized)
    pipelines: list[Any] = [open_pipeline(session) for session in sessions]
    names = [output.name for output in floats.contract.outputs]

    def compare(path: Path) -> tuple[list[Power], tuple[float, float]] | Failure:
        try:
            image = images.read(path)
        except InputError as error:
            return Failure(str(path), str(error))
        raw = [session.run_picture(image)[0] for session in sessions]
        powers = [Power() for _ in names]
        for power, one, other in zip(powers, *raw, strict=True):
            power.add(one, other)
        height, width = image.shape[:2]
        answers = [
            pipeline.decode(*outputs, height=height, width=width)
            for pipeline, outputs in zip(pipelines, raw, strict=True)
        ]
        return powers, agree(floats.contract.task, *answers)

    total = {name: Power() for name in names}
    same = of = 0.0
    done = 0
    failures = []
    progress.start("Comparing answers", len(pictures))
    for compared in ordered_map(compare, pictures, threads):
        progress.update(done := done + 1)
        if isinstance(compared, Failure):
            failures.append(compared)
            continue
        for power, added in zip(total.values(), compared[0], strict=True):
            power.signal += added.signal
            power.noise += added.noise
        same, of = same + compared[1][0], of + compared[1][1]
    progress.stop()
    if len(failures) == len(pictures):
        why = f"none of the {len(pictures)} can be read; {failures[0].error}" if failures else "there are none."
        raise InputError(f"Pictures to compare answers on: {why}")
    return AnswerComparison(
        task=floats.contract.task,
        pictures=len(pictures) - len(failures),
        agreement=same / of if of else 1.0,
        sqnr={name: power.sqnr for name, power in total.items()},
        failures=tuple(failures),
    )


def agree(task: str, one: Any, other: Any) -> tuple[float, float]:
    """How much of two answers is the same, and of how much; the sums of both over pictures make the agreement.

    - Classification: 1 of 1 where the likeliest classes are the same.
    - Detection: twice the pairs that are the same object, of all detections of both; so the sums' quotient is the
      F1 score of one against the other.
    - Segmentation: the share of pixels of the same class, of 1; in the masks as they are answered, so that padding
      counts nothing, and every picture counts the same.

    Args:
        task: Of both networks.
        one: A result of `runtime`.
        other: Another of the same picture.
    """
    if task == "classify":
        return _same_class(one, other)
    return _same_objects(one, other) if task == "detect" else _same_pixels(one, other)


def _same_class(one: ClassificationResult, other: ClassificationResult) -> tuple[float, float]:
    return float(one.classes[0].class_id == other.classes[0].class_id), 1.0


def _same_pixels(one: SegmentationResult, other: SegmentationResult) -> tuple[float, float]:
    return float(np.mean(one.mask == other.mask)), 1.0


def _same_objects(one: DetectionResult, other: DetectionResult) -> tuple[float, float]:
    left = list(other.detections)
    pairs = 0
    for detection in one.detections:  # by falling score, as COCO matches
        overlaps = [_overlap(detection, candidate) for candidate in left]
        if overlaps and max(overlaps) >= _LEAST_IOU:
            left.pop(overlaps.index(max(overlaps)))
            pairs += 1
    return 2.0 * pairs, float(len(one.detections) + len(other.detections))


def _overlap(one: Detection, other: Detection) -> float:
    """Intersection over union; 0 of different classes."""
    if one.class_id != other.class_id:
        return 0.0
    width = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
    height = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
    common = max(width, 0.0) * max(height, 0.0)
    union = _area(one) + _area(other) - common
    return common / union if union > 0 else 0.0


def _area(detection: Detection) -> float:
    left, top, right, bottom = detection.box
    return (right - left) * (bottom - top)
