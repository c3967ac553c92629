"""What a quantized graph adds to a float one: a scale and a zero point for every tensor, whole numbers for weights."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.quantization.graph import Floats, Graph, Step

_LIMITS = {"uint8": (0, 255), "int8": (-128, 127)}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one tensor is written in eight bits: ``real = scale * (whole - zero_point)``.

    Attributes:
        scale: Greater than 0.
        zero_point: The whole number that stands for 0, so that padding is exact.
        dtype: Of the whole numbers.
    """

    scale: float
    zero_point: int
    dtype: Literal["uint8", "int8"] = "uint8"

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest whole number."""
        return _LIMITS[self.dtype]

    @property
    def low(self) -> float:
        """The least value it can write."""
        return self.scale * (self.limits[0] - self.zero_point)

    @property
    def high(self) -> float:
        """The greatest value it can write."""
        return self.scale * (self.limits[1] - self.zero_point)


@dataclass(frozen=True, slots=True, eq=False)
class LayerEncoding:
    """A layer's weights in eight bits.

    Attributes:
        weight: int8, in the shape of the layer's weight.
        scales: (O,) float32, one an output channel.
        bias: (O,) float64, to be rounded to int32 in steps of the input's scale times these.
    """

    weight: NDArray[np.int8]
    scales: Floats
    bias: NDArray[np.float64]


@dataclass(slots=True)
class Encodings:
    """All that `qdq.write` needs beside the graph.

    Attributes:
        tensors: Of the input and of every tensor that is quantized, by its name.
        layers: Of every layer that is, by its name; the others stay in float32.
        stream: Tensors of residual streams that are float32 although layers of eight bits write them. Sums read and
            write them as they are; a quantized layer reads one rounded by its encoding.
    """

    tensors: dict[str, Encoding] = field(default_factory=dict)
    layers: dict[str, LayerEncoding] = field(default_factory=dict)
    stream: frozenset[str] = frozenset()


def encoding_of_range(low: float, high: float, dtype: Literal["uint8", "int8"], *, symmetric: bool) -> Encoding:
    """The encoding whose ends are as near to ``low`` and ``high`` as a zero point that is a whole number allows.

    Args:
        low: Widened to 0 where it is greater.
        high: Widened to 0 where it is less.
        dtype: Of the whole numbers.
        symmetric: Whether the zero point is the middle, as int8 inference without zero points needs it.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    least, greatest = _LIMITS[dtype]
    if symmetric:
        middle = 0 if dtype == "int8" else 128
        reach = max(-low, high * (middle - least) / (greatest - middle), 1e-9)
        return Encoding(float(np.float32(reach / (middle - least))), middle, dtype)
    scale = float(np.float32(max(high - low, 1e-9) / (greatest - least)))
    zero_point = int(np.clip(round(least - low / scale), least, greatest))
    return Encoding(scale, zero_point, dtype)


def weight_limits(bits: int) -> tuple[int, int]:
    """Least and greatest whole number of a symmetric weight: 127 both ways for 8 bits, 63 for 7."""
    greatest = 2 ** (bits - 1) - 1
    return -greatest, greatest


def quantize(values: NDArray[Any], encoding: Encoding) -> NDArray[np.float32]:
    """Rounds to what the encoding can write, half to even as onnxruntime does; stays real-valued."""
    whole = np.rint(values / np.float32(encoding.scale)) + encoding.zero_point
    clipped = np.clip(whole, *encoding.limits)
    return np.asarray((clipped - encoding.zero_point) * np.float32(encoding.scale), np.float32)


def per_channel(scales: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    """``scales`` (O,) in a shape that multiplies ``weight`` (O, ...)."""
    return scales.reshape(-1, *[1] * (weight.ndim - 1))


def quantized_tensors(graph: Graph, layers: Sequence[Step], stream: Collection[str] = ()) -> list[str]:
    """The tensors to be written in eight bits where these layers are quantized, in the order they are made.

    Every value a quantized layer reads or writes, and what arithmetic between them does; values that are only moved
    about on their way to an output stay as they are, and so does what a Gemm at the end of the graph answers
    (onnxruntime's QGemm writes float32). Those of ``stream`` are only for quantized layers to read.
    """
    quantized = {step.name for step in layers}
    needed: set[str] = set()
    for step in reversed(graph.steps):
        if step.name in quantized:
            needed.update(step.inputs)
            if step.output not in stream and (step.op == "Conv" or graph.consumers(step.output)):
                needed.add(step.output)
        elif not step.is_layer and step.output in needed and step.output not in stream:
            needed.update(step.inputs)
    order = [graph.input, *(step.output for step in graph.steps)]
    return [name for name in order if name in needed]
