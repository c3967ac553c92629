"""From a MobileNetV2 checkpoint to a verified ONNX artifact, and from a picture to an answer.

>>> import mnv2deploy
>>> detector = mnv2deploy.load("ssdlite-coco.onnx")  # doctest: +SKIP
>>> detector("street.jpg").detections[0].label  # doctest: +SKIP
'person'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from mnv2deploy.runtime.pipeline import Pipeline
    from mnv2deploy.runtime.results import (
        ClassificationResult,
        ClassScore,
        Detection,
        DetectionResult,
        Segment,
        SegmentationResult,
    )

__version__ = "0.1.0"
__all__ = [
    "ClassScore",
    "ClassificationResult",
    "Detection",
    "DetectionResult",
    "Segment",
    "SegmentationResult",
    "load",
]


def __getattr__(name: str) -> object:
    """Loads the result classes when they are asked for: the command line's start does not need them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mnv2deploy.runtime import results

    return getattr(results, name)


def load(
    path: str | os.PathLike[str], *, threads: int | None = None, provider: str = "cpu", **options: Any
) -> Pipeline:
    """Opens an artifact.

    Args:
        path: The ``.onnx`` file.
        threads: For one inference; None takes every processor this process may use.
        provider: Execution provider in short: ``cpu``, ``cuda``, ``openvino``, ...
        options: Of the artifact's task. To detect: ``score``, ``iou``, ``max_detections`` and ``classes`` (names). To
            classify: ``top``. What is left out is the artifact's own; one whose graph decodes takes no looser one.

    Returns:
        A callable: a picture ((H, W, 3) uint8 RGB, or a path) in; a `DetectionResult`, `ClassificationResult` or
        `SegmentationResult` out.

    Raises:
        UsageError: no such file, an option the task does not have, or one out of range.
        ModelError: not an artifact of mnv2deploy.
        MissingDependencyError: this onnxruntime has no such provider.
    """
    from pathlib import Path

    from mnv2deploy.runtime.pipeline import open_pipeline
    from mnv2deploy.runtime.session import Session

    return open_pipeline(Session(Path(path), threads=threads, provider=provider), **options)
