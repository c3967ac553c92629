import numpy as np
import pytest
import torch
from quantized_networks import artifact_graph, as_picture, constants_of, encode, optimised, run

from mnv2deploy.quantization import qdq, qoperator
from mnv2deploy.quantization.encodings import Encoding
from mnv2deploy.quantization.graph import Graph, Step
from mnv2deploy.quantization.wide_stem import GROUP, widen


def stem_of(shape, **attributes):
    random = np.random.default_rng(0)
    weight = random.normal(size=shape).astype(np.float32) / np.float32(100)
    step = Step("stem", "Conv", ["image"], "made", attributes=attributes, ceiling=6.0, weight=weight)
    step.bias = random.normal(size=shape[0]).astype(np.float32)
    return step


def convolve(x, weight, attributes):
    top, left, bottom, right = attributes["pads"]
    x = torch.nn.functional.pad(torch.from_numpy(x), (left, right, top, bottom))
    return torch.nn.functional.conv2d(x, torch.from_numpy(weight), stride=tuple(attributes["strides"])).numpy()


@pytest.mark.parametrize(
    ("kernel", "pads", "strides", "width"),
    [
        ((3, 3), [1, 1, 1, 1], [2, 2], 16),  # torch's
        ((3, 3), [0, 0, 1, 1], [2, 2], 12),  # TensorFlow's
        ((3, 3), [1, 1, 1, 1], [1, 1], 8),
        ((7, 7), [3, 3, 3, 3], [2, 2], 20),
        ((5, 1), [2, 0, 2, 0], [1, 2], 8),
        ((4, 4), [0, 0, 0, 0], [4, 4], 16),
        ((2, 6), [1, 4, 1, 1], [2, 1], 4),
    ],
)
def test_groups_of_pixels_give_the_same_sums(kernel, pads, strides, width):
    stem = stem_of((5, 3, *kernel), pads=pads, strides=strides)
    random = np.random.default_rng(1)
    whole = random.integers(-127, 128, stem.weight.shape).astype(np.int8)
    x = random.integers(-128, 128, (2, 3, 9, width)).astype(np.float64)
    wanted = convolve(x, whole.astype(np.float64), stem.attributes)
    wide = widen(stem, whole, width)
    assert wide is not None
    # (N, C, H, W) to (N, 4 C, H, W / 4), pixel by pixel as the bytes lie
    groups = x.transpose(0, 2, 3, 1).reshape(2, 9, width // GROUP, GROUP * 3).transpose(0, 3, 1, 2)
    found = convolve(np.ascontiguousarray(groups), wide.weight.astype(np.float64), wide.attributes)
    pixels = found.transpose(0, 2, 3, 1).reshape(2, found.shape[2], -1, 5).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(pixels, wanted)


@pytest.mark.parametrize(
    ("shape", "attributes", "width"),
    [
        ((8, 3, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}, 18),  # no whole groups
        ((8, 3, 3, 3), {"pads": [1, 1, 1, 1], "strides": [3, 3]}, 12),  # answers that lie across two
        ((8, 3, 3, 3), {"pads": [0, 0, 0, 0], "strides": [2, 2]}, 16),  # fewer answers than groups hold
        ((8, 3, 3, 3), {"pads": [2, 2, 2, 2], "strides": [2, 2], "dilations": [2, 2]}, 16),
        ((8, 4, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}, 16),  # fours already
        ((9, 1, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2], "group": 3}, 16),
    ],
)
def test_other_stems_are_left_as_they_are(shape, attributes, width):
    assert widen(stem_of(shape, **attributes), np.ones(shape, np.int8), width) is None


@pytest.mark.parametrize("form", ["qdq", "qoperator"])
@pytest.mark.parametrize("change", ["", "clipped", "seen twice", "float"])
def test_the_answers_are_those_of_the_plain_stem(form, change):
    stem = stem_of((8, 3, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2])
    head = Step("head", "Conv", ["made"], "answers", weight=np.ones((4, 8, 1, 1), np.float32), bias=np.zeros(4))
    steps = [stem, head]
    outputs = ["answers"]
    if change == "seen twice":
        steps.append(Step("thumb", "GlobalAveragePool", ["image"], "thumb"))
        outputs.append("thumb")
    graph = Graph("image", outputs, steps, 18, 8, ("batch", 3, 8, 16), [None] * len(outputs))
    pictures = np.random.default_rng(3).integers(0, 256, (3, 3, 8, 16)).astype(np.float32)
    encoding = Encoding(1.0, 117, "uint8")
    encodings = encode(
        graph,
        [pictures - 117],
        encoding,
        kept=("stem",) if change == "float" else (),
        widened=4.0 if change == "clipped" else 0.0,
    )
    if form == "qdq":
        model = qdq.write(graph, encodings, picture_bytes=True)
    else:
        model = qoperator.write(graph, encodings, picture_bytes=True)
    grouped = any(node.op_type == "Reshape" for node in model.graph.node)
    assert grouped == (not change)
    plain = qdq.write(graph, encodings, picture_bytes=True, onnxruntime_cpu=False)
    bytes_ = np.ascontiguousarray(pictures.transpose(0, 2, 3, 1).astype(np.uint8))
    for found, wanted in zip(run(model, bytes_), run(plain, bytes_), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_nothing_but_views_is_added_to_the_artifacts(artifacts, photos, tmp_path):
    for name, widened in (("mobilenet-v2", True), ("ssdlite-coco", True), ("deeplabv3-voc", False)):
        graph, encoding, pictures = artifact_graph(artifacts[name], photos)
        encodings = encode(graph, [picture - encoding.zero_point for picture in pictures[:1]], encoding)
        model = qdq.write(graph, encodings, picture_bytes=True)
        laid_out = optimised(model, tmp_path, everything=True)
        stem = next(node for node in laid_out.graph.node if node.op_type == "QLinearConv")
        before = [node.op_type for node in laid_out.graph.node][: list(laid_out.graph.node).index(stem)]
        assert before == (["Reshape"] if widened else [])
        shapes = constants_of(model)["backbone.stem.conv.weight:quantized"].shape
        assert shapes == ((64, 12, 3, 2) if widened else (32, 3, 3, 3))
        if widened:
            plain = qdq.write(graph, encodings, picture_bytes=True, onnxruntime_cpu=False)
            for left, right in zip(
                run(model, as_picture(pictures[0])), run(plain, as_picture(pictures[0])), strict=True
            ):
                np.testing.assert_array_equal(left, right)
