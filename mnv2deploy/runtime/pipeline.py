"""The pipeline an artifact's task asks for."""

from __future__ import annotations

from typing import Any

from mnv2deploy.errors import UsageError
from mnv2deploy.runtime.classify import Classifier
from mnv2deploy.runtime.detect import Detector
from mnv2deploy.runtime.finished import FinishedClassifier, FinishedDetector, FinishedSegmenter
from mnv2deploy.runtime.segment import Segmenter
from mnv2deploy.runtime.session import Session

Pipeline = Detector | Classifier | Segmenter | FinishedDetector | FinishedClassifier | FinishedSegmenter

_OPTIONS = {"detect": {"score", "iou", "max_detections", "classes"}, "classify": {"top"}, "segment": set[str]()}


def open_pipeline(session: Session, **options: Any) -> Pipeline:
    """The pipeline for an open artifact: of its task, and decoding what its graph does not.

    Args:
        session: The artifact.
        options: Of the pipeline; None stands for the artifact's own default.

    Raises:
        UsageError: an option that this artifact's task does not have, or that its graph has decided.
    """
    task = session.contract.task
    if foreign := sorted(name for name in options if name not in _OPTIONS[task]):
        raise UsageError(f"{session.name} is a model to {task} with, which has no option {', '.join(foreign)}.")
    openers: dict[str, Any] = {"detect": open_detector, "classify": open_classifier, "segment": open_segmenter}
    pipeline: Pipeline = openers[task](session, **options)
    return pipeline


def open_detector(session: Session, **options: Any) -> Detector | FinishedDetector:
    """The pipeline of a detector, see `open_pipeline`; raises ModelError where the artifact is for another task."""
    return FinishedDetector(session, **options) if session.contract.finished else Detector(session, **options)


def open_classifier(session: Session, **options: Any) -> Classifier | FinishedClassifier:
    """The pipeline of a classifier, see `open_pipeline`; raises ModelError where the artifact is for another task."""
    return FinishedClassifier(session, **options) if session.contract.finished else Classifier(session, **options)


def open_segmenter(session: Session) -> Segmenter | FinishedSegmenter:
    """The pipeline of a segmenter, see `open_pipeline`; raises ModelError where the artifact is for another task."""
    return FinishedSegmenter(session) if session.contract.finished else Segmenter(session)
