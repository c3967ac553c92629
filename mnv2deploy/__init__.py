"""From a MobileNetV2 checkpoint to a verified ONNX artifact, and from a picture to an answer.

>>> import mnv2deploy
>>> detector = mnv2deploy.load("ssdlite-coco.onnx")  # doctest: +SKIP
>>> detector("street.jpg").detections[0].label  # doctest: +SKIP
'person'
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from mnv2deploy.runtime.results import Detection, DetectionResult

if TYPE_CHECKING:
    from mnv2deploy.runtime.detect import Detector

__version__ = "0.1.0"
__all__ = ["Detection", "DetectionResult", "load"]


def load(
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    provider: str = "cpu",
    score: float | None = None,
    iou: float | None = None,
    max_detections: int | None = None,
    classes: Collection[str] = (),
) -> Detector:
    """Opens an artifact.

    Args:
        path: The ``.onnx`` file.
        threads: For one inference; None takes every processor this process may use.
        provider: Execution provider in short: ``cpu``, ``cuda``, ``openvino``, ...
        score: Least probability answered; None takes the artifact's own threshold.
        iou: NMS threshold; None takes the artifact's own.
        max_detections: At most so many a picture; None takes the artifact's own.
        classes: Names of the classes to answer; empty answers all.

    Returns:
        A callable: a picture ((H, W, 3) uint8 RGB, or a path) in, a `DetectionResult` out.

    Raises:
        UsageError: no such file, or an argument out of range.
        ModelError: not an artifact of mnv2deploy.
        MissingDependencyError: this onnxruntime has no such provider.
    """
    from mnv2deploy.runtime.detect import Detector
    from mnv2deploy.runtime.session import Session

    session = Session(Path(path), threads=threads, provider=provider)
    return Detector(session, score=score, iou=iou, max_detections=max_detections, classes=classes)
