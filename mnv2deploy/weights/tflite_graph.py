"""Opens TensorFlow Lite files: the layers of a graph in the order they run, nothing executed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.errors import CheckpointError, MissingDependencyError

# Source: tensorflow/lite/schema/schema.fbs, Padding and ActivationFunctionType.
_SAME = 0
_ACTIVATIONS = {0: "none", 1: "relu", 3: "relu6"}
_LAYERS = {"CONV_2D": "conv", "DEPTHWISE_CONV_2D": "depthwise", "FULLY_CONNECTED": "dense"}
# What stands between the layers of a classifier or segmenter and has no weights.
_PASSIVE = ("ADD", "AVERAGE_POOL_2D", "MEAN", "RESHAPE", "SQUEEZE", "CONCATENATION", "SOFTMAX", "LOGISTIC", "ARG_MAX")
_ARITHMETIC = ("MUL", "DIV", "ADD", "SUB")


@dataclass(frozen=True, slots=True)
class LiteLayer:
    """A convolution or fully connected layer, its batch norm folded into it.

    Attributes:
        name: Of the tensor that holds its kernel.
        kind: What it is.
        kernel: ``conv`` (out, height, width, in), ``depthwise`` (1, height, width, channels), ``dense`` (out, in).
        bias: (out,), or None.
        stride: Down; across is the same.
        dilation: Of the same.
        pads: Zeros before and after, down and across; None for SAME.
        side: Height and width of its input, before any padding.
        activation: That follows.
    """

    name: str
    kind: Literal["conv", "depthwise", "dense"]
    kernel: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    stride: int
    dilation: int
    pads: tuple[tuple[int, int], tuple[int, int]] | None
    side: tuple[int, int]
    activation: str


@dataclass(frozen=True, slots=True)
class LiteGraph:
    """A network.

    Attributes:
        height: Of the input, pixels.
        width: Of the input, pixels.
        layers: In the order they run.
        operators: Names of all operators.
        scale: What the graph multiplies pixels with before its first layer, and
        offset: what it adds then; 1 and 0 where it takes them as they come.
        align_corners: Of the last upsampling; None where there is none.
    """

    height: int
    width: int
    layers: tuple[LiteLayer, ...]
    operators: frozenset[str]
    scale: float
    offset: float
    align_corners: bool | None


def read_graph(path: Path) -> LiteGraph:
    """Reads a ``.tflite`` file of float numbers, float16 among them.

    Raises:
        CheckpointError: it is none, is damaged or quantized, or has operators no MobileNetV2 has; named.
        MissingDependencyError: the package tflite is not installed.
    """
    try:
        import tflite
    except ImportError as error:
        raise MissingDependencyError(
            "Reading TensorFlow Lite files needs tflite; install with: pip install 'mnv2deploy[build]'"
        ) from error
    try:
        data = path.read_bytes()
        if data[4:8] != b"TFL3":
            raise CheckpointError(f"{path} is not a TensorFlow Lite file.")
        return _Reading(tflite.Model.GetRootAs(data, 0), path).graph()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}.") from error
    except CheckpointError:
        raise
    except Exception as error:  # flatbuffers checks nothing: a damaged offset fails in any way there is
        raise CheckpointError(f"{path} is not a TensorFlow Lite file, or is damaged ({error}).") from error


class _Reading:
    """Goes through the operators of a model's first graph."""

    def __init__(self, model: Any, path: Path) -> None:
        import tflite

        self._tflite = tflite
        self._model = model
        self._graph = model.Subgraphs(0)
        self._path = path
        self._constants: dict[int, NDArray[Any]] = {}
        self._padded: dict[int, tuple[int, NDArray[Any]]] = {}
        self._scale, self._offset = 1.0, 0.0
        self._align_corners: bool | None = None

    def graph(self) -> LiteGraph:
        """All of it."""
        shape = self._shape(int(self._graph.Inputs(0)))
        if self._graph.InputsLength() != 1 or len(shape) != 4 or shape[3] != 3:
            raise CheckpointError(f"{self._path} takes {shape}, which is no picture of three channels.")
        layers, names = [], []
        for name, operator in self._operators():
            names.append(name)
            if name in _LAYERS:
                layers.append(self._layer(name, operator))
            else:
                self._take(name, operator, is_first=not layers)
        return LiteGraph(
            height=shape[1],
            width=shape[2],
            layers=tuple(layers),
            operators=frozenset(names),
            scale=self._scale,
            offset=self._offset,
            align_corners=self._align_corners,
        )

    def _operators(self) -> Iterator[tuple[str, Any]]:
        names = {code: name for name, code in vars(self._tflite.BuiltinOperator).items() if isinstance(code, int)}
        for index in range(self._graph.OperatorsLength()):
            operator = self._graph.Operators(index)
            code = self._model.OperatorCodes(operator.OpcodeIndex())
            yield names.get(code.BuiltinCode(), "unknown"), operator  # of either field, the older where it will do

    def _take(self, name: str, operator: Any, *, is_first: bool) -> None:
        """Takes in an operator that is no layer."""
        inputs = [int(index) for index in operator.InputsAsNumpy()]
        output = int(operator.Outputs(0))
        if name == "DEQUANTIZE" and (half := self._constant(inputs[0])) is not None and half.dtype == np.float16:
            self._constants[output] = half.astype(np.float32)
        elif name == "PAD" and (pads := self._constant(inputs[1])) is not None and pads.shape == (4, 2):
            self._padded[output] = (inputs[0], pads)
        elif name == "RESIZE_BILINEAR":
            options = self._options(operator, self._tflite.ResizeBilinearOptions())
            self._align_corners = bool(options.AlignCorners())
        elif is_first and name in _ARITHMETIC and (number := self._number(inputs)) is not None:
            factor = number if name == "MUL" else 1 / number if name == "DIV" else 1.0
            summand = {"ADD": number, "SUB": -number}.get(name, 0.0)
            self._scale, self._offset = self._scale * factor, self._offset * factor + summand
        elif name not in _PASSIVE or (is_first and name == "ADD"):
            raise CheckpointError(f"{self._path}: the operator {name} is not one of a MobileNetV2 in float32.")

    def _layer(self, name: str, operator: Any) -> LiteLayer:
        inputs = [int(index) for index in operator.InputsAsNumpy()]
        kernel_name = self._graph.Tensors(inputs[1]).Name().decode("utf-8", "replace")
        kernel = self._constant(inputs[1])
        bias = self._constant(inputs[2]) if len(inputs) > 2 and inputs[2] >= 0 else None
        if kernel is None or kernel.dtype != np.float32:
            raise CheckpointError(
                f"{self._path}: {kernel_name} is not of float numbers; give the model that is not quantized."
            )
        kind = _LAYERS[name]
        stride, dilation, padding = 1, 1, _SAME
        if kind == "dense":
            options = self._options(operator, self._tflite.FullyConnectedOptions())
        else:
            reader = self._tflite.Conv2DOptions if kind == "conv" else self._tflite.DepthwiseConv2DOptions
            options = self._options(operator, reader())
            stride, dilation, padding = options.StrideH(), options.DilationHFactor(), options.Padding()
            if (stride, dilation) != (options.StrideW(), options.DilationWFactor()):
                raise CheckpointError(f"{self._path}: {kernel_name} has strides or dilations that differ by axis.")
        source, pads = self._pads_before(inputs[0])
        shape = self._shape(source)
        return LiteLayer(
            name=kernel_name,
            kind=kind,  # type: ignore[arg-type]
            kernel=kernel,
            bias=bias,
            stride=stride,
            dilation=dilation,
            pads=None if padding == _SAME and pads is None else pads or ((0, 0), (0, 0)),
            side=(shape[1], shape[2]) if len(shape) == 4 else (1, 1),
            activation=_ACTIVATIONS.get(options.FusedActivationFunction(), "another"),
        )

    def _pads_before(self, tensor: int) -> tuple[int, tuple[tuple[int, int], tuple[int, int]] | None]:
        """The tensor before a padding, and the padding, down and across."""
        if tensor not in self._padded:
            return tensor, None
        source, pads = self._padded[tensor]
        down, across = ((int(pads[axis][0]), int(pads[axis][1])) for axis in (1, 2))
        return source, (down, across)

    def _options(self, operator: Any, options: Any) -> Any:
        table = operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        return options

    def _shape(self, tensor: int) -> list[int]:
        found = self._graph.Tensors(tensor)
        return [int(found.Shape(axis)) for axis in range(found.ShapeLength())]

    def _number(self, inputs: list[int]) -> float | None:
        values = [self._constant(index) for index in inputs]
        numbers = [float(value.ravel()[0]) for value in values if value is not None and value.size == 1]
        return numbers[0] if len(numbers) == 1 else None

    def _constant(self, index: int) -> NDArray[Any] | None:
        """A tensor's own numbers; None where it is computed, or of a type no weights have."""
        if index in self._constants:
            return self._constants[index]
        tensor = self._graph.Tensors(index)
        types = self._tflite.TensorType
        dtype = {types.FLOAT32: "<f4", types.FLOAT16: "<f2", types.INT32: "<i4", types.INT64: "<i8"}.get(tensor.Type())
        buffer = self._model.Buffers(tensor.Buffer())
        if not buffer.DataLength() or dtype is None:
            return None
        return np.frombuffer(buffer.DataAsNumpy().tobytes(), dtype).reshape(self._shape(index))
