"""What the description of a Keras model says beyond its tensors: input size, padding, epsilon, scaling, activation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mnv2deploy.catalog.cards import InputSize
from mnv2deploy.contract import Preprocessing
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.configuration import Config

Activation = Literal["softmax", "sigmoid"]

_MODELS = ("Functional", "Model", "Sequential")
# These do nothing to one picture at a time; the first two are checked elsewhere, by the names of their tensors.
_PASSIVE = {"InputLayer", "Add", "GlobalAveragePooling2D", "Flatten", "Dropout", "SpatialDropout2D", "GaussianNoise"}
_AUGMENTS = "Random"  # RandomFlip, RandomRotation, ...: not while predicting
_STRIDED = {"Conv1", *(f"block_{block}_depthwise" for block in (1, 3, 6, 13))}
_PADS = [f"block_{block}_pad" for block in (1, 3, 6, 13)]
_EVEN, _ODD = [[0, 1], [0, 1]], [[1, 1], [1, 1]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KerasModel:
    """What there is to know.

    Attributes:
        input: Of the network; None where it takes any size.
        sides: What its sides have to be a multiple of; None where only ``input`` will do.
        batch_norm_eps: Of every batch norm.
        preprocessing: With the model's own scaling, or keras.applications' (-1 to 1) where it has none.
        scales_itself: Whether it has its own scaling.
        activation: Of its last layer; None where it has none.
    """

    input: InputSize | None
    sides: int | None
    batch_norm_eps: float
    preprocessing: Preprocessing
    scales_itself: bool
    activation: Activation | None


def read_model(config: Config, where: str) -> KerasModel:
    """Reads a model's description.

    Args:
        config: The model under the key ``model``; without it, keras.applications' own values are taken.
        where: File name, for messages.

    Raises:
        CheckpointError: a layer is not one of MobileNetV2's, or computes something else; named.
    """
    reading = _Reading(where)
    try:
        for kind, layer, nodes in _layers(config["model"], 0) if "model" in config else ():
            reading.add(kind, layer, nodes)
        return reading.model()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        raise CheckpointError(f"{where}: the description of the model cannot be understood ({error!r}).") from error


def _layers(model: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """Class, configuration and inbound nodes of every layer, nested models unfolded."""
    if depth > 8:
        raise ValueError("models nested deeper than any")
    config = model["config"]
    for layer in config["layers"] if isinstance(config, Mapping) else config:
        if layer["class_name"] in _MODELS:
            yield from _layers(layer, depth + 1)
        else:
            yield str(layer["class_name"]), layer["config"], layer.get("inbound_nodes")


class _Reading:
    """Gathers what the layers say, in the order they run."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._input: InputSize | None = None
        self._pads: dict[str, Any] = {}
        self._epsilons: set[float] = set()
        self._scale, self._offset = 1.0, 0.0
        self._is_scaled = False
        self._in_network = False
        self._activation: Activation | None = None

    def add(self, kind: str, layer: Mapping[str, Any], nodes: Any) -> None:
        """Takes in one layer."""
        name = str(layer.get("name", kind))
        if kind == "InputLayer":
            self._take_input(layer)
        elif kind in ("Conv2D", "DepthwiseConv2D"):
            self._in_network = True
            strides = [2, 2] if name in _STRIDED else [1, 1]
            if list(layer["strides"]) != strides or list(layer.get("dilation_rate", (1, 1))) != [1, 1]:
                raise self._other(kind, name)
        elif kind == "BatchNormalization":
            self._epsilons.add(float(layer["epsilon"]))
        elif kind == "ReLU":
            if layer.get("max_value") != 6.0 or layer.get("negative_slope") or layer.get("threshold"):
                raise self._other(kind, name)
        elif kind == "ZeroPadding2D" and name in _PADS:
            self._pads[name] = [list(pair) for pair in layer["padding"]]
        elif kind in ("Dense", "Activation", "Softmax"):
            self._take_activation(str(layer.get("activation", "softmax")), kind, name)
        elif not self._in_network and (step := _scaling(kind, layer, nodes)):
            self._scale, self._offset = self._scale * step[0], self._offset * step[0] + step[1]
            self._is_scaled = True
        elif kind not in _PASSIVE and not kind.startswith(_AUGMENTS):
            raise self._other(kind, name)

    def _take_input(self, layer: Mapping[str, Any]) -> None:
        shape = layer.get("batch_shape") or layer.get("batch_input_shape")
        if self._input is None and shape and len(shape) == 4 and None not in shape[1:3]:
            if shape[3] != 3:
                raise self._other("InputLayer", "channels first, or not three of them")
            self._input = InputSize(height=int(shape[1]), width=int(shape[2]))

    def _take_activation(self, activation: str, kind: str, name: str) -> None:
        if activation not in ("linear", "softmax", "sigmoid", "None"):
            raise self._other(kind, f"{name} ({activation})")
        if activation in ("softmax", "sigmoid"):
            self._activation = "sigmoid" if activation == "sigmoid" else "softmax"

    def _other(self, kind: str, name: str) -> CheckpointError:
        return CheckpointError(
            f"{self._where}: the layer {kind} {name[:60]} is not one of keras.applications' MobileNetV2 with average "
            "pooling and one Dense layer."
        )

    def model(self) -> KerasModel:
        """What all of them say."""
        if len(self._epsilons) > 1:
            raise self._other("BatchNormalization", f"with epsilons {sorted(self._epsilons)}")
        scale, offset = (self._scale, self._offset) if self._is_scaled else (1 / 127.5, -1.0)
        mean, std = round(-offset / scale, 6), round(1 / scale, 6)
        return KerasModel(
            input=self._input,
            sides=self._sides(),
            batch_norm_eps=next(iter(self._epsilons), 1e-3),
            preprocessing=Preprocessing(
                resize="stretch", interpolation="bilinear", colour="rgb", mean=(mean,) * 3, std=(std,) * 3
            ),
            scales_itself=self._is_scaled,
            activation=self._activation,
        )

    def _sides(self) -> int | None:
        """Keras fixes the padding before strided convolutions when it builds a model, for the size it is built for.

        Built for any size it pads as for even sides, which is TensorFlow's SAME while every halved side is even.
        """
        pads = list(self._pads.values())
        if not pads:
            return 1
        if all(pad == _EVEN for pad in pads):
            return 32
        if self._input is None or len(pads) < len(_PADS):
            raise self._other("ZeroPadding2D", f"{pads[0]}")
        return None


def _scaling(kind: str, layer: Mapping[str, Any], nodes: Any) -> tuple[float, float] | None:
    """Factor and summand of a layer that scales pixels: Rescaling, or the arithmetic `preprocess_input` leaves."""
    if kind == "Rescaling":
        return float(layer["scale"]), float(layer["offset"])
    operator = {"TFOpLambda": str(layer.get("function")).removeprefix("math.")}.get(kind, kind).lower()
    if operator not in ("truediv", "truedivide", "divide", "subtract", "multiply", "add"):
        return None
    number = float(_number(nodes))
    if operator in ("subtract", "add"):
        return 1.0, -number if operator == "subtract" else number
    return (number if operator == "multiply" else 1 / number), 0.0


def _number(nodes: Any) -> float:
    """The number beside a tensor in ``[["input", 0, 0, {"y": 127.5}]]`` or ``[{"args": [{...}, 127.5]}]``."""
    node = nodes[0]
    values = node["args"] if isinstance(node, Mapping) else [node[3]["y"]]
    numbers = [value for value in values if isinstance(value, (int, float))]
    if len(numbers) != 1:
        raise ValueError("no number in an arithmetic layer")
    return float(numbers[0])
