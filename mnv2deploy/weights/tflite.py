"""Reads TensorFlow Lite models: MobileNetV2 classifiers, and DeepLabv3 in its reduced form.

Their tensors' names are whatever the converter left; layers are known by their place. Batch norms are folded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.catalog.cards import InputSize
from mnv2deploy.catalog.network_specs import DeepLabSpec
from mnv2deploy.contract import Preprocessing
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.assembly import Tensors, identity_norm
from mnv2deploy.weights.configuration import Config
from mnv2deploy.weights.description import Description, Shapes, of_classifier
from mnv2deploy.weights.tflite_graph import LiteGraph, LiteLayer, read_graph
from mnv2deploy.weights.tflite_layers import BLOCKS, channels, output_stride_of, padding_convention, place_layers
from mnv2deploy.weights.widths import Layer, describe_backbone

_EPSILONS = {"batch_norm_eps": 1e-3, "head_batch_norm_eps": 1e-5}  # folded: any will do, these are TensorFlow's


def read_tflite(path: Path) -> Tensors:
    """Reads a network's kernels and biases, named after our modules: ``backbone.blocks.3.expand/kernel``.

    Raises:
        CheckpointError: it is no TensorFlow Lite file, quantized, or its layers are not MobileNetV2's; named.
        MissingDependencyError: the package tflite is not installed.
    """
    tensors: Tensors = {}
    for module, layer in place_layers(read_graph(path), str(path)).items():
        tensors[f"{module}/kernel"] = layer.kernel
        tensors[f"{module}/bias"] = np.zeros(channels(layer), np.float32) if layer.bias is None else layer.bias
    return tensors


def read_tflite_graph(path: Path) -> Config:
    """The graph, under the key ``graph``."""
    return {"graph": read_graph(path)}


class TfliteCheckpoint:
    """A TensorFlow Lite model's tensors as an `Origin`.

    A batch norm that was folded adds its bias alone.
    """

    def __init__(self, raw: Tensors, epsilons: Mapping[str, float], where: str) -> None:
        self._raw = raw
        self._epsilons = epsilons
        self._where = where
        self._used: set[str] = set()
        self.last = ""

    def tensor(self, key: str) -> NDArray[Any]:
        """See `Origin.tensor`."""
        module, _, kind = key.rpartition(".")
        place = module.removesuffix(".conv").removesuffix(".bn")
        if not module.endswith(".bn"):
            return self._kernel(place, key) if kind == "weight" else self._take(f"{place}/bias")
        return identity_norm(kind, self._take(f"{place}/bias"), self._epsilons[module])

    def unused(self) -> list[str]:
        """See `Origin.unused`."""
        return sorted(set(self._raw) - self._used)

    def _kernel(self, place: str, key: str) -> NDArray[Any]:
        kernel = self._take(f"{place}/kernel")
        if key == "classifier.weight":
            return kernel.reshape(kernel.shape[0], -1)
        if kernel.ndim != 4:
            return kernel
        return kernel.transpose((3, 0, 1, 2) if place.endswith(".depthwise") else (0, 3, 1, 2))

    def _take(self, name: str) -> NDArray[Any]:
        if name not in self._raw:
            raise CheckpointError(f"{self._where} lacks the layer {name.partition('/')[0]}.")
        self._used.add(name)
        self.last = name
        return self._raw[name]


def describe(shapes: Shapes, config: Config, where: str) -> Description:
    """What a TensorFlow Lite model is.

    Args:
        shapes: Unused; the graph has them.
        config: The graph, as `read_tflite_graph` gives it.
        where: File name, for messages.

    Raises:
        CheckpointError: its layers are not MobileNetV2's, or compute something else; named.
    """
    del shapes
    graph: LiteGraph = config["graph"]
    placed = place_layers(graph, where)
    is_segmenter = "head.pool" in placed
    blocks = [placed[f"backbone.blocks.{index}.depthwise"] for index in range(BLOCKS)]
    projections = [_named(placed[f"backbone.blocks.{index}.project"]) for index in range(BLOCKS)]
    last = None if is_segmenter else _named(placed["backbone.last"])
    backbone = describe_backbone(
        _named(placed["backbone.stem"]),
        projections,
        last,
        where,
        padding=padding_convention([placed["backbone.stem"], *blocks], where),
        batch_norm_eps=_EPSILONS["batch_norm_eps"],
        output_stride=output_stride_of(blocks, where),
        channel_divisor=8 if all(layer.channels % 8 == 0 for layer in projections) else 1,
    )
    known = {
        "input": InputSize(height=graph.height, width=graph.width),
        "sides": 1 if all(layer.pads is None for layer in blocks) else None,
    }
    if is_segmenter:
        columns = channels(placed["head.classifier"])
        network = DeepLabSpec(
            architecture="deeplabv3",
            backbone=backbone,
            columns=columns,
            head_batch_norm_eps=_EPSILONS["head_batch_norm_eps"],
        )
        return Description(network=network, align_corners=graph.align_corners, **known)  # type: ignore[arg-type]
    return replace(
        of_classifier(backbone, channels(placed["classifier"]), _activation(graph)),
        preprocessing=_preprocessing(graph, where),
        scales_itself=_preprocessing(graph, where) is not None,
        **known,  # type: ignore[arg-type]
    )


def _activation(graph: LiteGraph) -> Literal["softmax", "sigmoid"] | None:
    if "LOGISTIC" in graph.operators:
        return "sigmoid"
    return "softmax" if "SOFTMAX" in graph.operators else None


def _preprocessing(graph: LiteGraph, where: str) -> Preprocessing | None:
    """Of a graph that scales pixels itself; others leave it open."""
    if (graph.scale, graph.offset) == (1.0, 0.0):
        return None
    try:
        mean, std = round(-graph.offset / graph.scale, 4), round(1 / graph.scale, 4)
        return Preprocessing(
            resize="stretch", interpolation="bilinear", colour="rgb", mean=(mean, mean, mean), std=(std, std, std)
        )
    except (ArithmeticError, ValueError) as error:
        raise CheckpointError(f"{where} multiplies pixels by {graph.scale}, which leaves no picture.") from error


def _named(layer: LiteLayer) -> Layer:
    return Layer(layer.name, channels(layer))
