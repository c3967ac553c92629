"""Stretched feature maps: what is rewritten answers as before, and onnxruntime has less to do."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mnv2deploy.export.pyramid import convolve_before_stretching
from mnv2deploy.export.resizing import least_scale, stretch_by_constant_scales

CHANNELS = 4


def pyramid(
    height: int, width: int, regions: tuple[tuple[int, int], ...], order: str = "map first", **attributes: object
) -> onnx.ModelProto:
    """A map and region maps, each stretched as torch's exporter has it, joined and convolved 3x3."""
    generator = np.random.default_rng(0)
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", CHANNELS, height, width])]
    nodes, joined = [], ["image"]
    constants: dict[str, NDArray[np.generic]] = {"sides": np.array([height, width])}
    for index, (rows, columns) in enumerate(regions):
        inputs.append(helper.make_tensor_value_info(f"r{index}", TensorProto.FLOAT, ["N", CHANNELS, rows, columns]))
        nodes += [
            helper.make_node("Relu", [f"r{index}"], [f"relu{index}"]),
            helper.make_node("Shape", [f"relu{index}"], [f"shape{index}"], start=0, end=2),
            helper.make_node("Concat", [f"shape{index}", "sides"], [f"sizes{index}"], axis=0),
            helper.make_node(
                *("Resize", [f"relu{index}", "", "", f"sizes{index}"], [f"stretched{index}"], f"resize{index}"),
                mode="linear",
                coordinate_transformation_mode="half_pixel",
            ),
        ]
        joined.append(f"stretched{index}")
    if order == "map last":
        joined.reverse()
    if order == "map twice":
        joined.insert(1, "image")
    groups = attributes.get("group", 1)
    weight = generator.normal(size=(2 * CHANNELS, len(joined) * CHANNELS // groups, 3, 3)).astype(np.float32)
    constants |= {"p.weight": weight, "bias": generator.normal(size=2 * CHANNELS).astype(np.float32)}
    convolution = {"pads": [1, 1, 1, 1], "strides": [1, 1], "dilations": [1, 1], "group": 1} | attributes
    nodes += [
        helper.make_node("Concat", joined, ["joined"], axis=1),
        helper.make_node("Conv", ["joined", "p.weight", "bias"], ["convolved"], "p", **convolution),
        helper.make_node("Relu", ["convolved"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pyramid",
        inputs,
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 2 * CHANNELS, None, None])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def answer(model: onnx.ModelProto, batch: int = 2) -> NDArray[np.float32]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(1)
    feed = {one.name: generator.normal(size=(batch, *one.shape[1:])).astype(np.float32) for one in session.get_inputs()}
    out: NDArray[np.float32] = session.run(None, feed)[0]
    return out


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


PSPNET = ((1, 1), (2, 2), (3, 3), (6, 6))


@pytest.mark.parametrize("order", ["map first", "map last", "map twice"])
@pytest.mark.parametrize(
    ("height", "width", "regions"),
    [(16, 16, PSPNET), (12, 40, PSPNET), (7, 5, ((3, 2), (1, 4))), (6, 6, ((6, 6),)), (1, 2, ((1, 1),))],
)
def test_regions_convolved_first_give_the_same(
    height: int, width: int, regions: tuple[tuple[int, int], ...], order: str
) -> None:
    model = pyramid(height, width, regions, order)
    before = answer(model)
    convolve_before_stretching(model)
    assert not {"Resize", "Shape"} & set(operators(model))
    assert operators(model)["MatMul"] == len(regions) + 1
    after = answer(model)
    assert after.shape == before.shape == (2, 2 * CHANNELS, height, width)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.ptp(before))
    assert answer(model, batch=5).shape[0] == 5


@pytest.mark.parametrize(
    "attributes",
    [
        {"group": 2},
        {"strides": [2, 2]},
        {"dilations": [2, 2], "pads": [2, 2, 2, 2]},
        {"pads": [0, 0, 0, 0]},
        {"pads": [1, 1, 2, 2]},
    ],
)
def test_other_convolutions_stay(attributes: dict[str, object]) -> None:
    model = pyramid(8, 9, ((2, 3),), "map first", **attributes)
    untouched = model.SerializeToString()
    convolve_before_stretching(model)
    assert model.SerializeToString() == untouched


def test_a_convolution_of_maps_that_were_not_stretched_stays() -> None:
    model = pyramid(8, 9, (), "map twice")
    untouched = model.SerializeToString()
    convolve_before_stretching(model)
    stretch_by_constant_scales(model)
    assert model.SerializeToString() == untouched


@pytest.mark.parametrize(("height", "width", "regions"), [(16, 16, PSPNET), (12, 40, PSPNET), (25, 35, ((13, 18),))])
def test_constant_scales_stretch_to_the_same_sizes(
    height: int, width: int, regions: tuple[tuple[int, int], ...]
) -> None:
    model = pyramid(height, width, regions)
    before = answer(model)
    stretch_by_constant_scales(model)
    assert operators(model)["Resize"] == len(regions)
    assert not {"Shape"} & set(operators(model))
    assert "sides" not in [tensor.name for tensor in model.graph.initializer]
    after = answer(model)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.ptp(before))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000))
def test_scales_lead_to_the_size_wanted_in_float32_and_float64(before: int, after: int) -> None:
    scale = least_scale(before, after)
    assert scale.dtype == np.float32
    assert np.floor(scale * np.float32(before)) == np.floor(float(scale) * before) == after
