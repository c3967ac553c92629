"""Which layers cost most in eight bits."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from quantized_networks import encode, simulate, tiny_graph
from verdicts import a_contract

from mnv2deploy.contract import METADATA_KEY, Input, Label, Output
from mnv2deploy.quantization.encodings import Encodings
from mnv2deploy.quantization.graph import Graph
from mnv2deploy.quantization.sensitivity import measure_sensitivity, round_to_nearest
from mnv2deploy.quantization.sensitivity_plot import plot_costs, weights_part


@pytest.fixture(scope="module")
def inputs() -> list[np.ndarray]:
    random = np.random.default_rng(5)
    return [random.normal(size=(1, 3, 16, 16)).astype(np.float32) for _ in range(3)]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return tiny_graph()


@pytest.fixture(scope="module")
def encodings(graph, inputs) -> Encodings:
    return encode(graph, inputs)


def sqnr(graph: Graph, changed: Graph, encodings: Encodings, inputs: list[np.ndarray]) -> float:
    """Of the outputs, by the definition."""
    floats = [simulate(graph, Encodings(), tensor) for tensor in inputs]
    quantized = [simulate(changed, encodings, tensor) for tensor in inputs]
    errors = []
    for name in graph.outputs:
        signal = sum((one[name] ** 2).sum() for one in floats)
        errors.append(sum(((a[name] - b[name]) ** 2).sum() for a, b in zip(floats, quantized, strict=True)) / signal)
    return -10 * np.log10(np.mean(errors))


def test_each_layer_is_quantized_alone(graph, encodings, inputs):
    told = []
    costs = measure_sensitivity(graph, encodings, inputs, lambda: told.append(1))
    assert len(told) == len(costs) == len(graph.layers)
    for cost in costs:
        step = next(step for step in graph.layers if step.name == cost.name)
        tensors = {name: encodings.tensors[name] for name in (*step.inputs, step.output) if name in encodings.tensors}
        layer = encodings.layers[step.name]
        rounded = graph.copy()
        copied = next(other for other in rounded.layers if other.name == step.name)
        copied.weight = layer.weight * layer.scales.reshape(-1, *[1] * (step.weight.ndim - 1))
        assert cost.op == step.op
        assert cost.sqnr == pytest.approx(sqnr(graph, graph, Encodings(tensors, {step.name: layer}), inputs), abs=0.3)
        assert cost.weights_sqnr == pytest.approx(sqnr(graph, rounded, Encodings(), inputs), abs=0.1)
        # Were the float weights between two quantized tensors quantized behind our back, this would be far off.
        assert cost.activations_sqnr == pytest.approx(sqnr(graph, graph, Encodings(tensors), inputs), abs=0.3)


def test_the_dearest_is_first_and_shares_make_a_whole(graph, encodings, inputs):
    costs = measure_sensitivity(graph, encodings, inputs)
    assert sum(cost.share for cost in costs) == pytest.approx(1)
    assert [cost.sqnr for cost in costs] == sorted(cost.sqnr for cost in costs)
    assert costs[0].share / costs[1].share == pytest.approx(10 ** ((costs[1].sqnr - costs[0].sqnr) / 10))


@pytest.mark.parametrize("ruined", ["stem", "depthwise", "logits"])
def test_a_layer_ruined_on_purpose_is_found(graph, encodings, inputs, ruined):
    layers = dict(encodings.layers)
    layers.update(round_to_nearest([step for step in graph.layers if step.name == ruined], bits=2))
    worst = measure_sensitivity(graph, dataclasses.replace(encodings, layers=layers), inputs)[0]
    assert worst.name == ruined
    assert worst.share > 0.9
    assert weights_part(worst) > 0.9


def test_layers_left_in_float_are_not_measured(graph, encodings, inputs):
    layers = {name: layer for name, layer in encodings.layers.items() if name not in ("expand", "head")}
    before = graph.copy()
    costs = measure_sensitivity(graph, dataclasses.replace(encodings, layers=layers), inputs)
    assert {cost.name for cost in costs} == set(layers)
    assert all(np.array_equal(a.weight, b.weight) for a, b in zip(graph.layers, before.layers, strict=True))


def test_rounding_to_nearest_is_never_off_by_more_than_half_a_step(graph):
    for bits, greatest in ((8, 127), (7, 63), (2, 1)):
        found = round_to_nearest(graph.layers, bits)
        for step in graph.layers:
            layer = found[step.name]
            scales = layer.scales.reshape(-1, *[1] * (step.weight.ndim - 1))
            assert (np.abs(layer.weight).reshape(len(layer.weight), -1).max(1) == greatest).all()
            assert (np.abs(layer.weight * scales - step.weight) <= 0.5001 * scales).all()
            assert np.array_equal(layer.bias, step.bias)


def test_the_plot_is_the_same_every_time_and_names_every_layer(graph, encodings, inputs, tmp_path):
    costs = measure_sensitivity(graph, encodings, inputs)
    paths = [tmp_path / name for name in ("one.svg", "other.svg", "one.png")]
    for path in paths:
        plot_costs(costs, path, "tiny, 3 inputs")
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    text = paths[0].read_text(encoding="utf-8")
    assert all(f">{cost.name}<" in text for cost in costs)
    assert "tiny, 3 inputs" in text


@pytest.fixture(scope="module")
def tiny_artifact(tmp_path_factory) -> Path:
    """Three layers, with a contract."""
    random = np.random.default_rng(3)
    shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 8, 1, 1), "b2": (8,), "w3": (4, 8), "b3": (4,)}
    constants = [
        numpy_helper.from_array(random.normal(size=shape).astype(np.float32) / 3, name)
        for name, shape in shapes.items()
    ]
    constants += [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("lo", 0), ("hi", 6))]
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["a"], "first", strides=[2, 2]),
        helper.make_node("Clip", ["a", "lo", "hi"], ["b"], "first/Clip"),
        helper.make_node("Conv", ["b", "w2", "b2"], ["c"], "second"),
        helper.make_node("GlobalAveragePool", ["c"], ["d"], "mean"),
        helper.make_node("Flatten", ["d"], ["e"], "flat"),
        helper.make_node("Gemm", ["e", "w3", "b3"], ["class_logits"], "third", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("class_logits", TensorProto.FLOAT, ["N", 4])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    contract = a_contract()
    contract = dataclasses.replace(
        contract,
        input=Input(name="image", layout="NCHW", dtype="float32", height=32, width=32),
        preprocessing=dataclasses.replace(contract.preprocessing, mean=(127.5,) * 3, std=(127.5,) * 3),
        provenance=dataclasses.replace(contract.provenance, quantization=None),
        outputs=(Output(name="class_logits", meaning="class_logits"),),
        labels=tuple(Label(name=str(index), class_id=index, column=index) for index in range(4)),
    )
    helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def calibration(photos, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("calibration")
    for path in photos.values():
        shutil.copy(path, folder)
    return folder


def test_the_command_prints_a_table_json_and_a_plot(cli, tiny_artifact, calibration, tmp_path):
    plot = tmp_path / "plot.svg"
    done = cli("sensitivity", tiny_artifact, "--calib", calibration, "--target", "generic", "--json", "--plot", plot)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert {layer["name"] for layer in document["layers"]} == {"first", "second", "third"}
    assert (document["target"], document["layers_in_all"], document["plot"]) == ("generic", 3, str(plot))
    assert document["measured_pictures"] == min(8, document["calibration"]["pictures"])
    assert ">second<" in plot.read_text(encoding="utf-8")
    shown = cli("sensitivity", tiny_artifact, "--calib", calibration, "--target", "generic", "--top", "2")
    assert shown.returncode == 0
    header, *rows = shown.stdout.split("\n\n")[0].splitlines()
    assert header.split()[:3] == ["LAYER", "OPERATOR", "SHARE"]
    assert [row.split() for row in rows] == [
        [
            layer["name"],
            layer["op"],
            f"{100 * layer['share']:.1f}",
            "%",
            *(f"{layer[key]:.1f}" for key in ("sqnr_db", "weights_sqnr_db", "activations_sqnr_db")),
        ]
        for layer in document["layers"][:2]
    ]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--top", "0"], 2, "--top 0: at least 1 is needed."),
        (["--target", "toaster"], 2, "toaster"),
        (["--plot", "plot.gif"], 2, ".svg or .png"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(cli, tmp_path, options, code, said):
    done = cli("sensitivity", tmp_path / "none.onnx", "--calib", tmp_path, *options)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""
