"""The contract: everything the run road needs to know, carried inside the artifact.

It is versioned JSON in ``metadata_props["mnv2deploy"]`` of the ``.onnx`` file. Export writes it; everything
that runs a model reads it; nothing else describes preprocessing or decoding.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from mnv2deploy.decoding import (
    AnchorLayer,
    BoxDecoding,
    ClassificationDecoding,
    Decoding,
    DetectionDecoding,
    Label,
    Meaning,
    Output,
    SegmentationDecoding,
    is_finished,
)
from mnv2deploy.errors import ModelError
from mnv2deploy.provenance import Provenance, Quantization
from mnv2deploy.structure import build, plain

__all__ = [
    "METADATA_KEY",
    "VERSION",
    "AnchorLayer",
    "BoxDecoding",
    "ClassificationDecoding",
    "Contract",
    "Decoding",
    "DetectionDecoding",
    "Input",
    "Label",
    "Meaning",
    "Output",
    "Preprocessing",
    "Provenance",
    "Quantization",
    "SegmentationDecoding",
    "check_resize",
    "parse_contract",
]

METADATA_KEY = "mnv2deploy"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """The graph's input: normalised numbers, or a resized picture's own bytes, which the graph normalises itself.

    Attributes:
        name: Tensor name.
        layout: ``NCHW``, (N, 3, height, width), of ``float32``; ``NHWC``, (N, height, width, 3), of ``uint8``.
        dtype: ``float32`` or ``uint8``.
        height: Pixels.
        width: Pixels.
    """

    name: str
    layout: Literal["NCHW", "NHWC"]
    dtype: Literal["float32", "uint8"]
    height: int
    width: int

    def __post_init__(self) -> None:
        if (self.layout, self.dtype) not in (("NCHW", "float32"), ("NHWC", "uint8")):
            raise ValueError(f"an input is NCHW float32 or NHWC uint8, not {self.layout} {self.dtype}")
        if self.height < 1 or self.width < 1:
            raise ValueError(f"an input of {self.height} x {self.width} pixels")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one picture."""
        return (3, self.height, self.width) if self.layout == "NCHW" else (self.height, self.width, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How a picture becomes the input: resized, then ``(pixel - mean) / std`` on 0..255 values, channel by channel.

    Where the graph takes bytes there is nothing to normalise: mean 0 and std 1.

    Attributes:
        resize: ``stretch``: both sides to the input's, the aspect ratio given up. ``centre_crop``: the shorter side to
            ``shorter_side``, then the middle of the size of the input. ``pad``: as large as fits the input, in its top
            left corner, the rest filled with ``pad_value``.
        interpolation: ``bilinear``; ``antialias``: bilinear as PIL does it, over all pixels that are made smaller;
            ``bicubic``: as PIL does it, over all pixels too.
        colour: ``rgb``, the order of the channels.
        mean: Of each channel, on the 0..255 scale.
        std: Of each channel, on the 0..255 scale.
        shorter_side: Pixels; of ``centre_crop`` only.
        pad_value: On the 0..255 scale; of ``pad`` only.
    """

    resize: Literal["stretch", "centre_crop", "pad"]
    interpolation: Literal["bilinear", "antialias", "bicubic"]
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


# The preprocessing a decoding can take back, to answer in pixels of the original picture.
_RESIZES = {"detect": ("stretch",), "classify": ("stretch", "centre_crop", "pad"), "segment": ("stretch", "pad")}


def check_resize(task: str, preprocessing: Preprocessing, height: int, width: int) -> None:
    """Raises ValueError where answers could not be brought back to the picture, or a crop is larger than it."""
    if preprocessing.resize not in _RESIZES[task]:
        allowed = " or ".join(_RESIZES[task])
        raise ValueError(f"a model to {task} with takes resize = {allowed}, not {preprocessing.resize}")
    if preprocessing.shorter_side is not None and preprocessing.shorter_side < max(height, width):
        raise ValueError(f"shorter_side {preprocessing.shorter_side} is less than the input's {height} x {width}")


def _check_bytes(preprocessing: Preprocessing) -> None:
    """Raises ValueError where preprocessing would make anything but bytes."""
    if set(preprocessing.mean) != {0} or set(preprocessing.std) != {1}:
        raise ValueError("a graph that takes uint8 normalises by itself, so mean should be 0 and std 1")
    value = preprocessing.pad_value
    if value is not None and not (0 <= value <= 255 and float(value).is_integer()):
        raise ValueError(f"pad_value of an input of uint8 should be a whole number from 0 to 255, not {value}")


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
        if self.input.dtype == "uint8":
            _check_bytes(self.preprocessing)
        is_finished(self.task, self.outputs)

    @property
    def task(self) -> str:
        """``detect``, ``classify`` or ``segment``."""
        return self.decoding.task

    @property
    def finished(self) -> bool:
        """Whether the graph decodes its answers itself; ``decoding`` then says what it was made to do."""
        return is_finished(self.task, self.outputs)

    def to_json(self) -> str:
        """The text stored in the artifact: sorted keys, no spaces, the same bytes for the same contract."""
        return json.dumps(plain(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


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
