"""What the pipelines answer: typed results and their JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Detection:
    """One object.

    Attributes:
        label: Its class's name.
        class_id: The data set's own id (COCO 1..90).
        score: Probability, 0..1.
        box: ``(x1, y1, x2, y2)`` in pixels of the original picture, inside its borders.
    """

    label: str
    class_id: int
    score: float
    box: Box


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """The objects in one picture, highest score first.

    Attributes:
        width: Of the original picture, pixels.
        height: Of the original picture, pixels.
        detections: Highest score first.
    """

    width: int
    height: int
    detections: tuple[Detection, ...]

    def to_json(self) -> dict[str, Any]:
        """The object `mnv2deploy detect --json` prints for a picture, less its ``source``."""
        return {
            "width": self.width,
            "height": self.height,
            "detections": [
                {
                    "label": detection.label,
                    "class_id": detection.class_id,
                    "score": round(detection.score, 6),
                    "box": [round(side, 2) for side in detection.box],
                }
                for detection in self.detections
            ],
        }
