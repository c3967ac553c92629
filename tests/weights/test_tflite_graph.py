"""TensorFlow Lite files of a few operators each: what every operator says, and what no MobileNetV2 has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tflite
from lite_files import Operator, Tensor, constant, lite_file

from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.tflite_graph import LiteGraph, read_graph

KERNEL = np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3)
TENSORS = {
    "image": Tensor((1, 5, 7, 3)),
    "kernel": constant(KERNEL),
    "bias": constant([1, 2]),
    "pads": constant([[0, 0], [1, 2], [3, 4], [0, 0]], "i4"),
    "number": constant([4]),
    "other": constant(0.5),
    "a": Tensor((1, 5, 7, 3)),
    "b": Tensor((1, 5, 7, 3)),
    "out": Tensor((1, 3, 4, 2)),
}


def conv(source: str = "image", kernel: str = "kernel", bias: str | None = "bias", **settings: Any) -> Operator:
    settings = {"StrideH": 2, "StrideW": 2, "Padding": tflite.Padding.SAME, **settings}
    return Operator("CONV_2D", (source, kernel, bias), "out", "Conv2DOptions", settings)


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def written(*operators: Operator, inputs: Any = ("image",), **tensors: Tensor) -> LiteGraph:
        path = tmp_path / "m.tflite"
        path.write_bytes(lite_file({**TENSORS, **tensors}, operators, inputs))
        return read_graph(path)

    return written


def test_a_convolution_is_read_whole(read: Any) -> None:
    activation = tflite.ActivationFunctionType.RELU6
    graph = read(conv(FusedActivationFunction=activation, DilationHFactor=3, DilationWFactor=3))
    (layer,) = graph.layers
    assert (graph.height, graph.width, graph.operators) == (5, 7, {"CONV_2D"})
    assert (graph.scale, graph.offset, graph.align_corners) == (1.0, 0.0, None)
    assert (layer.name, layer.kind, layer.activation) == ("kernel", "conv", "relu6")
    assert (layer.stride, layer.dilation, layer.pads, layer.side) == (2, 3, None, (5, 7))
    np.testing.assert_array_equal(layer.kernel, KERNEL, strict=True)
    np.testing.assert_array_equal(layer.bias, np.float32([1, 2]), strict=True)


@pytest.mark.parametrize(
    ("function", "activation"),
    [("NONE", "none"), ("RELU", "relu"), ("RELU6", "relu6"), ("RELU_N1_TO_1", "another"), ("TANH", "another")],
)
def test_activation_is_what_follows(read: Any, function: str, activation: str) -> None:
    graph = read(conv(FusedActivationFunction=getattr(tflite.ActivationFunctionType, function)))
    assert graph.layers[0].activation == activation


def test_a_layer_may_have_no_bias(read: Any) -> None:
    assert read(conv(bias=None)).layers[0].bias is None


def test_padding_written_out_belongs_to_the_layer_after_it(read: Any) -> None:
    wide = Tensor((1, 8, 14, 3))
    padded = Operator("PAD", ("image", "pads"), "a")
    valid = {"Padding": tflite.Padding.VALID}
    layer = read(padded, conv("a", **valid), a=wide).layers[0]
    assert (layer.pads, layer.side) == (((1, 2), (3, 4)), (5, 7))
    # SAME after it pads more, which makes it neither framework's.
    assert read(padded, conv("a"), a=wide).layers[0].pads == ((1, 2), (3, 4))
    assert read(conv(**valid)).layers[0].pads == ((0, 0), (0, 0))
    with pytest.raises(CheckpointError, match="the operator PAD is not one of a MobileNetV2"):
        read(padded, conv("a"), pads=constant([[1, 2], [3, 4]], "i4"))


def test_half_precision_is_widened(read: Any) -> None:
    half = constant(KERNEL / 64, "f2")
    graph = read(Operator("DEQUANTIZE", ("half",), "kernel"), conv(), half=half, kernel=Tensor(KERNEL.shape))
    np.testing.assert_array_equal(graph.layers[0].kernel, KERNEL / 64, strict=True)
    whole = constant(KERNEL, "i4")
    with pytest.raises(CheckpointError, match="the operator DEQUANTIZE is not one"):
        read(Operator("DEQUANTIZE", ("half",), "kernel"), conv(), half=whole, kernel=Tensor(KERNEL.shape))


@pytest.mark.parametrize(
    ("first", "then", "scale", "offset"),
    [
        (("DIV", "number"), ("SUB", "other"), 0.25, -0.5),
        (("SUB", "number"), ("DIV", "other"), 2.0, -8.0),
        (("ADD", "number"), ("MUL", "other"), 0.5, 2.0),
        (("MUL", "number"), ("ADD", "other"), 4.0, 0.5),
    ],
)
def test_arithmetic_before_the_first_layer_is_the_models_scaling(
    read: Any, first: Any, then: Any, scale: float, offset: float
) -> None:
    steps = [Operator(first[0], ("image", first[1]), "a"), Operator(then[0], ("a", then[1]), "b")]
    graph = read(*steps, conv("b"))
    assert (graph.scale, graph.offset) == (scale, offset)


def test_nothing_may_be_added_but_not_divided_by(read: Any) -> None:
    nothing = constant([0])
    graph = read(Operator("ADD", ("image", "number"), "a"), conv("a"), number=nothing)
    assert (graph.scale, graph.offset) == (1.0, 0.0)
    with pytest.raises(CheckpointError, match="m.tflite is not a TensorFlow Lite file, or is damaged"):
        read(Operator("DIV", ("image", "number"), "a"), conv("a"), number=nothing)


def test_arithmetic_elsewhere_is_not(read: Any) -> None:
    """After a layer only the sum of a shortcut is MobileNetV2's; before the first one nothing but numbers."""
    graph = read(conv(), Operator("ADD", ("out", "out"), "b"))
    assert (graph.scale, graph.offset) == (1.0, 0.0)
    for name, *steps in (
        ("MUL", conv(), Operator("MUL", ("out", "number"), "b")),
        ("ADD", Operator("ADD", ("image", "image"), "a"), conv("a")),
        ("MUL", Operator("MUL", ("number", "other"), "a"), conv("a")),
    ):
        with pytest.raises(CheckpointError, match=f"the operator {name} is not one of a MobileNetV2"):
            read(*steps)


@pytest.mark.parametrize("align_corners", [True, False])
def test_upsampling_says_how(read: Any, align_corners: bool) -> None:
    resize = Operator("RESIZE_BILINEAR", ("out", "pads"), "b", "ResizeBilinearOptions", {"AlignCorners": align_corners})
    assert read(conv(), resize).align_corners is align_corners


def test_what_no_mobilenet_has_is_named(read: Any) -> None:
    for name in ("LSTM", "GELU"):  # the second has a code that does not fit into a byte
        with pytest.raises(CheckpointError, match=f"the operator {name} is not one of a MobileNetV2 in float32"):
            read(conv(), Operator(name, ("out",), "b"))
    for axis in ("StrideW", "DilationWFactor"):
        with pytest.raises(CheckpointError, match="kernel has strides or dilations that differ by axis"):
            read(conv(**{axis: 4}))
    for kernel in (Tensor(KERNEL.shape), constant(KERNEL, "i1"), constant(KERNEL, "i4"), constant(KERNEL, "f2")):
        with pytest.raises(CheckpointError, match="kernel is not of float numbers; give the model that is not quant"):
            read(conv(), kernel=kernel)


@pytest.mark.parametrize("shape", [(1, 5, 7, 1), (1, 3, 5, 7), (5, 7, 3), ()])
def test_input_that_is_no_picture_is_refused(read: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError, match="which is no picture of three channels"):
        read(conv(), image=Tensor(shape))


def test_two_inputs_are_refused(read: Any) -> None:
    with pytest.raises(CheckpointError, match="which is no picture of three channels"):
        read(conv(), inputs=("image", "a"))


def test_a_file_of_another_identifier_is_none_of_lites(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(lite_file(TENSORS, [conv()]).replace(b"TFL3", b"TFL9", 1))
    with pytest.raises(CheckpointError, match=r"m\.tflite is not a TensorFlow Lite file\.$"):
        read_graph(path)
