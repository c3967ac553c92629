"""Parameters and multiply-adds, layer by layer.

What is counted: one multiply-add for each product a convolution or linear layer sums up, for one picture. Biases,
batch norms, activations, additions, pooling and upsampling cost none. That is the paper's "common practice" (Table 4)
and gives its 300 M. `docs/counts.md` sets it beside what others count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mnv2deploy.catalog.cards import Card
from mnv2deploy.catalog.network_specs import NetworkSpec
from mnv2deploy.errors import ModelError
from mnv2deploy.networks import build_network

BATCH_NORM = "batch norm"


@dataclass(frozen=True, slots=True)
class LayerCount:
    """One layer.

    Attributes:
        name: Of the module, or of the node in an ONNX graph.
        kind: ``conv 3x3 stride 2``, ``depthwise 3x3 dilation 2``, ``linear``, ``batch norm``.
        output_shape: Without the batch dimension: (C, H, W) or (C,).
        parameters: Weights and biases; scale and offset of a batch norm, not its running mean and variance.
        multiply_adds: For one picture.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True, slots=True)
class NetworkCounts:
    """All layers that have parameters, in the order they run."""

    layers: tuple[LayerCount, ...]

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def batch_norm_parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers if layer.kind == BATCH_NORM)

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)


class Call(NamedTuple):
    """A module that ran, and the shape of its output: (N, C, H, W) or (N, C)."""

    name: str
    module: nn.Module
    output_shape: tuple[int, ...]


def count_card(card: Card) -> NetworkCounts:
    """Counts a card's network at its input size, as `count_spec` does.

    Raises:
        ModelError: the card's numbers make no network, or not one for this input size.
    """
    try:
        return count_spec(card.network, card.input.height, card.input.width)
    except (ValueError, ArithmeticError, RuntimeError) as error:
        raise ModelError(f"The network of the card {card.name} cannot be built: {error}.") from error


def count_spec(spec: NetworkSpec, height: int, width: int) -> NetworkCounts:
    """Counts what a card describes, without weights: nothing is allocated and nothing computed.

    Raises:
        ValueError: the card's numbers make no network.
        RuntimeError: the network cannot run at this input size.
    """
    return count(build_hollow(spec), height, width)


def build_hollow(spec: NetworkSpec) -> nn.Module:
    """A network of shapes alone, on torch's meta device.

    Raises:
        ValueError: the card's numbers make no network.
    """
    with torch.device("meta"):
        return build_network(spec)


def count(network: nn.Module, height: int, width: int) -> NetworkCounts:
    """Counts a network by running it on one picture.

    Args:
        network: In evaluation mode; takes (N, 3, H, W).
        height: Of the input, pixels.
        width: Of the input, pixels.
    """
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    return NetworkCounts(tuple(_layer(call) for call in run(network, height, width) if isinstance(call.module, kinds)))


def run(network: nn.Module, height: int, width: int) -> list[Call]:
    """Runs a network on one empty picture and notes every module that returns a tensor, in the order they finish."""
    calls: list[Call] = []

    def note(name: str, module: nn.Module, output: object) -> None:
        if isinstance(output, Tensor):
            calls.append(Call(name, module, tuple(output.shape)))

    hooks = [
        module.register_forward_hook(lambda module, _, output, name=name: note(name, module, output))
        for name, module in network.named_modules()
    ]
    device = next(network.parameters()).device
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, height, width, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def convolution_kind(
    kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], groups: int, in_channels: int
) -> str:
    """In words: ``depthwise 3x3 stride 2``."""
    depthwise = groups == in_channels > 1
    words = ["depthwise" if depthwise else "conv" if groups == 1 else f"conv in {groups} groups", _size(kernel)]
    steps = {"stride": stride, "dilation": dilation}
    words += [f"{name} {_shortest(sides)}" for name, sides in steps.items() if max(sides) > 1]
    return " ".join(words)


def _layer(call: Call) -> LayerCount:
    module, shape = call.module, call.output_shape[1:]
    if isinstance(module, nn.BatchNorm2d):
        kind, multiply_adds = BATCH_NORM, 0
    elif isinstance(module, nn.Conv2d):
        sides = module.kernel_size, module.stride, module.dilation
        kind = convolution_kind(*sides, module.groups, module.in_channels)
        multiply_adds = module.weight.numel() * math.prod(shape[1:])
    else:
        kind = "linear"
        multiply_adds = sum(parameter.numel() for parameter in module.parameters() if parameter.ndim > 1)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return LayerCount(call.name, kind, shape, parameters, multiply_adds)


def _size(sides: Sequence[int]) -> str:
    return "x".join(map(str, sides))


def _shortest(sides: Sequence[int]) -> str:
    return str(sides[0]) if len(set(sides)) == 1 else _size(sides)
