"""The description of a Keras model, layer by layer, on descriptions of a few layers."""

from __future__ import annotations

from typing import Any

import pytest

from mnv2deploy.catalog.cards import InputSize
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.keras_config import KerasModel, read_model

PADS = ("block_1_pad", "block_3_pad", "block_6_pad", "block_13_pad")
EVEN, ODD = [[0, 1], [0, 1]], [[1, 1], [1, 1]]


def layer(kind: str, name: str = "mine", nodes: Any = (), **settings: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **settings}, "inbound_nodes": list(nodes)}


def scaled(kind: str, number: float, old: bool = False, **settings: Any) -> dict[str, Any]:
    """An arithmetic layer as Keras 3 writes it, or as Keras 2 does."""
    nodes = [["x", 0, 0, {"y": number}]] if old else [{"args": [{"class_name": "__keras_tensor__"}, number]}]
    return layer(kind, nodes=nodes, **settings)


def nested(model: dict[str, Any], times: int) -> dict[str, Any]:
    for _ in range(times):
        model = {"class_name": "Functional", "config": {"layers": [model]}}
    return model


INPUT = layer("InputLayer", batch_shape=[None, 64, 96, 3])
STEM = layer("Conv2D", "Conv1", strides=[2, 2])


def read(*layers: dict[str, Any]) -> KerasModel:
    return read_model({"model": {"class_name": "Functional", "config": {"layers": list(layers)}}}, "m.h5")


def pads(*paddings: Any) -> list[dict[str, Any]]:
    return [layer("ZeroPadding2D", name, padding=pad) for name, pad in zip(PADS, paddings, strict=False)]


def test_without_a_description_it_is_as_keras_publishes_it() -> None:
    model = read_model({}, "m.h5")
    assert (model.input, model.sides, model.batch_norm_eps) == (None, 1, 1e-3)
    assert (model.scales_itself, model.activation) == (False, None)
    assert (*model.preprocessing.mean, *model.preprocessing.std) == pytest.approx((127.5,) * 6)


@pytest.mark.parametrize(
    ("layers", "mean", "std"),
    [
        ([layer("Rescaling", scale=1 / 255, offset=0.0)], 0, 255),
        ([layer("Rescaling", scale=2.0, offset=4.0), layer("Rescaling", scale=0.5, offset=-1.0)], -1, 1),
        ([scaled("TrueDivide", 127.5), scaled("Subtract", 1.0)], 127.5, 127.5),
        ([scaled("Subtract", 100.0), scaled("Multiply", 0.02)], 100, 50),
        ([scaled("Add", -128), scaled("Divide", 64)], 128, 64),
        (
            [
                scaled("TFOpLambda", 127.5, old=True, function="math.truediv"),
                scaled("TFOpLambda", 1.0, old=True, function="math.subtract"),
            ],
            127.5,
            127.5,
        ),
    ],
)
def test_scaling_before_the_network_is_the_models_own(layers: Any, mean: float, std: float) -> None:
    model = read(INPUT, *layers, STEM)
    assert model.scales_itself
    assert (model.preprocessing.mean, model.preprocessing.std) == (
        pytest.approx((mean,) * 3, abs=1e-4),
        pytest.approx((std,) * 3, rel=1e-4),
    )


def test_scaling_in_the_network_is_no_mobilenets() -> None:
    for step in (layer("Rescaling", scale=2.0, offset=0.0), scaled("Multiply", 2.0)):
        with pytest.raises(CheckpointError, match=f"^m.h5: the layer {step['class_name']} mine is not one of"):
            read(INPUT, STEM, step)


@pytest.mark.parametrize(
    "nodes", [[], [{"args": [{}, {}]}], [{"args": [1.0, 2.0]}], [["x", 0, 0, {}]], [["x", 0, 0, {"y": ["z", 0, 0]}]]]
)
def test_arithmetic_without_one_number_is_not_understood(nodes: Any) -> None:
    with pytest.raises(CheckpointError, match="^m.h5: the description of the model cannot be understood"):
        read(INPUT, layer("Multiply", nodes=nodes), STEM)


@pytest.mark.parametrize(
    "step",
    [scaled("Divide", 0), scaled("Multiply", 0), scaled("Multiply", -1)]
    + [layer("Rescaling", scale=scale, offset=0.0) for scale in (0.0, -1.0, float("inf"))],
)
def test_scaling_that_leaves_no_picture_is_not_understood(step: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="^m.h5: .* cannot be understood"):
        read(INPUT, step, STEM)


@pytest.mark.parametrize(
    ("layers", "sides"),
    [
        ([INPUT], 1),
        ([INPUT, *pads(EVEN, EVEN, EVEN, EVEN)], 32),
        (pads(EVEN, EVEN, EVEN, EVEN), 32),
        ([INPUT, *pads(EVEN, EVEN, ODD, EVEN)], None),
    ],
)
def test_paddings_say_which_sides_it_is_built_for(layers: Any, sides: int | None) -> None:
    assert read(*layers).sides == sides


@pytest.mark.parametrize("layers", [pads(ODD, EVEN, EVEN, EVEN), [INPUT, *pads(ODD, EVEN, EVEN)]])
def test_paddings_of_an_unknown_size_are_refused(layers: Any) -> None:
    with pytest.raises(CheckpointError, match="the layer ZeroPadding2D"):
        read(*layers)


@pytest.mark.parametrize(
    "other",
    [
        layer("Conv2D", "Conv1", strides=[1, 1]),
        layer("Conv2D", "Conv_1", strides=[2, 2]),
        layer("DepthwiseConv2D", "block_3_depthwise", strides=[1, 1]),
        layer("DepthwiseConv2D", "block_4_depthwise", strides=[1, 1], dilation_rate=[2, 2]),
        layer("ReLU", max_value=None),
        layer("ReLU", max_value=1.0),
        layer("ReLU", max_value=6.0, negative_slope=0.1),
        layer("ReLU", max_value=6.0, threshold=1.0),
        layer("ZeroPadding2D", "mine", padding=EVEN),
        layer("Dense", activation="relu"),
        layer("Activation", activation="tanh"),
        layer("InputLayer", batch_shape=[None, 3, 64, 96]),
        layer("GlobalMaxPooling2D"),
        layer("Lambda"),
    ],
)
def test_a_layer_that_is_no_mobilenets_is_named(other: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=f"^m.h5: the layer {other['class_name']} .* is not one of keras.applic"):
        read(other)


def test_layers_that_do_nothing_to_one_picture_are_passed_over() -> None:
    before, after = ("RandomFlip", "RandomRotation", "Dropout"), ("Add", "GlobalAveragePooling2D", "Flatten")
    relu = layer("ReLU", max_value=6.0, negative_slope=0.0, threshold=0.0)
    depthwise = layer("DepthwiseConv2D", strides=[1, 1], dilation_rate=[1, 1])
    assert not read(INPUT, *map(layer, before), STEM, relu, depthwise, *map(layer, after)).scales_itself


def test_batch_norms_have_one_epsilon() -> None:
    one, other = (layer("BatchNormalization", epsilon=epsilon) for epsilon in (1e-5, 1e-3))
    assert read(one, one).batch_norm_eps == 1e-5
    with pytest.raises(CheckpointError, match=r"BatchNormalization with epsilons \[1e-05, 0.001\]"):
        read(one, other)


def test_the_first_input_with_a_size_is_the_networks() -> None:
    open_size = layer("InputLayer", batch_shape=[None, None, None, 3])
    old = layer("InputLayer", batch_input_shape=[None, 32, 64, 3])
    assert read(open_size).input is None
    assert read(open_size, INPUT, old).input == InputSize(height=64, width=96)
    assert read(old, INPUT).input == InputSize(height=32, width=64)


def test_the_last_layers_activation_is_the_answers() -> None:
    assert read(layer("Dense", activation="sigmoid")).activation == "sigmoid"
    assert read(layer("Dense", activation="linear"), layer("Activation", activation="sigmoid")).activation == "sigmoid"
    assert read(layer("Dense", activation="linear"), layer("Softmax")).activation == "softmax"


def test_models_in_models_are_unfolded_as_far_as_any_goes() -> None:
    inner = {"class_name": "Sequential", "config": [layer("Dense", activation="sigmoid")]}  # old Keras: a bare list
    assert read(nested(inner, 7)).activation == "sigmoid"
    with pytest.raises(CheckpointError, match="nested deeper than any"):
        read(nested(inner, 8))
