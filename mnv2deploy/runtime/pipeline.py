"""The pipeline an artifact's task asks for."""

from __future__ import annotations

from typing import Any

from mnv2deploy.errors import UsageError
from mnv2deploy.runtime.classify import Classifier
from mnv2deploy.runtime.detect import Detector
from mnv2deploy.runtime.segment import Segmenter
from mnv2deploy.runtime.session import Session

Pipeline = Detector | Classifier | Segmenter

_OPTIONS = {"detect": {"score", "iou", "max_detections", "classes"}, "classify": {"top"}, "segment": set[str]()}


def open_pipeline(session: Session, **options: Any) -> Pipeline:
    """The `Detector`, `Classifier` or `Segmenter` for an open artifact.

    Args:
        session: The artifact.
        options: Of the pipeline; None stands for the artifact's own default.

    Raises:
        UsageError: an option that this artifact's task does not have.
    """
    task = session.contract.task
    if foreign := sorted(name for name in options if name not in _OPTIONS[task]):
        raise UsageError(f"{session.name} is a model to {task} with, which has no option {', '.join(foreign)}.")
    kind: Any = {"detect": Detector, "classify": Classifier, "segment": Segmenter}[task]
    pipeline: Pipeline = kind(session, **options)
    return pipeline
