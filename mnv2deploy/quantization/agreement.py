"""Whether the two networks answer alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnv2deploy.errors import InputError
from mnv2deploy.evaluation.answers import Failure
from mnv2deploy.evaluation.bootstrap import LEAST_PICTURES, Interval, interval, resample
from mnv2deploy.evaluation.parallel import ordered_map
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.quantization.comparison import Power
from mnv2deploy.runtime import images
from mnv2deploy.runtime.pipeline import open_pipeline
from mnv2deploy.runtime.results import ClassificationResult, Detection, DetectionResult, SegmentationResult
from mnv2deploy.runtime.session import Session

# Of 95 %.
_Z = 1.959964
# Boxes of one object: COCO's and VOC's least overlap.
_LEAST_IOU = 0.5

MEANINGS = {
    "classify": "pictures with the same first class",
    "detect": "detections that both found (F1: same class, IoU at least 0.5)",
    "segment": "pixels of the same class, mean over pictures",
}
"""What `agree` counts, by task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureComparison:
    """The answers of the two networks to one picture.

    Attributes:
        picture: The file.
        same: How much of them is the same, see `agree`.
        of: Of how much.
    """

    picture: str
    same: float
    of: float

    @property
    def agreement(self) -> float:
        """0..1; 1 where there was nothing to find and nothing was found."""
        return self.same / self.of if self.of else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerComparison:
    """The answers of the two networks to the same pictures.

    Attributes:
        task: ``classify``, ``detect`` or ``segment``.
        pictures: How many both answered.
        agreement: Share of the answers that are the same, 0..1; see `agreement.agree`.
        interval: 95 % of it, had it been other pictures; None of too few.
        sqnr: Of each output by its name, dB; infinite where they are equal. Empty where one of the graphs decodes: its
            outputs are not those of the other.
        differing: Pictures that are not answered alike, the least alike first.
        failures: Pictures that could not be read.
    """

    task: str
    pictures: int
    agreement: float
    interval: Interval | None
    sqnr: Mapping[str, float]
    differing: tuple[PictureComparison, ...]
    failures: tuple[Failure, ...]


def compare_answers(
    floats: Session,
    quantized: Session,
    pictures: Sequence[Path],
    *,
    threads: int = 1,
    progress: Progress = SILENT,
) -> AnswerComparison:
    """Answers every picture with both networks; nothing is kept of a picture but how alike the answers are.

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
    pipelines = (open_pipeline(floats), open_pipeline(quantized))
    task = floats.contract.task
    decodes = floats.contract.finished or quantized.contract.finished
    total = {} if decodes else {output.name: Power() for output in floats.contract.outputs}
    compared: list[PictureComparison] = []
    failures: list[Failure] = []
    progress.start("Comparing answers", len(pictures))
    for found in ordered_map(lambda path: _compare_picture(path, sessions, pipelines, task), pictures, threads):
        if isinstance(found, Failure):
            failures.append(found)
        else:
            powers, picture = found
            compared.append(picture)
            for power, added in zip(total.values(), powers, strict=True):
                power.signal += added.signal
                power.noise += added.noise
        progress.update(len(compared) + len(failures))
    progress.stop()
    if not compared:
        why = f"none of the {len(pictures)} can be read; {failures[0].error}" if failures else "there are none."
        raise InputError(f"Pictures to compare answers on: {why}")
    same, of = (sum(values) for values in zip(*((picture.same, picture.of) for picture in compared), strict=True))
    differing = [picture for picture in compared if picture.agreement < 1]
    return AnswerComparison(
        task=task,
        pictures=len(compared),
        agreement=same / of if of else 1.0,
        interval=agreement_interval(compared, task),
        sqnr={name: power.sqnr for name, power in total.items()},
        differing=tuple(sorted(differing, key=lambda picture: (picture.agreement, picture.picture))),
        failures=tuple(failures),
    )


def _compare_picture(
    path: Path, sessions: Sequence[Session], pipelines: Sequence[Any], task: str
) -> tuple[list[Power], PictureComparison] | Failure:
    try:
        image = images.read(path)
    except InputError as error:
        return Failure(str(path), str(error))
    raw = [session.run_picture(image)[0] for session in sessions]
    powers = [] if any(session.contract.finished for session in sessions) else _powers(*raw)
    height, width = image.shape[:2]
    answers = [
        pipeline.decode(*outputs, height=height, width=width) for pipeline, outputs in zip(pipelines, raw, strict=True)
    ]
    same, of = agree(task, *answers)
    return powers, PictureComparison(picture=str(path), same=same, of=of)


def _powers(one: Sequence[Any], other: Sequence[Any]) -> list[Power]:
    """Of each output of the two."""
    powers = []
    for values, others in zip(one, other, strict=True):
        powers.append(Power())
        powers[-1].add(values, others)
    return powers


def agreement_interval(compared: Sequence[PictureComparison], task: str) -> Interval | None:
    """95 % of the agreement: Wilson's (1927) where a picture is answered alike or not, resampled where partly.

    Args:
        compared: Every picture.
        task: Of the networks.

    Returns:
        Least and greatest; None of fewer than `LEAST_PICTURES`.
    """
    count = len(compared)
    if count < LEAST_PICTURES:
        return None
    same = np.array([picture.same for picture in compared])
    of = np.array([picture.of for picture in compared])
    if task == "classify":
        share = float(same.mean())
        middle = share + _Z**2 / (2 * count)
        reach = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
        whole = 1 + _Z**2 / count
        return max((middle - reach) / whole, 0.0), min((middle + reach) / whole, 1.0)
    shares = [weights @ same / np.maximum(weights @ of, 1e-12) for weights in resample(count)]
    return interval(np.concatenate(shares)) if of.any() else None


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
