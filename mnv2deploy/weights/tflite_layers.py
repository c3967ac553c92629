"""Which layer of a TensorFlow Lite graph is which of MobileNetV2's: known by place, kind and activation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from mnv2deploy.catalog.stages import STAGES
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.tflite_graph import LiteGraph, LiteLayer

BLOCKS = 17

_DEEPLAB_HEAD = ("head.pool", "head.branch", "head.project", "head.classifier")


def place_layers(graph: LiteGraph, where: str) -> dict[str, LiteLayer]:
    """The layers by the names our modules have.

    Raises:
        CheckpointError: there are more or fewer, or one is not what MobileNetV2 has in its place; named.
    """
    modules = [*_expected_backbone(), *_tail(len(graph.layers) - 3 * BLOCKS)]
    if len(modules) != len(graph.layers):
        raise CheckpointError(
            f"{where} has {len(graph.layers)} layers; a classifier has {3 * BLOCKS + 2}, a reduced DeepLabv3 "
            f"{3 * BLOCKS + 4}."
        )
    placed = dict(zip(modules, graph.layers, strict=True))
    if "head.pool" in placed and placed["head.branch"].side == (1, 1):  # written in the other order
        placed["head.pool"], placed["head.branch"] = placed["head.branch"], placed["head.pool"]
    for module, layer in placed.items():
        _require_fit(module, layer, where)
    return placed


def _expected_backbone() -> Iterator[str]:
    yield "backbone.stem"
    for index in range(BLOCKS):
        yield from (f"backbone.blocks.{index}.{part}" for part in ("expand", "depthwise", "project")[index == 0 :])


def _tail(count: int) -> tuple[str, ...]:
    """Modules after the bottlenecks, told by how many there are."""
    return {2: ("backbone.last", "classifier"), 4: _DEEPLAB_HEAD}.get(count, ())


def _require_fit(module: str, layer: LiteLayer, where: str) -> None:
    """Checks a layer's kind, kernel and activation against those of the place it has."""
    part = module.rpartition(".")[2]
    kind = "depthwise" if part == "depthwise" else "conv"
    side = 3 if part in ("stem", "depthwise") else 1
    is_classifier = part == "classifier"
    activation = "none" if (part == "project" and "blocks" in module) or is_classifier else "relu6"
    if module.startswith("head.") and not is_classifier:
        activation = "relu"
    kinds = ("conv", "dense") if is_classifier else (kind,)
    kernel = layer.kernel.shape[1:3] if layer.kind != "dense" else (1, 1)
    if layer.kind not in kinds or kernel != (side, side) or layer.activation != activation:
        raise CheckpointError(
            f"{where}: {layer.name} is a {layer.kind} layer of {kernel[0]} x {kernel[1]} with the activation "
            f"{layer.activation}, where a MobileNetV2 has {kind} {side} x {side} with {activation}."
        )


def padding_convention(layers: Sequence[LiteLayer], where: str) -> Literal["tf", "torch"]:
    """Which framework's convention the strided layers pad by.

    Raises:
        CheckpointError: neither's; names the layer.
    """
    strided = [layer for layer in layers if layer.stride == 2]
    if all(layer.pads is None or layer.pads == _same(layer.side) for layer in strided):
        return "tf"
    if all(layer.pads == ((1, 1), (1, 1)) for layer in strided):
        return "torch"
    odd = next(layer for layer in strided if layer.pads is not None and layer.pads != _same(layer.side))
    raise CheckpointError(f"{where}: {odd.name} is padded by {odd.pads}, as neither TensorFlow nor torch does.")


def _same(side: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """What SAME pads at stride 2 before a 3 x 3 kernel."""
    down, across = ((length % 2, 1) for length in side)
    return down, across


def output_stride_of(depthwise: Sequence[LiteLayer], where: str) -> int:
    """From the strides and dilations, which have to be those of `mnv2deploy.networks.mobilenet_v2.block_specs`.

    Raises:
        CheckpointError: they are of none.
    """
    found = [(layer.stride, layer.dilation) for layer in depthwise]
    for output_stride in (32, 16, 8):
        if found == list(_strides(output_stride)):
            return output_stride
    raise CheckpointError(f"{where} has strides and dilations of no output stride 8, 16 or 32.")


def _strides(output_stride: int) -> Iterator[tuple[int, int]]:
    so_far, dilation = 2, 1
    for _, _, repetitions, first in STAGES:
        for repetition in range(repetitions):
            stride = first if repetition == 0 else 1
            given_up = so_far * stride > output_stride
            yield 1 if given_up else stride, dilation
            so_far, dilation = (so_far, dilation * stride) if given_up else (so_far * stride, dilation)


def channels(layer: LiteLayer) -> int:
    """Output channels."""
    return int(layer.kernel.shape[3 if layer.kind == "depthwise" else 0])
