"""Answers as a manifest keeps them, and whether two artifacts' or machines' answers to a picture are the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mnv2deploy.artifacts.manifest import Answer
from mnv2deploy.contract import Contract, DetectionDecoding
from mnv2deploy.runtime.results import ClassificationResult, DetectionResult, SegmentationResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """How far two answers may be apart and still be the same.

    Attributes:
        score: Of a class or an object.
        iou: Least overlap of two boxes that are one object.
        share: Of the picture, of a segment.
    """

    score: float
    iou: float
    share: float


def to_answers(result: ClassificationResult | DetectionResult | SegmentationResult) -> tuple[Answer, ...]:
    """What a pipeline answered, as a manifest keeps it, in the pipeline's order."""
    if isinstance(result, ClassificationResult):
        return tuple(
            Answer(label=one.label, class_id=one.class_id, score=round(one.score, 6)) for one in result.classes
        )
    if isinstance(result, DetectionResult):
        return tuple(
            Answer(label=one.label, class_id=one.class_id, score=round(one.score, 6), box=_rounded(one.box))
            for one in result.detections
        )
    return tuple(Answer(label=one.label, class_id=one.class_id, share=round(one.share, 6)) for one in result.segments)


def compare_answers(
    wanted: Sequence[Answer], got: Sequence[Answer], contract: Contract, margins: Margins
) -> Iterator[str]:
    """Says where answers differ, in sentences without a subject ("finds no cat ...").

    What lies so near a limit that margins could carry it across (the last of the likeliest classes, an object near
    the threshold) may be answered or not.

    Args:
        wanted: As noted.
        got: As answered now.
        contract: Of the artifact.
        margins: What may differ.
    """
    if contract.task == "classify":
        return _compare_classes(wanted, got, margins)
    if isinstance(contract.decoding, DetectionDecoding):
        least = contract.decoding.score_threshold
        return _compare_objects(wanted, got, margins, least, contract.decoding.max_detections)
    return _compare_segments(wanted, got, margins)


def _compare_classes(wanted: Sequence[Answer], got: Sequence[Answer], margins: Margins) -> Iterator[str]:
    if not wanted or not got:
        if wanted or got:
            yield f"answers {len(got)} classes instead of {len(wanted)}"
        return
    noted, answered = _scores(wanted), _scores(got)
    # Two classes may change places where both scores may reach the middle between them.
    if noted.get(got[0].class_id, 0.0) < _score(wanted[0]) - 2 * margins.score:
        yield f"answers {_name(got[0])} first instead of {_name(wanted[0])}"
        return
    for class_id, label in {answer.class_id: answer.label for answer in (*wanted, *got)}.items():
        # A class that is not among the likeliest has at most the score of the last of them.
        before = noted.get(class_id, min(answered.get(class_id, 0.0), _score(wanted[-1])))
        after = answered.get(class_id, min(noted.get(class_id, 0.0), _score(got[-1])))
        if abs(after - before) > margins.score:
            yield f"gives {label} a score of {after:.3f} instead of {before:.3f}"


def _compare_objects(
    wanted: Sequence[Answer], got: Sequence[Answer], margins: Margins, threshold: float, most: int
) -> Iterator[str]:
    for answer in _without_partner(wanted, got, margins, threshold, most):
        yield f"does not find {_name(answer)} at {_place(answer)}"
    for answer in _without_partner(got, wanted, margins, threshold, most):
        yield f"finds {_name(answer)} at {_place(answer)}, which it should not"


def _without_partner(
    objects: Sequence[Answer], others: Sequence[Answer], margins: Margins, threshold: float, most: int
) -> list[Answer]:
    """Of the objects that are surely over the threshold, those that are not among the others; each other is one."""
    least = max(threshold, _score(objects[-1]) if len(objects) >= most else 0.0) + margins.score
    left, alone = list(others), []
    for answer in objects:
        if _score(answer) < least:
            continue
        partners = [
            other
            for other in left
            if other.class_id == answer.class_id
            and abs(_score(other) - _score(answer)) <= margins.score
            and _overlap(answer, other) >= margins.iou
        ]
        if partners:
            left.remove(max(partners, key=lambda other: _overlap(answer, other)))
        else:
            alone.append(answer)
    return alone


def _compare_segments(wanted: Sequence[Answer], got: Sequence[Answer], margins: Margins) -> Iterator[str]:
    noted, answered = ({answer.class_id: answer.share or 0.0 for answer in answers} for answers in (wanted, got))
    for class_id, label in {answer.class_id: answer.label for answer in (*wanted, *got)}.items():
        before, after = noted.get(class_id, 0.0), answered.get(class_id, 0.0)
        if abs(after - before) > margins.share:
            yield f"says that {after:.1%} of the picture is {label} instead of {before:.1%}"


def _rounded(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (round(side, 2) for side in box)
    return left, top, right, bottom


def _scores(answers: Sequence[Answer]) -> dict[int, float]:
    return {answer.class_id: _score(answer) for answer in answers}


def _score(answer: Answer) -> float:
    return answer.score or 0.0


def _name(answer: Answer) -> str:
    return f"{answer.label} ({_score(answer):.3f})"


def _place(answer: Answer) -> str:
    return f"({', '.join(f'{side:.0f}' for side in answer.box or ())})"


def _overlap(one: Answer, other: Answer) -> float:
    """Intersection over union of their boxes; of two without any area, whether they are the same."""
    if one.box is None or other.box is None:
        return 0.0
    width = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
    height = min(one.box[3], other.box[3]) - max(one.box[1], other.box[1])
    common = max(width, 0.0) * max(height, 0.0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one.box, other.box)) - common
    return common / union if union > 0 else float(one.box == other.box)
