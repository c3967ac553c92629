"""Counts of an artifact: those of its network, the batch norms folded."""

from __future__ import annotations

import collections
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static

from mnv2deploy.catalog.cards import card_names, load_card
from mnv2deploy.errors import ModelError
from mnv2deploy.export.inspection import count_artifact
from mnv2deploy.networks.counts import BATCH_NORM, LayerCount, count_card


@pytest.mark.parametrize("name", [card.name for card in map(load_card, card_names()) if card.download.sources])
def test_an_artifact_costs_what_its_network_costs(name: str, artifacts: dict[str, Path]) -> None:
    network, artifact = count_card(load_card(name)), count_artifact(artifacts[name])
    costs = layer_costs(network.layers)
    if name == "deeplabv3-voc":  # its pooled branch is projected once, not at each of 65 x 65 places: export/pooling.py
        costs -= collections.Counter({("conv 1x1", (256, 65, 65), 512 * 256 * 65 * 65): 1})
        costs += collections.Counter(
            {("conv 1x1", (256, 65, 65), 256 * 256 * 65 * 65): 1, ("conv 1x1", (256, 1, 1), 256 * 256): 1}
        )
    assert artifact.multiply_adds == sum(multiply_adds * count for (_, _, multiply_adds), count in costs.items())
    # A folded batch norm leaves a bias a channel: half of its parameters.
    assert artifact.parameters == network.parameters - network.batch_norm_parameters // 2
    assert artifact.batch_norm_parameters == 0
    assert layer_costs(artifact.layers) == costs


def layer_costs(layers: tuple[LayerCount, ...]) -> collections.Counter[tuple[str, tuple[int, ...], int]]:
    found = [(layer.kind, layer.output_shape, layer.multiply_adds) for layer in layers]
    return collections.Counter(entry for entry in found if entry[0] != BATCH_NORM)


class OnePicture(CalibrationDataReader):
    def __init__(self) -> None:
        self.pictures = iter([{"image": np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.pictures, None)


def test_a_quantized_artifact_costs_the_same(artifacts: dict[str, Path], tmp_path: Path) -> None:
    quantized = tmp_path / "int8.onnx"
    quantize_static(artifacts["mobilenet-v2"], quantized, OnePicture(), quant_format=QuantFormat.QDQ, per_channel=True)
    assert quantized.stat().st_size < 5e6
    before, after = count_artifact(artifacts["mobilenet-v2"]), count_artifact(quantized)
    assert (after.parameters, after.multiply_adds) == (before.parameters, before.multiply_adds)
    quantize_dynamic(artifacts["mobilenet-v2"], quantized)  # integer operators; the biases are additions now
    assert count_artifact(quantized).multiply_adds == before.multiply_adds


def save(path: Path, nodes: list[onnx.NodeProto], output: list[int | str], **weights: tuple[int, ...]) -> Path:
    """A model of these nodes from ``image`` (N, 4, 10, 6) to ``out``, its weights all zero."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 4, 10, 6])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


def test_layers_by_hand(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], "first", strides=[2, 2], dilations=[1, 1], group=4),
        helper.make_node("BatchNormalization", ["a", "s", "b", "m", "v"], ["c"], "norm"),
        helper.make_node("Add", ["c", "shift"], ["d"], "add"),  # a constant that is no layer's weight
        helper.make_node("Transpose", ["d"], ["e"], perm=[0, 2, 3, 1]),
        helper.make_node("Transpose", ["turned"], ["f"], perm=[1, 0]),
        helper.make_node("MatMul", ["e", "f"], ["out"], "product"),  # at each of 4 x 2 places
    ]
    norm = {"s": (8,), "b": (8,), "m": (8,), "v": (8,)}
    path = save(tmp_path / "a.onnx", nodes, ["N", 4, 2, 5], w=(8, 1, 3, 3), shift=(1, 8, 1, 1), turned=(5, 8), **norm)
    assert count_artifact(path).layers == (
        LayerCount("first", "depthwise 3x3 stride 2", (8, 4, 2), 72, 72 * 8),
        LayerCount("norm", "batch norm", (8, 4, 2), 16, 0),
        LayerCount("product", "linear", (4, 2, 5), 40, 40 * 8),
    )


def test_what_has_no_shapes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ModelError, match=r"text\.onnx"):
        count_artifact(tmp_path / "text.onnx")
    node = helper.make_node("Riddle", ["image"], ["out"], "riddle", domain="nowhere")
    middle = helper.make_node("Riddle", ["image"], ["between"], "sphinx", domain="nowhere")
    path = save(tmp_path / "riddle.onnx", [middle, node], ["N"])
    with pytest.raises(ModelError, match=r"riddle\.onnx: the shape"):
        count_artifact(path)
