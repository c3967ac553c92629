from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from quantized_networks import artifact_graph, as_picture, counts, encode, run, simulate, tiny_graph

from mnv2deploy.quantization import qdq, qoperator
from mnv2deploy.quantization.encodings import Encoding
from mnv2deploy.quantization.graph import Graph

BYTES = Encoding(1.0, 117, "uint8")
KEPT = [(), ("stem",), ("depthwise",), ("project",), ("head",), ("logits",), ("expand", "pooled")]


@pytest.fixture(scope="module")
def tiny() -> Graph:
    graph = tiny_graph(3)
    graph.layers[0].weight /= 64  # for pixels
    graph.layers[3].bias += 7  # sums that Relu leaves and ReLU6 would cut
    graph.layers[4].bias += 30  # and a pooled branch that is not all 0
    return graph


@pytest.fixture(scope="module")
def inputs() -> list[np.ndarray]:
    random = np.random.default_rng(2)
    return [random.integers(0, 256, (1, 3, 16, 16)).astype(np.float32) - BYTES.zero_point for _ in range(4)]


@pytest.mark.parametrize("name", ["mobilenet-v2", "ssdlite-coco", "deeplabv3-voc"])
def test_answers_to_a_photo_equal_those_of_qdq(artifacts: dict[str, Path], photos: dict[str, Path], name: str) -> None:
    graph, encoding, pictures = artifact_graph(artifacts[name], photos)
    encodings = encode(graph, [picture - encoding.zero_point for picture in pictures], encoding)
    model = qoperator.write(graph, encodings, picture_bytes=True)
    onnx.checker.check_model(model)
    left = run(model, as_picture(pictures[0]))
    right = run(qdq.write(graph, encodings, picture_bytes=True), as_picture(pictures[0]))
    for ours, theirs in zip(left, right, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    found = counts(model)
    assert found["QLinearConv"] == sum(step.op == "Conv" for step in graph.layers)
    assert found["QGemm"] == sum(step.op == "Gemm" for step in graph.layers)
    assert not found.keys() & {"Conv", "Gemm", "Add", "GlobalAveragePool", "QuantizeLinear", "Clip", "Relu"}


@pytest.mark.parametrize("kept", KEPT, ids="+".join)
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_layers_that_stay_in_float_do_so_as_in_qdq(
    tiny: Graph, inputs: list[np.ndarray], kept: tuple[str, ...], dtype: str
) -> None:
    encodings = encode(tiny, inputs, dtype=dtype, kept=kept)
    model = qoperator.write(tiny, encodings, picture_bytes=False)
    assert counts(model)["QLinearConv"] + counts(model)["QGemm"] == len(tiny.layers) - len(kept)
    wanted = simulate(tiny, encodings, inputs[0])
    boxes, logits = run(model, inputs[0])
    assert np.abs(boxes - wanted["boxes"]).max() <= encodings.tensors.get("head", BYTES).scale * 1.01
    assert np.isclose(boxes, wanted["boxes"], atol=1e-4).mean() > 0.97
    assert np.abs(logits - wanted["logits"]).max() < 0.01
    for ours, theirs in zip(
        (boxes, logits), run(qdq.write(tiny, encodings, picture_bytes=False), inputs[0]), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("options", [{"widened": 0.7}, {"dtype": "int8", "symmetric": True}], ids=["wide", "symmetric"])
def test_an_activation_that_eight_bits_do_not_make_is_a_clip_of_whole_numbers(
    tiny: Graph, inputs: list[np.ndarray], options: dict[str, object]
) -> None:
    encodings = encode(tiny, inputs, **options)  # type: ignore[arg-type]
    model = qoperator.write(tiny, encodings, picture_bytes=False)
    found = counts(model)
    assert found["Clip"] == 5
    assert found["QLinearConv"] + found["QGemm"] == len(tiny.layers)
    assert found["DequantizeLinear"] == 1  # at the end
    for tensor in inputs:
        wanted = simulate(tiny, encodings, tensor)
        boxes, logits = run(model, tensor)
        assert np.abs(boxes - wanted["boxes"]).max() <= encodings.tensors["head"].scale * 1.01
        assert np.isclose(boxes, wanted["boxes"], atol=1e-4).mean() > 0.97
        assert np.abs(logits - wanted["logits"]).max() < 0.01


def test_whole_numbers_are_moved_and_dequantized_last(tiny: Graph, inputs: list[np.ndarray]) -> None:
    model = qoperator.write(tiny, encode(tiny, inputs, BYTES), picture_bytes=True)
    assert [node.op_type for node in model.graph.node][-1] == "DequantizeLinear"
    assert counts(model)["DequantizeLinear"] == 1
    assert counts(model)["QuantizeLinear"] == 0


def test_a_moved_tensor_with_an_encoding_of_its_own_is_rounded_to_it(tiny: Graph, inputs: list[np.ndarray]) -> None:
    encodings = encode(tiny, inputs)
    encodings.tensors["tiled"] = Encoding(encodings.tensors["pooled"].scale * 3, 0)
    wanted = simulate(tiny, encodings, inputs[0])
    _, logits = run(qoperator.write(tiny, encodings, picture_bytes=False), inputs[0])
    assert np.abs(logits - wanted["logits"]).max() < 0.01


def test_a_gemm_may_answer_in_eight_bits(tiny: Graph, inputs: list[np.ndarray]) -> None:
    encodings = encode(tiny, inputs)
    encodings.tensors["logits"] = Encoding(0.05, 128)
    _, logits = run(qoperator.write(tiny, encodings, picture_bytes=False), inputs[0])
    np.testing.assert_allclose(logits / 0.05, np.rint(logits / 0.05), atol=1e-3)
    assert np.abs(logits - simulate(tiny, encodings, inputs[0])["logits"]).max() <= 0.051


def test_a_picture_of_bytes_may_lead_into_a_network_of_int8(tiny: Graph, inputs: list[np.ndarray]) -> None:
    encodings = encode(tiny, inputs, BYTES, dtype="int8")
    model = qoperator.write(tiny, encodings, picture_bytes=True)
    assert counts(model)["QLinearConv"] == 5  # not the first: its input has another type than its output
    boxes, _ = run(model, as_picture(inputs[0] + BYTES.zero_point))
    assert np.abs(boxes - simulate(tiny, encodings, inputs[0])["boxes"]).max() <= encodings.tensors["head"].scale * 1.01


def test_the_encodings_that_were_given_stay_as_they_are(tiny: Graph, inputs: list[np.ndarray]) -> None:
    encodings = encode(tiny, inputs)
    before = dict(encodings.tensors)
    qoperator.write(tiny, encodings, picture_bytes=False)
    assert encodings.tensors == before


def test_no_constant_is_left_unread(tiny: Graph, inputs: list[np.ndarray]) -> None:
    for widened in (0.0, 0.7):
        model = qoperator.write(tiny, encode(tiny, inputs, kept=("depthwise",), widened=widened), picture_bytes=False)
        read = {name for node in model.graph.node for name in node.input}
        assert {tensor.name for tensor in model.graph.initializer} <= read
