"""Which layer of a TensorFlow Lite graph is which, on graphs written here: what the real files do not have too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mnv2deploy.errors import CheckpointError
from mnv2deploy.networks.mobilenet_v2 import block_specs
from mnv2deploy.weights.tflite import describe
from mnv2deploy.weights.tflite_graph import LiteGraph, LiteLayer
from mnv2deploy.weights.tflite_layers import channels, output_stride_of, padding_convention, place_layers
from mnv2deploy.weights.widths import block_channels

TORCH = ((1, 1), (1, 1))


def layer(name: str, kind: str = "conv", kernel: int = 1, activation: str = "relu6", **settings: Any) -> LiteLayer:
    shape = {"dense": (4, 8), "depthwise": (1, kernel, kernel, 8)}.get(kind, (4, kernel, kernel, 8))
    fields = {"bias": None, "stride": 1, "dilation": 1, "pads": None, "side": (7, 7), **settings}
    return LiteLayer(name=name, kind=kind, kernel=np.zeros(shape, np.float32), activation=activation, **fields)


def backbone(output_stride: int = 32) -> list[LiteLayer]:
    layers = [layer("stem", kernel=3, stride=2)]
    for index, spec in enumerate(block_specs(1.0, output_stride)):
        layers += [layer(f"{index}.expand")] if index else []
        layers += [layer(f"{index}.depthwise", "depthwise", 3, stride=spec.stride, dilation=spec.dilation)]
        layers += [layer(f"{index}.project", activation="none")]
    return layers


CLASSIFIER = [*backbone(), layer("last"), layer("classifier", "dense", activation="none")]
BRANCHES = [layer("pool", activation="relu", side=(1, 1)), layer("branch", activation="relu", side=(33, 33))]
TAIL = [layer("project", activation="relu"), layer("classifier", activation="none")]
SEGMENTER = [*backbone(8), *BRANCHES, *TAIL]


# A classifier whose projections have the channels of width 1, so that it can be described.
WIDTHS = {"stem": 32, "last": 1280} | {f"{i}.project": count for i, count in enumerate(block_channels(1.0, 1.0))}
WHOLE = [
    replace(layer, kernel=np.zeros((WIDTHS[layer.name], *layer.kernel.shape[1:]))) if layer.name in WIDTHS else layer
    for layer in CLASSIFIER
]


def place(layers: Sequence[LiteLayer]) -> dict[str, LiteLayer]:
    graph = LiteGraph(224, 224, tuple(layers), frozenset(), scale=1.0, offset=0.0, align_corners=None)
    return place_layers(graph, "m.tflite")


def test_layers_have_the_places_they_run_in() -> None:
    placed = {module: layer.name for module, layer in place(CLASSIFIER).items()}
    assert len(placed) == 53
    assert placed.pop("backbone.last") == "last"
    assert placed.pop("classifier") == "classifier"
    assert all(module.removeprefix("backbone.").removeprefix("blocks.") == name for module, name in placed.items())
    assert "backbone.blocks.0.expand" not in placed


def test_head_of_a_segmenter_is_known_in_either_order() -> None:
    for branches in (BRANCHES, BRANCHES[::-1]):
        placed = place([*backbone(8), *branches, *TAIL])
        names = {module: layer.name for module, layer in placed.items() if module.startswith("head.")}
        assert names == {f"head.{name}": name for name in ("pool", "branch", "project", "classifier")}


@pytest.mark.parametrize("layers", [CLASSIFIER[:-1], [*CLASSIFIER, CLASSIFIER[-1]], [*SEGMENTER, *TAIL], []])
def test_other_numbers_of_layers_are_refused(layers: list[LiteLayer]) -> None:
    with pytest.raises(CheckpointError, match=f"^m.tflite has {len(layers)} layers; a classifier has 53, .* 55"):
        place(layers)


@pytest.mark.parametrize(
    ("layers", "name", "changed"),
    [
        (CLASSIFIER, "stem", layer("stem", kernel=1)),
        (CLASSIFIER, "stem", layer("stem", "depthwise", kernel=3)),
        (CLASSIFIER, "0.depthwise", layer("0.depthwise", kernel=3)),
        (CLASSIFIER, "3.depthwise", layer("3.depthwise", "depthwise", kernel=5)),
        (CLASSIFIER, "3.expand", layer("3.expand", activation="relu")),
        (CLASSIFIER, "3.expand", layer("3.expand", kernel=3)),
        (CLASSIFIER, "3.project", layer("3.project")),
        (CLASSIFIER, "3.project", layer("3.project", "dense", activation="none")),
        (CLASSIFIER, "last", layer("last", activation="none")),
        (CLASSIFIER, "classifier", layer("classifier", "dense", activation="relu6")),
        (CLASSIFIER, "classifier", layer("classifier", kernel=3, activation="none")),
        (SEGMENTER, "branch", layer("branch", side=(33, 33))),
        (SEGMENTER, "pool", layer("pool", activation="none", side=(1, 1))),
        (SEGMENTER, "project", layer("project")),
        (SEGMENTER, "classifier", layer("classifier", activation="relu")),
    ],
)
def test_layer_that_is_another_is_named(layers: list[LiteLayer], name: str, changed: LiteLayer) -> None:
    place(layers)
    with pytest.raises(CheckpointError, match=rf"^m.tflite: {name} is a {changed.kind} layer .* where a MobileNetV2"):
        place([changed if layer.name == name else layer for layer in layers])


@pytest.mark.parametrize(
    ("pads", "convention"),
    [
        ([None, None], "tf"),
        ([((0, 1), (0, 1)), None], "tf"),  # SAME of even sides, written out
        ([((0, 1), (0, 1)), TORCH], "tf"),  # and of the odd sides of the second
        ([TORCH, TORCH], "torch"),
    ],
)
def test_padding_is_told_by_strided_layers(pads: list[Any], convention: str) -> None:
    sides = [(224, 112), (57, 29)]
    strided = [layer("a", stride=2, pads=pad, side=side) for pad, side in zip(pads, sides, strict=True)]
    assert padding_convention([*strided, layer("b", pads=((3, 3), (3, 3)))], "m.tflite") == convention


@pytest.mark.parametrize("pads", [((1, 0), (1, 0)), ((0, 0), (0, 0)), ((1, 1), (0, 1)), ((2, 2), (2, 2))])
def test_padding_that_is_neither_frameworks_is_named(pads: Any) -> None:
    strided = [layer("first", stride=2), layer("second", stride=2, pads=pads, side=(224, 224))]
    with pytest.raises(CheckpointError, match="^m.tflite: second is padded by"):
        padding_convention(strided, "m.tflite")


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_output_stride_is_that_of_the_networks_blocks(output_stride: int) -> None:
    depthwise = [layer for layer in backbone(output_stride) if layer.kind == "depthwise"]
    assert output_stride_of(depthwise, "m.tflite") == output_stride
    wrong = [*depthwise[:-1], replace(depthwise[-1], dilation=3)]
    with pytest.raises(CheckpointError, match="strides and dilations of no output stride"):
        output_stride_of(wrong, "m.tflite")


def test_channels_are_those_a_layer_gives() -> None:
    found = [channels(layer("a", kind, kernel=3)) for kind in ("conv", "depthwise", "dense")]
    assert found == [4, 8, 4]


@pytest.mark.parametrize(("scale", "offset"), [(0.0, 1.0), (-1.0, 0.0), (np.inf, 0.0)])
def test_scaling_that_leaves_no_picture_is_refused(scale: float, offset: float) -> None:
    graph = LiteGraph(224, 224, tuple(WHOLE), frozenset(), scale=scale, offset=offset, align_corners=None)
    with pytest.raises(CheckpointError, match="^m.tflite multiplies pixels by .*, which leaves no picture"):
        describe({}, {"graph": graph}, "m.tflite")
