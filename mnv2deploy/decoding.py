"""What a graph puts out, and how that becomes answers: a part of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from mnv2deploy.structure import WRITTEN_WHERE_SET

Meaning = Literal["class_logits", "box_encodings", "boxes", "class_scores", "class_ids", "counts", "mask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output of the graph.

    Attributes:
        name: Tensor name.
        meaning: Of a network's own outputs: ``class_logits`` (N, columns), (N, anchors, columns) or, on a grid,
            (N, columns, h, w); ``box_encodings`` (N, anchors, 4). Of a finished graph, which decodes them itself:
            ``boxes`` (N, M, 4) float32 ``xyxy`` in fractions of the picture; ``class_scores`` (N, M) float32, 0..1,
            falling; ``class_ids`` (N, M) int64, the data set's own; ``counts`` (N,) int64, how many of the M are
            answers; ``mask`` (N, height, width) of class ids, as large as the input, uint8 or, beyond 255, int32.
    """

    name: str
    meaning: Meaning


# What a finished graph puts out for each task, in this order.
FINISHED_OUTPUTS = {
    "classify": ("class_scores", "class_ids"),
    "detect": ("boxes", "class_scores", "class_ids", "counts"),
    "segment": ("mask",),
}
_DECODED = {meaning for meanings in FINISHED_OUTPUTS.values() for meaning in meanings}


def is_finished(task: str, outputs: Sequence[Output]) -> bool:
    """Whether a graph answers by itself: its outputs are answers, not raw numbers that are still to be decoded.

    Raises:
        ValueError: they are neither, or another task's answers.
    """
    meanings = tuple(output.meaning for output in outputs)
    if _DECODED.isdisjoint(meanings):
        return False
    if meanings != FINISHED_OUTPUTS[task]:
        wanted = ", ".join(FINISHED_OUTPUTS[task])
        raise ValueError(f"a finished graph to {task} with puts out {wanted}, not {', '.join(meanings)}")
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorLayer:
    """The anchors of one feature map, in fractions of the input's sides.

    Anchor ``k`` of cell ``(row, column)`` is centred on ``((row + 0.5) * step[0], (column + 0.5) * step[1])``
    and has the size ``sizes[k]``; anchors are ordered row, column, k.

    Attributes:
        grid: Rows and columns.
        step: Distance of neighbouring cells, down and across.
        sizes: Height and width of each anchor of a cell.
    """

    grid: tuple[int, int]
    step: tuple[float, float]
    sizes: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxDecoding:
    """How raw outputs become boxes, the anchors aside.

    Attributes:
        task: Which decoding this is.
        coder: Order of the four encodings, ``yxhw`` or ``xywh``.
        coder_scales: What the encodings were multiplied by in training, in the coder's order (10, 10, 5, 5).
        activation: ``sigmoid`` or ``softmax``, over the columns of the logits.
        score_threshold: Default of ``--score``.
        iou_threshold: Two boxes of a class that overlap more are one object (NMS).
        max_detections: At most so many a picture.
        candidates_per_map: Of those above the score threshold on one feature map, the best so many go on to NMS; None
            for all.
        size_ratio_limit: A box's side is at most so many times its anchor's, and its anchor's at most so many times
            the box's; None for no limit.
        clip: Whether boxes are cut at the picture's border before NMS, where those left without any area go, or after:
            the overlap of boxes that reach out of the picture depends on it.
    """

    task: Literal["detect"] = "detect"
    coder: Literal["yxhw", "xywh"]
    coder_scales: tuple[float, float, float, float]
    activation: Literal["sigmoid", "softmax"]
    score_threshold: float
    iou_threshold: float
    max_detections: int
    candidates_per_map: int | None = field(default=None, metadata=WRITTEN_WHERE_SET)
    size_ratio_limit: float | None = field(default=None, metadata=WRITTEN_WHERE_SET)
    clip: Literal["after_nms", "before_nms"] = field(default="after_nms", metadata=WRITTEN_WHERE_SET)

    def __post_init__(self) -> None:
        if not (0 <= self.score_threshold <= 1 and 0 <= self.iou_threshold <= 1 and self.max_detections >= 1):
            raise ValueError("thresholds should lie between 0 and 1, and max_detections be at least 1")
        if min(self.coder_scales) <= 0:
            raise ValueError("coder_scales should be greater than 0")
        if self.candidates_per_map is not None and self.candidates_per_map < 1:
            raise ValueError("candidates_per_map should be at least 1")
        if self.size_ratio_limit is not None and self.size_ratio_limit < 1:
            raise ValueError("size_ratio_limit should be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionDecoding(BoxDecoding):
    """How raw outputs become boxes.

    Attributes:
        anchors: One entry a feature map, in the order of the outputs' rows.
    """

    anchors: tuple[AnchorLayer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationDecoding:
    """How logits become classes.

    Attributes:
        task: Which decoding this is.
        activation: What turns logits into probabilities: ``softmax``, of one class among all; ``sigmoid``, of each
            class by itself.
        top: Default of ``--top``: so many classes are answered, the likeliest first.
    """

    task: Literal["classify"] = "classify"
    activation: Literal["softmax", "sigmoid"] = "softmax"
    top: int = 5

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ValueError("top should be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationDecoding:
    """How logits on a coarse grid become a class for every pixel: upsampled bilinearly, then the greatest.

    Attributes:
        task: Which decoding this is.
        align_corners: Whether the outer samples of the grid lie on the outer pixels of the input (TensorFlow's
            ``align_corners``), or half a cell inside.
    """

    task: Literal["segment"] = "segment"
    align_corners: bool


Decoding = DetectionDecoding | ClassificationDecoding | SegmentationDecoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One class.

    Attributes:
        column: Its place in the logits. Columns without a label (background, unused ids) are never answered.
        class_id: The data set's own id.
        name: For people.
        colour: Of its pixels in a mask, RGB; None where the data set has no colours.
    """

    column: int
    class_id: int
    name: str
    colour: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        if self.colour is not None and not (min(self.colour) >= 0 and max(self.colour) <= 255):
            raise ValueError(f"colour should be three numbers from 0 to 255, not {self.colour}")
        if self.class_id < 0:
            raise ValueError(f"class_id should be 0 or more, not {self.class_id}")
