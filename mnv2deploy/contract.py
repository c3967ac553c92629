"""The contract: everything the run road needs to know, carried inside the artifact.

It is versioned JSON in ``metadata_props["mnv2deploy"]`` of the ``.onnx`` file. Export writes it; everything
that runs a model reads it; nothing else describes preprocessing or decoding.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

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
    layout: str
    dtype: str
    height: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How a picture becomes the input: ``(pixel - mean) / std`` on 0..255 values, channel by channel.

    Attributes:
        resize: ``stretch``: both sides to the input's, the aspect ratio given up.
        interpolation: ``bilinear``.
        colour: ``rgb``, the order of the channels.
        mean: Of each channel, on the 0..255 scale.
        std: Of each channel, on the 0..255 scale.
    """

    resize: str
    interpolation: str
    colour: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output of the graph.

    Attributes:
        name: Tensor name.
        meaning: ``class_logits`` (N, anchors, columns) or ``box_encodings`` (N, anchors, 4).
    """

    name: str
    meaning: str


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
class DetectionDecoding:
    """How raw outputs become boxes.

    Attributes:
        anchors: One entry a feature map, in the order of the outputs' rows.
        coder: Order of the four encodings, ``yxhw`` or ``xywh``.
        coder_scales: What the encodings were multiplied by in training, in the coder's order (10, 10, 5, 5).
        activation: ``sigmoid`` or ``softmax``, over the columns of the logits.
        score_threshold: Default of ``--score``.
        iou_threshold: Two boxes of a class that overlap more are one object (NMS).
        max_detections: At most so many a picture.
    """

    anchors: tuple[AnchorLayer, ...]
    coder: str
    coder_scales: tuple[float, float, float, float]
    activation: str
    score_threshold: float
    iou_threshold: float
    max_detections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One class.

    Attributes:
        column: Its place in the logits. Columns without a label (background, unused ids) are never answered.
        class_id: The data set's own id.
        name: For people.
    """

    column: int
    class_id: int
    name: str


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

    task: str
    input: Input
    preprocessing: Preprocessing
    outputs: tuple[Output, ...]
    decoding: DetectionDecoding
    labels: tuple[Label, ...]
    provenance: Provenance
    version: int = VERSION

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
        raise ModelError(f"{where} carries a damaged contract ({error}); export the model again.") from error
