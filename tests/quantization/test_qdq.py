from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from quantized_networks import (
    STREAM,
    artifact_graph,
    as_picture,
    constants_of,
    counts,
    encode,
    optimised,
    run,
    simulate,
    stream_graph,
    tiny_graph,
)

from mnv2deploy.quantization import qoperator
from mnv2deploy.quantization.encodings import Encoding, Encodings, quantized_tensors
from mnv2deploy.quantization.graph import Graph
from mnv2deploy.quantization.qdq import write
from mnv2deploy.quantization.writer import cuts_alike

ALL = ("stem", "expand", "depthwise", "project", "pooled", "head", "logits")
KEPT = [(), ("stem",), ("expand",), ("depthwise",), ("project",), ("head",), ("logits",), ("expand", "depthwise"), ALL]
BYTES = Encoding(1.0, 117, "uint8")


@pytest.fixture(scope="module")
def tiny() -> Graph:
    graph = tiny_graph()
    graph.layers[0].weight /= 64  # for pixels
    return graph


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [random.integers(0, 256, (1, 3, 16, 16)).astype(np.float32) for _ in range(4)]


def centred(pictures: list[np.ndarray]) -> list[np.ndarray]:
    return [picture - BYTES.zero_point for picture in pictures]


def with_every_tensor(graph: Graph, pictures: list[np.ndarray], kept: tuple[str, ...]) -> Encodings:
    """Encodings of all tensors, also of those between layers that stay in float32."""
    encodings = encode(graph, centred(pictures), BYTES)
    encodings.layers = {name: layer for name, layer in encodings.layers.items() if name not in kept}
    return encodings


@pytest.mark.parametrize("kept", KEPT, ids="+".join)
def test_onnxruntime_answers_what_the_definition_says(
    tiny: Graph, pictures: list[np.ndarray], kept: tuple[str, ...]
) -> None:
    encodings = with_every_tensor(tiny, pictures, kept)
    model = write(tiny, encodings, picture_bytes=True)
    onnx.checker.check_model(model, full_check=True)
    for picture in pictures:
        wanted = simulate(tiny, encodings, picture - BYTES.zero_point)
        boxes, logits = run(model, as_picture(picture))
        # a value halfway between two steps may go either way
        assert np.abs(boxes - wanted["boxes"]).max() <= encodings.tensors["head"].scale * 1.01
        assert np.isclose(boxes, wanted["boxes"], atol=1e-4).mean() > 0.97
        assert np.abs(logits - wanted["logits"]).max() < 0.01


@pytest.mark.parametrize("kept", KEPT[1:], ids="+".join)
@pytest.mark.parametrize("everything", [True, False], ids=["all tensors in eight bits", "only what is needed"])
def test_layers_that_stay_in_float_keep_their_weights(
    tiny: Graph, pictures: list[np.ndarray], kept: tuple[str, ...], everything: bool, tmp_path: Path
) -> None:
    encodings = (
        with_every_tensor(tiny, pictures, kept) if everything else encode(tiny, centred(pictures), BYTES, kept=kept)
    )
    model = optimised(write(tiny, encodings, picture_bytes=True), tmp_path)
    held = constants_of(model)
    of_layer = {node.input[1]: node for node in model.graph.node if node.op_type in ("Conv", "FusedConv", "Gemm")}
    assert len(of_layer) == len(kept)
    for step in tiny.layers:
        if step.name in kept:
            node = of_layer[f"{step.name}.weight"]
            np.testing.assert_array_equal(held[node.input[1]], step.weight)
            np.testing.assert_array_equal(held[node.input[2]], step.bias)


def test_onnxruntime_would_quantize_them_from_a_single_scale(
    tiny: Graph, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    model = write(tiny, with_every_tensor(tiny, pictures, ("depthwise",)), picture_bytes=True)
    node = next(node for node in model.graph.node if node.output[0] == "depthwise:input")
    del node.attribute[:]
    node.input[1], node.input[2] = "expand:scale", "expand:zero_point"
    assert not counts(optimised(model, tmp_path)).keys() & {"Conv", "FusedConv"}  # if it fails, the trap is gone


def test_every_layer_of_the_artifacts_is_quantized(
    artifacts: dict[str, Path], photos: dict[str, Path], tmp_path: Path
) -> None:
    for name in ("mobilenet-v2", "ssdlite-coco", "deeplabv3-voc"):
        graph, encoding, pictures = artifact_graph(artifacts[name], photos)
        encodings = encode(graph, [picture - encoding.zero_point for picture in pictures], encoding)
        model = write(graph, encodings, picture_bytes=True)
        onnx.checker.check_model(model, full_check=True)
        found = counts(optimised(model, tmp_path))
        kinds = [step.op for step in graph.layers]
        assert found["QLinearConv"] == kinds.count("Conv")
        assert found["QGemm"] == kinds.count("Gemm")
        assert found["QLinearAdd"] == sum(step.op == "Add" for step in graph.steps)
        assert not found.keys() & {"Conv", "FusedConv", "Gemm", "Add", "Clip", "Relu", "GlobalAveragePool"}


def test_the_layers_left_out_of_an_artifact_are_the_only_float_ones(
    artifacts: dict[str, Path], photos: dict[str, Path], tmp_path: Path
) -> None:
    graph, encoding, pictures = artifact_graph(artifacts["mobilenet-v2"], photos)
    kept = {step.name for step in graph.layers[2::9]} | {graph.layers[-1].name}
    inputs = [picture - encoding.zero_point for picture in pictures]
    encodings = encode(graph, inputs, encoding, kept=kept)
    model = write(graph, encodings, picture_bytes=True)
    optimal = optimised(model, tmp_path)
    found = counts(optimal)
    assert found["Conv"] + found["FusedConv"] + found["Gemm"] == len(kept)
    assert found["QLinearConv"] == len(graph.layers) - len(kept)
    held = constants_of(optimal)
    for step in graph.layers:
        if step.name in kept:
            np.testing.assert_array_equal(held[f"{step.name}.weight"], step.weight)


def test_a_float_input_is_quantized_as_the_bytes_would_be(tiny: Graph, pictures: list[np.ndarray]) -> None:
    encodings = encode(tiny, centred(pictures), BYTES)
    from_bytes = run(write(tiny, encodings, picture_bytes=True), as_picture(pictures[0]))
    from_floats = run(write(tiny, encodings, picture_bytes=False), centred(pictures)[0])
    for left, right in zip(from_bytes, from_floats, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(
    ("encoding", "ceiling", "alike"),
    [
        (Encoding(6 / 255, 0), 6.0, True),
        (Encoding(5 / 255, 0), 6.0, True),
        (Encoding(6.1 / 255, 0), 6.0, False),
        (Encoding(6 / 255, 1), 6.0, False),
        (Encoding(6 / 255, -128, "int8"), 6.0, True),
        (Encoding(6 / 127, 0, "int8"), 6.0, False),
        (Encoding(99.0, 0), np.inf, True),
        (Encoding(1.0, 7), None, True),
    ],
)
def test_an_activation_goes_where_eight_bits_cut_alike(encoding: Encoding, ceiling: float | None, alike: bool) -> None:
    assert cuts_alike(encoding, ceiling) is alike


@pytest.mark.parametrize("options", [{"widened": 0.7}, {"dtype": "int8", "symmetric": True}], ids=["wide", "symmetric"])
def test_an_activation_stays_where_they_do_not(
    tiny: Graph, pictures: list[np.ndarray], options: dict[str, object]
) -> None:
    encodings = encode(tiny, centred(pictures), **options)  # type: ignore[arg-type]
    model = write(tiny, encodings, picture_bytes=False)
    assert counts(model)["Clip"] == 3
    assert counts(model)["Relu"] == 2
    wanted = simulate(tiny, encodings, centred(pictures)[0])
    boxes, logits = run(model, centred(pictures)[0])
    assert np.abs(boxes - wanted["boxes"]).max() <= encodings.tensors["head"].scale * 1.01
    assert np.abs(logits - wanted["logits"]).max() < 0.01


def test_a_tensor_is_dequantized_once_for_all_its_readers(tiny: Graph, pictures: list[np.ndarray]) -> None:
    model = write(tiny, encode(tiny, centred(pictures), BYTES), picture_bytes=True)
    made = [name for node in model.graph.node for name in node.output]
    assert len(made) == len(set(made))
    read = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    assert set(made) <= read


def test_the_same_graph_gives_the_same_bytes(tiny: Graph, pictures: list[np.ndarray]) -> None:
    encodings = encode(tiny, centred(pictures), BYTES)
    first, second = (write(tiny, encodings, picture_bytes=True).SerializeToString() for _ in range(2))
    assert first == second


KEPT_BESIDE = [(), ("last.expand",), ("second.expand", "last.expand"), ("stem", "second.depthwise")]


def with_stream(graph: Graph, inputs: list[np.ndarray], kept: tuple[str, ...]) -> Encodings:
    """Encodings with all that sums join in float32."""
    found = encode(graph, inputs, kept=kept)
    held = set(quantized_tensors(graph, [step for step in graph.layers if step.name not in kept], STREAM))
    found.tensors = {name: encoding for name, encoding in found.tensors.items() if name in held}
    return dataclasses.replace(found, stream=STREAM)


@pytest.mark.parametrize("matrices", [True, False], ids=["matrices", "convolutions"])
@pytest.mark.parametrize("form", ["qdq", "qoperator"])
@pytest.mark.parametrize("kept", KEPT_BESIDE, ids="+".join)
def test_a_stream_in_float32_is_rounded_only_where_layers_read_it(
    kept: tuple[str, ...], form: str, matrices: bool
) -> None:
    graph = stream_graph()
    inputs = [np.random.default_rng(seed).normal(size=(2, 3, 8, 8)).astype(np.float32) * 2 for seed in range(3)]
    encodings = with_stream(graph, inputs, kept)
    assert {"third", "sum2" if "last.expand" in kept else "second"}.isdisjoint(encodings.tensors)
    if form == "qdq":
        model = write(graph, encodings, picture_bytes=False, onnxruntime_cpu=matrices)
    else:
        model = qoperator.write(graph, encodings, picture_bytes=False)
    onnx.checker.check_model(model)
    for tensor in inputs:
        wanted = simulate(graph, encodings, tensor)["answers"]
        (found,) = run(model, tensor)
        off = np.abs(found - wanted)
        # a value halfway between two steps may go either way
        assert off.max() <= encodings.tensors["answers"].scale * 2.01
        assert (off < 1e-4).mean() > 0.97


@pytest.mark.parametrize("kept", KEPT_BESIDE[:3], ids="+".join)
def test_what_writes_the_stream_stays_in_eight_bits(kept: tuple[str, ...], tmp_path: Path) -> None:
    graph = stream_graph()
    inputs = [np.random.default_rng(seed).normal(size=(1, 3, 8, 8)).astype(np.float32) * 2 for seed in range(3)]
    encodings = with_stream(graph, inputs, kept)
    found = counts(optimised(write(graph, encodings, picture_bytes=False), tmp_path, everything=True))
    assert found["MatMulIntegerToFloat"] == 3
    assert found["MatMul"] == len(kept)
    assert found["QLinearConv"] == len(graph.layers) - 3 - len(kept)
    assert not found.keys() & {"Conv", "FusedConv", "QLinearAdd", "DynamicQuantizeMatMul"}
    # one where the planes of the input come, one where planes go
    assert found["Transpose"] <= 2
    plain = counts(write(graph, encodings, picture_bytes=False, onnxruntime_cpu=False))
    assert not plain.keys() & {"MatMul", "Transpose"}
