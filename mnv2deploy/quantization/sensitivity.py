"""Which layers cost most: each alone in eight bits, all others in float32."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from mnv2deploy.quantization import qdq
from mnv2deploy.quantization.comparison import Power
from mnv2deploy.quantization.encodings import Encodings, LayerEncoding, per_channel, weight_limits
from mnv2deploy.quantization.graph import Floats, Graph, Step
from mnv2deploy.runtime.processors import thread_count


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCost:
    """What one layer in eight bits does to the answers, where all others stay in float32.

    Attributes:
        name: Of the layer.
        op: ``Conv`` or ``Gemm``.
        sqnr: Of the graph's outputs, dB, see `relative_error`; infinite where they are the float ones.
        weights_sqnr: With its weights alone in eight bits.
        activations_sqnr: With its input and output alone in eight bits.
        share: Of the sum of all layers' errors, 0..1.
    """

    name: str
    op: str
    sqnr: float
    weights_sqnr: float
    activations_sqnr: float
    share: float


def measure_sensitivity(
    graph: Graph, encodings: Encodings, inputs: Iterable[Floats], told: Callable[[], None] = lambda: None
) -> list[LayerCost]:
    """Quantizes one layer after the other, alone.

    The networks are simulated: onnxruntime is told to leave QuantizeLinear and DequantizeLinear what they are. Were it
    to fuse them, it would quantize the float weights of every convolution between two of them on its own account,
    coarsely (WeightBiasQuantization): of MobileNetV2's fourth depthwise convolution with nothing but its activations in
    eight bits it then made 28.4 dB instead of 41.1.

    Args:
        graph: The float one.
        encodings: Of its tensors and layers; only layers in it are measured.
        inputs: Of the float graph, (1, C, H, W) float32 each, gone through again for every layer; 8 to 16 are enough.
        told: Called after every layer.

    Returns:
        The dearest layer first.
    """
    session = _open(graph.to_model())
    answers: list[list[Floats]] = [session.run(None, {graph.input: tensor}) for tensor in inputs]
    measured = []
    for layer in graph.layers:
        if layer.name not in encodings.layers:
            continue
        models = _alone(graph, encodings, layer)
        measured.append((layer, [_error(model, graph, inputs, answers) for model in models]))
        told()
    total = sum(errors[0] for _, errors in measured) or 1.0
    costs = [
        LayerCost(
            name=layer.name,
            op=layer.op,
            sqnr=_decibels(errors[0]),
            weights_sqnr=_decibels(errors[1]),
            activations_sqnr=_decibels(errors[2]),
            share=errors[0] / total,
        )
        for layer, errors in measured
    ]
    return sorted(costs, key=lambda cost: -cost.share)


def round_to_nearest(layers: Sequence[Step], bits: int) -> dict[str, LayerEncoding]:
    """Every weight to the nearest whole number, in steps that let a channel's greatest weight just be written.

    A layer is to be judged by itself: what `reconstruction` does for one makes up for the errors of those before it,
    and those are not there.

    Args:
        layers: Float.
        bits: Of a weight.
    """
    least, greatest = weight_limits(bits)
    found = {}
    for layer in layers:
        reach = np.abs(layer.weight).reshape(len(layer.weight), -1).max(1)
        scales = np.maximum(reach / greatest, 1e-12).astype(np.float32)
        whole = np.clip(np.rint(layer.weight / per_channel(scales, layer.weight)), least, greatest).astype(np.int8)
        found[layer.name] = LayerEncoding(whole, scales, layer.bias.astype(np.float64))
    return found


def relative_error(powers: Sequence[Power]) -> float:
    """Noise over signal, mean over the outputs, so that a large one (boxes beside classes) hides no small one."""
    return sum(power.noise / max(power.signal, 1e-30) for power in powers) / len(powers)


def _alone(graph: Graph, encodings: Encodings, layer: Step) -> list[onnx.ModelProto]:
    """One layer in eight bits; its weights alone; its input and output alone."""
    ends = (*layer.inputs, layer.output)
    tensors = {name: encodings.tensors[name] for name in ends if name in encodings.tensors}
    encoding = encodings.layers[layer.name]
    whole = dataclasses.replace(encodings, tensors=tensors, layers={layer.name: encoding})
    activations = dataclasses.replace(encodings, tensors=tensors, layers={})
    rounded = dataclasses.replace(
        layer,
        weight=np.asarray(encoding.weight * per_channel(encoding.scales, encoding.weight), np.float32),
        bias=np.asarray(encoding.bias, np.float32),
    )
    weights = dataclasses.replace(graph, steps=[rounded if step is layer else step for step in graph.steps])
    return [
        qdq.write(graph, whole, picture_bytes=False),
        weights.to_model(),
        qdq.write(graph, activations, picture_bytes=False),
    ]


def _error(
    model: onnx.ModelProto, graph: Graph, inputs: Iterable[Floats], answers: Sequence[Sequence[NDArray[Any]]]
) -> float:
    session = _open(model)
    powers = [Power() for _ in graph.outputs]
    for tensor, expected in zip(inputs, answers, strict=True):
        for power, one, other in zip(powers, expected, session.run(None, {graph.input: tensor}), strict=True):
            power.add(one, other)
    return relative_error(powers)


def _open(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session that simulates: see `measure_sensitivity`."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = thread_count(None)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _decibels(error: float) -> float:
    return math.inf if error == 0 else -10 * math.log10(error)
