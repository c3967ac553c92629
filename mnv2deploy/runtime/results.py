"""What the pipelines answer: typed results and their JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class a picture may be of.

    Attributes:
        label: Its name.
        class_id: The data set's own id (ImageNet 0..999).
        score: Probability, 0..1.
    """

    label: str
    class_id: int
    score: float


@dataclass(frozen=True, slots=True)
class ClassificationResult:
    """What a picture shows.

    Attributes:
        width: Of the original picture, pixels.
        height: Of the original picture, pixels.
        classes: The likeliest first.
    """

    width: int
    height: int
    classes: tuple[ClassScore, ...]

    def to_json(self) -> dict[str, Any]:
        """The object `mnv2deploy classify --json` prints for a picture, less its ``source``."""
        return {
            "width": self.width,
            "height": self.height,
            "classes": [
                {"label": one.label, "class_id": one.class_id, "score": round(one.score, 6)} for one in self.classes
            ],
        }


@dataclass(frozen=True, slots=True)
class Segment:
    """All pixels of one class.

    Attributes:
        label: Its name.
        class_id: The data set's own id (VOC 0..20), the value of its pixels in the mask.
        pixels: How many.
        share: Of the picture, 0..1.
        colour: RGB, the data set's own; None where it has none.
    """

    label: str
    class_id: int
    pixels: int
    share: float
    colour: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationResult:
    """A class for every pixel.

    Attributes:
        width: Of the original picture, pixels.
        height: Of the original picture, pixels.
        mask: (H, W) uint8, uint16 beyond 256 classes: the class id of each pixel.
        segments: The classes present, the largest first.
    """

    width: int
    height: int
    mask: NDArray[np.uint8] | NDArray[np.uint16]
    segments: tuple[Segment, ...]

    def to_json(self) -> dict[str, Any]:
        """The object `mnv2deploy segment --json` prints for a picture, less its ``source`` and ``mask``."""
        return {
            "width": self.width,
            "height": self.height,
            "segments": [
                {"label": one.label, "class_id": one.class_id, "pixels": one.pixels, "share": round(one.share, 6)}
                for one in self.segments
            ],
        }
