"""The contract: everything the run road needs to know, carried inside the artifact.

It is versioned JSON in ``metadata_props["mnv2deploy"]`` of the ``.onnx`` file. Export writes it; everything
that runs a model reads it; nothing else describes preprocessing or decoding.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

from mnv2deploy.errors import ModelError
from mnv2deploy.structure import build

METADATA_KEY = "mnv2deploy"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """The graph's input.

    Attributes:
        name: Tensor name.
        layout: ``NCHW``.
        dtype: ``float32``.
        height: Pixels.
        width: Pixels.
    """

    name: str
    layout: Literal["NCHW"]
    dtype: Literal["float32"]
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"an input of {self.height} x {self.width} pixels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How a picture becomes the input: resized, then ``(pixel - mean) / std`` on 0..255 values, channel by channel.

    Attributes:
        resize: ``stretch``: both sides to the input's, the aspect ratio given up. ``centre_crop``: the shorter side to
            ``shorter_side``, then the middle of the size of the input. ``pad``: as large as fits the input, in its top
            left corner, the rest filled with ``pad_value``.
        interpolation: ``bilinear``, or ``antialias``: bilinear as PIL does it, over all pixels that are made smaller.
        colour: ``rgb``, the order of the channels.
        mean: Of each channel, on the 0..255 scale.
        std: Of each channel, on the 0..255 scale.
        shorter_side: Pixels; of ``centre_crop`` only.
        pad_value: On the 0..255 scale; of ``pad`` only.
    """

    resize: Literal["stretch", "centre_crop", "pad"]
    interpolation: Literal["bilinear", "antialias"]
    colour: Literal["rgb"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    shorter_side: int | None = None
    pad_value: float | None = None

    def __post_init__(self) -> None:
        if min(self.std) <= 0:
            raise ValueError("std should be greater than 0")
        if (self.shorter_side is not None) != (self.resize == "centre_crop"):
            raise ValueError("shorter_side belongs to resize = 'centre_crop', and to it alone")
        if (self.pad_value is not None) != (self.resize == "pad"):
            raise ValueError("pad_value belongs to resize = 'pad', and to it alone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output of the graph.

    Attributes:
        name: Tensor name.
        meaning: ``class_logits`` (N, columns), (N, anchors, columns) or, on a grid, (N, columns, h, w);
            ``box_encodings`` (N, anchors, 4).
    """

    name: str
    meaning: Literal["class_logits", "box_encodings"]


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
    """

    task: Literal["detect"] = "detect"
    coder: Literal["yxhw", "xywh"]
    coder_scales: tuple[float, float, float, float]
    activation: Literal["sigmoid", "softmax"]
    score_threshold: float
    iou_threshold: float
    max_detections: int

    def __post_init__(self) -> None:
        if not (0 <= self.score_threshold <= 1 and 0 <= self.iou_threshold <= 1 and self.max_detections >= 1):
            raise ValueError("thresholds should lie between 0 and 1, and max_detections be at least 1")
        if min(self.coder_scales) <= 0:
            raise ValueError("coder_scales should be greater than 0")


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
        activation: ``softmax``: what turns the logits of all columns into probabilities.
        top: Default of ``--top``: so many classes are answered, the likeliest first.
    """

    task: Literal["classify"] = "classify"
    activation: Literal["softmax"] = "softmax"
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

# The preprocessing a decoding can take back, to answer in pixels of the original picture.
_RESIZES = {"detect": ("stretch",), "classify": ("stretch", "centre_crop", "pad"), "segment": ("stretch", "pad")}


def check_resize(task: str, preprocessing: Preprocessing, height: int, width: int) -> None:
    """Raises ValueError where answers could not be brought back to the picture, or a crop is larger than it."""
    if preprocessing.resize not in _RESIZES[task]:
        allowed = " or ".join(_RESIZES[task])
        raise ValueError(f"a model to {task} with takes resize = {allowed}, not {preprocessing.resize}")
    if preprocessing.shorter_side is not None and preprocessing.shorter_side < max(height, width):
        raise ValueError(f"shorter_side {preprocessing.shorter_side} is less than the input's {height} x {width}")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the artifact came from.

    Attributes:
        model: Name of the catalog card.
        source: Address the weights were had from.
        weights_sha256: File name and digest of each weights file.
        licence: SPDX identifier of the weights.
        tools: Name and version of each program that shaped the graph.
        opset: Of the default ONNX domain.
        minimum_onnxruntime: The first release that loads this opset and IR version.
        quantization: None for float32.
    """

    model: str
    source: str
    weights_sha256: tuple[tuple[str, str], ...]
    licence: str
    tools: tuple[tuple[str, str], ...]
    opset: int
    minimum_onnxruntime: str
    quantization: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """All of it."""

    input: Input
    preprocessing: Preprocessing
    outputs: tuple[Output, ...]
    decoding: Decoding
    labels: tuple[Label, ...]
    provenance: Provenance
    version: int = VERSION

    def __post_init__(self) -> None:
        columns = {label.column for label in self.labels}
        if len(columns) < len(self.labels) or min(columns, default=-1) < 0:
            raise ValueError("labels should have a column each, from 0 on, and there should be at least one")
        check_resize(self.task, self.preprocessing, self.input.height, self.input.width)

    @property
    def task(self) -> str:
        """``detect``, ``classify`` or ``segment``."""
        return self.decoding.task

    def to_json(self) -> str:
        """The text stored in the artifact: sorted keys, no spaces, the same bytes for the same contract."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def parse_contract(text: str, where: str) -> Contract:
    """Reads a contract back.

    Args:
        text: What `Contract.to_json` wrote.
        where: The file it came from, for messages.

    Raises:
        ModelError: it is not a contract, or not of a version this program understands.
    """
    try:
        data = json.loads(text)
        version = data["version"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelError(f"{where} carries a contract that cannot be read; export the model again.") from error
    if version != VERSION:
        raise ModelError(
            f"{where} carries contract version {version} and this mnv2deploy understands version {VERSION}; "
            "update mnv2deploy or export the model again."
        )
    try:
        return build(Contract, data)
    except ValueError as error:
        raise ModelError(
            f"{where} carries a contract this mnv2deploy cannot read ({error}); update mnv2deploy or export the model "
            "again."
        ) from error
