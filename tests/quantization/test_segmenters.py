"""PSPNet's products of matrices and DeepLabV3+'s Resize in quantized graphs, with weights made of their names."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from deterministic_weights import picture, weight
from quantized_networks import encode, run, simulate
from small_graphs import Builder, inputs_of

from mnv2deploy.catalog.cards import load_card
from mnv2deploy.errors import ModelError
from mnv2deploy.export import graph as tracing
from mnv2deploy.export.artifact import rewrite
from mnv2deploy.networks import load_network
from mnv2deploy.quantization import qdq, qoperator
from mnv2deploy.quantization.encodings import Encodings
from mnv2deploy.quantization.graph import Graph, read_graph
from mnv2deploy.quantization.refinement import SimulatedGraph

CASES = ("pspnet-cityscapes", "deeplabv3plus-cityscapes")
SIDE = 64
FORMS = {"qdq": qdq.write, "qoperator": qoperator.write}
REFERENCE = Path(__file__).parent.parent / "reference" / "mmsegmentation.npz"


@functools.cache
def exported(case: str) -> onnx.ModelProto:
    """The graph that export writes, before its contract."""
    shapes = json.loads(str(np.load(REFERENCE)["meta"]))[case]["shapes"]
    network = load_network(load_card(case), {name: weight(name, tuple(shape)) for name, shape in shapes.items()}, case)
    model = tracing.trace(network, (3, SIDE, SIDE), ["class_logits"], tracing.DEFAULT_OPSET)
    rewrite(model)
    tracing.normalize(model)
    return model


def sqnr(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(10 * np.log10(np.square(wanted).sum() / np.square(found - wanted).sum()))


@pytest.mark.parametrize("case", CASES)
def test_a_segmenter_written_back_answers_the_same_to_the_bit(case: str) -> None:
    model = exported(case)
    written = read_graph(model, case).to_model()
    onnx.checker.check_model(written, full_check=True)
    given = picture(2, SIDE, SIDE)
    np.testing.assert_array_equal(run(written, given)[0], run(model, given)[0])


@pytest.mark.parametrize("case", CASES)
def test_the_head_of_a_segmenter_in_eight_bits_answers_like_the_float_one(case: str) -> None:
    """Of the head alone: made-up weights magnify in sixteen blocks whatever is rounded before them, with any head."""
    model = exported(case)
    graph = read_graph(model, case)
    kept = [layer.name for layer in graph.layers if layer.name.startswith(("backbone.", "head.low_level."))]
    pictures = [picture(2, SIDE, SIDE)[index : index + 1] for index in range(2)]
    encodings = encode(graph, pictures, kept=kept)
    wanted = run(model, pictures[1])[0]
    best = wanted.argmax(1)
    for write in FORMS.values():
        found = run(write(graph, encodings, picture_bytes=False), pictures[1])[0]
        assert sqnr(found, wanted) > 25
        assert np.mean(found.argmax(1) == best) > 0.9


def stretched() -> Graph:
    """A layer, its answers stretched and multiplied from both sides, and a layer that reads that."""
    random = np.random.default_rng(0)
    builder = Builder()
    builder.layer("first", "image", random.normal(size=(3, 2, 1, 1)), random.normal(size=3))
    scales = builder.constant("scales", np.array([1, 1, 2, 1.5], np.float32))
    builder.node("Resize", ["first", "", scales], "large", mode="linear")
    left = builder.constant("left", random.normal(size=(5, 12)).astype(np.float32))
    right = builder.constant("right", random.normal(size=(9, 4)).astype(np.float32))
    builder.node("MatMul", [left, "large"], "rows")
    builder.node("MatMul", ["rows", right], "both")
    shape = builder.constant("shape", np.array([-1, 1, 20]))  # as PSPNet's: channels join the batch
    builder.node("Reshape", ["both", shape], "apart")
    together = builder.constant("together", np.array([-1, 3, 5, 4]))
    builder.node("Reshape", ["apart", together], "joined")
    return builder.graph(builder.layer("last", "joined", random.normal(size=(2, 3, 3, 3)), random.normal(size=2)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kept", [(), ("first",), ("last",), ("first", "last")], ids="+".join)
def test_onnxruntime_multiplies_and_stretches_what_the_definition_says(form: str, kept: tuple[str, ...]) -> None:
    graph = stretched()
    pictures = inputs_of(graph, 3)
    encodings = encode(graph, pictures, kept=kept)
    model = FORMS[form](graph, encodings, picture_bytes=False)
    for tensor in pictures:
        wanted = simulate(graph, encodings, tensor)["last"]
        apart = np.abs(run(model, tensor)[0] - wanted)
        if "last" not in encodings.tensors:
            assert apart.max() < 1e-4
        else:  # float32 rounds a value that lies between two whole numbers to the other one now and then
            assert apart.max() <= 1.01 * encodings.tensors["last"].scale
            assert np.mean(apart > 1e-4) < 0.1


def test_training_multiplies_and_stretches_as_onnxruntime_does() -> None:
    graph = stretched()
    [given] = inputs_of(graph, 1)
    [found] = SimulatedGraph(graph, Encodings(), {})(torch.from_numpy(given))
    np.testing.assert_allclose(found.numpy(), run(graph.to_model(), given)[0], atol=1e-4)


@pytest.mark.parametrize(
    "attributes", [{}, {"mode": "linear", "coordinate_transformation_mode": "align_corners"}, {"mode": "cubic"}]
)
def test_a_resize_of_another_kind_is_refused(attributes: dict[str, str]) -> None:
    builder = Builder()
    scales = builder.constant("scales", np.array([1, 1, 2, 2], np.float32))
    builder.node("Resize", ["image", "", scales], "last", **attributes)
    with pytest.raises(ModelError, match="some.onnx: last is a Resize other than export writes"):
        read_graph(builder.model("last"), "some.onnx")


def test_a_product_of_two_computed_matrices_is_refused() -> None:
    builder = Builder()
    builder.node("MatMul", ["image", "image"], "last")
    with pytest.raises(ModelError, match="some.onnx: last is a MatMul other than export writes"):
        read_graph(builder.model("last"), "some.onnx")
