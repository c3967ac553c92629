"""Channel equalization: channels that one scale is to serve are made alike in range, the network's answers unchanged.

A channel that is multiplied where it is written and divided where it is read leaves a linear network as it was
(Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv 1906.04721), and
gives an eight-bit tensor the channel's share of its 255 steps. Before a depthwise layer that is free, since every
channel there has a weight scale of its own. Before other layers what the tensor wins the weights lose, so the factors
are searched for the least noise of both together; along the residual stream of a stage every projection that writes
it and every expansion that reads it take part.

ReLU is homogeneous. ReLU6 is not: a channel is multiplied only as far as its greatest calibrated value stays below 6,
so the answer is exact on everything that does not exceed what calibration saw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.quantization.encodings import weight_limits
from mnv2deploy.quantization.graph import Graph, Step
from mnv2deploy.quantization.observation import Extent

_CHANNELWISE = ("Add", "GlobalAveragePool", "Flatten", "Tile")
# Channels that were all but dead in calibration may wake up on other pictures.
_GREATEST_FACTOR = 64.0
# How much of the weights' noise counts: rounding in order takes most of it back afterwards. MobileNetV2, 120
# pictures, logits after rounding to nearest and in order: 17.9 and 20.4 dB with 1, 17.7 and 20.5 with 0.5, 16.9 and
# 20.9 with 0.25.
_WEIGHT_SHARE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """Tensors whose channels can only be scaled together, and the layers at their ends.

    Attributes:
        tensors: Their names.
        writers: Layers that make one of them.
        readers: Layers that read one of them.
    """

    tensors: list[str]
    writers: list[Step]
    readers: list[Step]

    @property
    def ceiling(self) -> float:
        """The least value at which an activation cuts a channel; infinity where none does."""
        return min((step.ceiling for step in self.writers if step.ceiling is not None), default=math.inf)


def shared_channels(graph: Graph) -> list[Channels]:
    """Every set of tensors that can be scaled, in the order of execution.

    Sets that reach the graph's input or outputs, or an operator that mixes channels, are left out.
    """
    owner: dict[str, str] = {}

    def root(name: str) -> str:
        while owner.setdefault(name, name) != name:
            name = owner[name]
        return name

    fixed = {graph.input, *graph.outputs}
    for step in graph.steps:
        if step.op in _CHANNELWISE:
            for name in step.inputs:
                owner[root(name)] = root(step.output)
        elif not step.is_layer:
            fixed.update([step.output, *step.inputs])
        elif step.groups > 1 and not step.is_depthwise:
            fixed.update(step.inputs)
    members: dict[str, list[str]] = {}
    for name in [graph.input, *(step.output for step in graph.steps)]:
        members.setdefault(root(name), []).append(name)
    found = []
    for tensors in members.values():
        if fixed.isdisjoint(tensors):
            writers = [step for step in graph.layers if step.output in tensors]
            readers = [step for step in graph.layers if step.inputs[0] in tensors]
            found.append(Channels(tensors, writers, readers))
    return found


def equalize(graph: Graph, extents: Mapping[str, Extent], bits: int = 8) -> None:
    """Scales the channels of every set it can, in place.

    Args:
        graph: Float; its weights change, its answers do not.
        extents: Of every tensor.
        bits: Of the weights.
    """
    for channels in shared_channels(graph):
        scale_channels(channels, factors_of(channels, extents, bits))


def factors_of(channels: Channels, extents: Mapping[str, Extent], bits: int = 8) -> NDArray[np.float64]:
    """(C,) what each channel is to be multiplied by: of a family of choices, the one with the least noise.

    The family is ``reach ** -a * weight ** b`` for a and b between 0 and 1: a makes channels alike in what the tensor
    holds, b in what the readers' weights hold. The noise is that of the readers' answers, from rounding the tensor and
    from rounding their weights, each a rounding's mean square (step ** 2 / 12) times what multiplies it.
    """
    observed = [extents[name] for name in channels.tensors if name in extents]
    reach = np.maximum(np.max([_reach(extent) for extent in observed], axis=0), 1 / _GREATEST_FACTOR)
    weight = np.max([_columns(reader) for reader in channels.readers], axis=0)
    weight = np.maximum(weight / max(weight.max(), 1e-30), 1 / _GREATEST_FACTOR)
    best, least = np.ones(len(reach)), math.inf
    for a in np.linspace(0, 1, 11):
        for b in np.linspace(0, 1, 11):
            factors = _below_ceiling(reach**-a * weight**b, channels.ceiling, observed)
            noise = _noise(channels, factors, observed, bits)
            if noise < least:
                best, least = factors, noise
    return best


def _below_ceiling(factors: NDArray[np.float64], ceiling: float, observed: Sequence[Extent]) -> NDArray[np.float64]:
    """The same ratios where nothing is cut; else none below 1, and none that lifts a calibrated value above 6."""
    if ceiling == math.inf:
        return factors
    highs = np.max([extent.high for extent in observed], axis=0)
    limit = np.where(highs > 0, ceiling / np.maximum(highs, 1e-12), _GREATEST_FACTOR)
    return np.asarray(np.clip(factors / factors.min(), 1.0, np.maximum(limit, 1.0)), np.float64)


def _noise(channels: Channels, factors: NDArray[np.float64], observed: Sequence[Extent], bits: int) -> float:
    """What rounding the tensors and the readers' weights adds to the readers' answers, as a share of their power."""
    tensor_steps = [np.ptp([0.0, *(e.low * factors), *(e.high * factors)]) / 255 for e in observed]
    power = observed[-1].power * factors**2
    noise = 0.0
    for reader in channels.readers:
        weight = _matrix(reader) / factors
        from_tensors = np.mean(np.square(tensor_steps)) / 12 * np.square(weight).sum()
        from_weights = 0.0  # a depthwise layer's scales follow the factors
        if not reader.is_depthwise:
            weight_steps = np.abs(weight).max(1) / weight_limits(bits)[1]
            from_weights = np.square(weight_steps).sum() / 12 * power.sum()
        noise += (from_tensors + _WEIGHT_SHARE * from_weights) / max((np.square(weight) * power).sum(), 1e-30)
    return float(noise)


def _matrix(reader: Step) -> NDArray[np.float64]:
    """(O, C) of a pointwise layer; (kernel, C) of a depthwise one."""
    if reader.is_depthwise:
        return reader.weight.reshape(len(reader.weight), -1).T.astype(np.float64)
    weight = reader.weight.astype(np.float64)
    return np.moveaxis(weight, 1, -1).reshape(-1, weight.shape[1])


def _columns(reader: Step) -> NDArray[np.float64]:
    """(C,) the greatest weight that reads each channel; alike for depthwise layers, whose channels are apart."""
    weight = _matrix(reader)
    return np.ones(weight.shape[1]) if reader.is_depthwise else np.abs(weight).max(0)


def scale_channels(channels: Channels, factors: NDArray[np.float64]) -> None:
    """Multiplies each channel where it is written and divides it where it is read."""
    for step in channels.writers:
        step.weight = np.asarray(step.weight * factors.reshape(-1, *[1] * (step.weight.ndim - 1)), np.float32)
        step.bias = np.asarray(step.bias * factors, np.float32)
    for step in channels.readers:
        axis = 0 if step.is_depthwise else 1
        shape = [-1 if position == axis else 1 for position in range(step.weight.ndim)]
        step.weight = np.asarray(step.weight / factors.reshape(shape), np.float32)


def _reach(extent: Extent) -> NDArray[np.float64]:
    """Of each channel, as a share of the whole tensor's."""
    reach = np.maximum(-extent.low.astype(np.float64), extent.high)
    return np.asarray(reach / max(reach.max(), 1e-12), np.float64)
