from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from quantized_networks import encode, run, simulate, tiny_graph
from small_graphs import Builder, inputs_of

from mnv2deploy.quantization.encodings import Encoding, Encodings, quantize, quantized_tensors
from mnv2deploy.quantization.graph import Graph, read_graph
from mnv2deploy.quantization.reconstruction import Reconstruction, _gather, _patches, _residual, reconstruct
from mnv2deploy.quantization.rounding import round_nearest, scales_of

Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def inputs() -> list[Array]:
    return inputs_of(tiny_graph(), 6)


def with_tensors(graph: Graph, inputs: list[Array]) -> Encodings:
    """MinMax of the tensors; no layer yet."""
    return Encodings(encode(graph, inputs).tensors)


@pytest.mark.parametrize("ordered", [True, False])
def test_every_layers_mean_answer_is_the_float_networks(inputs: list[Array], ordered: bool) -> None:
    graph = tiny_graph()
    encodings = with_tensors(graph, inputs)
    reconstruct(graph, encodings, graph.layers, inputs, Reconstruction(ordered=ordered))
    assert list(encodings.layers) == [layer.name for layer in graph.layers]
    simulated = [simulate(graph, encodings, tensor) for tensor in inputs]
    for layer in graph.layers:
        linear = float_layer(graph, layer.name)
        wanted = np.concatenate([run(linear, tensor)[0] for tensor in inputs])
        given = np.concatenate([values[layer.inputs[0]] for values in simulated]).astype(np.float32)
        held = encodings.layers[layer.name]
        single = float_layer(graph, layer.name, alone=True)
        single_weight = held.weight * held.scales.reshape(-1, *[1] * (held.weight.ndim - 1))
        for tensor in single.graph.initializer:
            value = single_weight if tensor.name.endswith(".weight") else held.bias
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(value, np.float32), tensor.name))
        found = np.concatenate([run(single, tensor[None])[0] for tensor in given])
        axes = (0, 2, 3) if wanted.ndim == 4 else (0,)
        np.testing.assert_allclose(found.mean(axes), wanted.mean(axes), atol=2e-3 * np.abs(wanted).max())


def float_layer(graph: Graph, name: str, *, alone: bool = False) -> onnx.ModelProto:
    """The float network up to a layer, or the layer alone, without its activation."""
    changed = graph.copy()
    steps = []
    for step in changed.steps:
        steps.append(step)
        if step.name == name:
            step.ceiling = None
            break
    changed.steps = steps
    if alone:
        changed.steps = steps[-1:]
        changed.input = steps[-1].inputs[0]
        changed.input_shape = (1, "C", "H", "W") if steps[-1].op == "Conv" else (1, "C")
    return changed.to_model([steps[-1].output])


def test_moments_of_one_layer_are_those_counted_by_hand() -> None:
    builder = Builder((1, 2))
    builder.layer("fc", "image", np.array([[1, 2], [3, -1]]), np.array([0.5, 0]), op="Gemm", transB=1)
    graph = builder.graph("fc")
    inputs = [np.array([[1, 2]], np.float32), np.array([[-3, 1]], np.float32)]
    encodings = Encodings({"image": Encoding(1.0, 128)})
    moments = _gather(graph, encodings, graph.layers[0], inputs)
    assert moments.count == 2
    np.testing.assert_allclose(moments.products, [[[1 + 9, 2 - 3], [2 - 3, 4 + 1]]])
    np.testing.assert_allclose(moments.inputs, [[-2, 3]])
    # 1 + 4 + .5 and 3 - 2; -3 + 2 + .5 and -9 - 1
    np.testing.assert_allclose(moments.answers, [[5, -9]])


def test_a_layer_is_given_what_it_will_get_not_what_the_float_network_has() -> None:
    builder = Builder((1, 1))
    builder.layer("fc", "image", np.ones((1, 1)), np.zeros(1), op="Gemm", transB=1)
    graph = builder.graph("fc")
    encodings = Encodings({"image": Encoding(1.0, 0)})
    inputs = [np.array([[value]], np.float32) for value in (0.4, 2.3, -5)]
    moments = _gather(graph, encodings, graph.layers[0], inputs)
    np.testing.assert_allclose(moments.inputs, [[0 + 2 + 0]])
    np.testing.assert_allclose(moments.answers, [[0.4 + 2.3 - 5]], rtol=1e-6)


@pytest.mark.parametrize(
    ("groups", "kernel", "pads", "strides", "dilations"),
    [
        (1, (3, 3), (0, 0, 1, 1), (2, 2), (1, 1)),
        (1, (3, 3), (2, 2, 2, 2), (1, 1), (2, 2)),
        (1, (1, 1), (0, 0, 0, 0), (1, 1), (1, 1)),
        (1, (3, 2), (1, 0, 2, 1), (1, 2), (1, 1)),
        (4, (3, 3), (1, 1, 1, 1), (1, 1), (1, 1)),
        (2, (3, 3), (1, 1, 1, 1), (2, 1), (1, 1)),
    ],
)
def test_patches_are_torchs(groups: int, kernel: tuple, pads: tuple, strides: tuple, dilations: tuple) -> None:
    random = np.random.default_rng(0)
    builder = Builder((1, 4, 9, 8))
    weight = random.normal(size=(4, 4 // groups, *kernel))
    builder.layer("conv", "image", weight, group=groups, pads=pads, strides=strides, dilations=dilations)
    graph = builder.graph("conv")
    given = random.normal(size=(4, 9, 8)).astype(np.float32)
    height, width = run(graph.to_model(), given[None])[0].shape[2:]
    rows, columns = np.divmod(random.permutation(height * width), width)
    found = _patches(graph.layers[0], given, rows, columns)
    padded = F.pad(torch.from_numpy(given)[None], (pads[1], pads[3], pads[0], pads[2]))
    wanted = F.unfold(padded, kernel, dilations, 0, strides)[0].numpy()  # (C * k, positions)
    wanted = wanted.reshape(groups, -1, height * width).swapaxes(1, 2)[:, rows * width + columns]
    np.testing.assert_array_equal(found, wanted)


def test_projections_that_end_a_residual_block_know_the_stream(artifacts: dict[str, Path]) -> None:
    graph = read_graph(onnx.load(artifacts["mobilenet-v2"]), "mobilenet-v2")
    # a block's projection comes second in the graph: the stream was there before
    order = {step.output: index for index, step in enumerate(graph.steps)}
    wanted = {}
    for step in graph.steps:
        if step.op == "Add":
            stream, projection = sorted(step.inputs, key=order.__getitem__)
            wanted[projection] = (stream, step.output)
    assert len(wanted) == 10  # table 2 of the paper: n - 1 of each stage
    for layer in graph.layers:
        assert _residual(graph, layer) == wanted.get(layer.output, (None, None))


def test_an_error_in_the_stream_is_taken_back_by_the_projection_that_joins_it() -> None:
    random = np.random.default_rng(0)
    builder = Builder((1, 3, 6, 6))
    first = builder.layer("first", "image", random.normal(size=(3, 3, 1, 1)), random.normal(size=3))
    second = builder.layer("second", first, random.normal(size=(3, 3, 1, 1)), random.normal(size=3))
    graph = builder.graph(builder.node("Add", [first, second], "sum"))
    inputs = inputs_of(graph, 8)
    encodings = with_tensors(graph, inputs)
    held = encodings.tensors["first"]
    encodings.tensors["first"] = Encoding(held.scale / 3, held.zero_point)  # cuts a good part of the values
    reconstruct(graph, encodings, graph.layers, inputs, Reconstruction())
    wanted = np.concatenate([run(graph.to_model(), tensor)[0] for tensor in inputs])
    values = [simulate(graph, encodings, tensor) for tensor in inputs]
    stream = np.concatenate([value["first"] for value in values])
    second_sum = np.concatenate([value["second"] for value in values]) + stream
    stream_error = np.abs(
        (stream - np.concatenate([run(graph.to_model(["first"]), t)[0] for t in inputs])).mean((0, 2, 3))
    )
    assert stream_error.max() > 0.05
    np.testing.assert_allclose(second_sum.mean((0, 2, 3)), wanted.mean((0, 2, 3)), atol=0.01)


@pytest.mark.parametrize("bits", [8, 7])
def test_weights_have_the_bits_of_the_target(inputs: list[Array], bits: int) -> None:
    graph = tiny_graph()
    encodings = with_tensors(graph, inputs)
    reconstruct(graph, encodings, graph.layers, inputs[:2], Reconstruction(bits=bits))
    greatest = 2 ** (bits - 1) - 1
    for layer in graph.layers:
        held = encodings.layers[layer.name]
        assert held.weight.dtype == np.int8
        assert held.weight.shape == layer.weight.shape
        assert held.scales.dtype == np.float32
        assert held.scales.shape == held.bias.shape == (len(layer.weight),)
        assert np.abs(held.weight.astype(int)).max() == greatest
        restored = held.weight * held.scales.reshape(-1, *[1] * (layer.weight.ndim - 1))
        assert np.abs(restored - layer.weight).max() < 8 * held.scales.max()


def test_without_order_weights_go_to_the_nearest(inputs: list[Array]) -> None:
    graph = tiny_graph()
    encodings = with_tensors(graph, inputs)
    reconstruct(graph, encodings, graph.layers, inputs[:2], Reconstruction(ordered=False))
    for layer in graph.layers:
        flat = layer.weight.reshape(1, len(layer.weight), -1).astype(np.float64)
        scales = scales_of(flat, 127)
        wanted = round_nearest(flat, scales, 127).reshape(layer.weight.shape)
        np.testing.assert_array_equal(encodings.layers[layer.name].weight, wanted)


def test_rounding_in_order_answers_more_like_the_float_network() -> None:
    random = np.random.default_rng(0)
    builder = Builder((1, 16, 6, 6))
    builder.layer("conv", "image", random.normal(size=(8, 16, 3, 3)), random.normal(size=8))
    graph = builder.graph("conv")
    mixing = random.normal(size=(16, 3))
    inputs = [
        np.einsum("cm,nmhw->nchw", mixing, random.normal(size=(1, 3, 6, 6))).astype(np.float32) for _ in range(24)
    ]
    errors = []
    for ordered in (True, False):
        encodings = with_tensors(graph, inputs)
        reconstruct(graph, encodings, graph.layers, inputs, Reconstruction(ordered=ordered, bits=4))
        held = encodings.layers["conv"]
        changed = graph.copy()
        changed.layers[0].weight = held.weight * held.scales.reshape(-1, 1, 1, 1)
        changed.layers[0].bias = held.bias.astype(np.float32)
        pairs = [(run(changed.to_model(), x)[0], run(graph.to_model(), x)[0]) for x in inputs]
        errors.append(sum(float(np.square(a - b).sum()) for a, b in pairs))
    assert errors[0] < 0.5 * errors[1]


def test_layers_left_in_float_are_left(inputs: list[Array]) -> None:
    graph = tiny_graph()
    chosen = [layer for layer in graph.layers if layer.name in ("expand", "logits")]
    everything = with_tensors(graph, inputs)
    encodings = Encodings({name: everything.tensors[name] for name in quantized_tensors(graph, chosen)})
    heard = []
    reconstruct(graph, encodings, chosen, inputs[:2], Reconstruction(), lambda: heard.append(1))
    assert list(encodings.layers) == ["expand", "logits"]
    assert len(heard) == 2


def test_two_runs_give_the_same(inputs: list[Array]) -> None:
    graph = tiny_graph()
    found = []
    for _ in range(2):
        encodings = with_tensors(graph, inputs)
        reconstruct(graph, encodings, graph.layers, inputs[:3], Reconstruction())
        found.append(encodings.layers)
    for name, first in found[0].items():
        np.testing.assert_array_equal(first.weight, found[1][name].weight)
        np.testing.assert_array_equal(first.bias, found[1][name].bias)


def test_the_picture_of_a_float_input_is_rounded_as_it_will_be(inputs: list[Array]) -> None:
    graph = tiny_graph()
    encodings = with_tensors(graph, inputs)
    coarse = Encoding(0.5, 128)
    encodings.tensors[graph.input] = coarse
    first = graph.layers[0]
    moments = _gather(graph, encodings, first, inputs[:1])
    rows, columns = np.divmod(np.arange(64), 8)
    patches = _patches(first, quantize(inputs[0], coarse)[0], rows, columns)[0]
    np.testing.assert_allclose(moments.inputs[0], patches.sum(0), rtol=1e-5, atol=1e-4)
