"""A tiny network of every operator quantization knows, MinMax encodings, and a simulation in numpy to compare with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mnv2deploy.contract import METADATA_KEY, parse_contract
from mnv2deploy.quantization.encodings import Encoding, Encodings, LayerEncoding, quantized_tensors
from mnv2deploy.quantization.graph import Graph, Step, read_graph
from mnv2deploy.quantization.normalization import fold_normalization
from mnv2deploy.quantization.observation import measure_extents
from mnv2deploy.runtime.images import read
from mnv2deploy.runtime.preprocessing import prepare

Array = NDArray[Any]
PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


def tiny_graph(seed: int = 0) -> Graph:
    """16 x 16 in; an inverted residual with an Add and Relu, a pooled branch tiled and joined, two outputs."""
    random = np.random.default_rng(seed)
    nodes, constants = [], []

    def constant(name: str, values: Array) -> str:
        constants.append(numpy_helper.from_array(values, name))
        return name

    def layer(name: str, source: str, shape: tuple[int, ...], activation: str = "", **attributes: object) -> str:
        fan = int(np.prod(shape[1:]))
        # channels of very different size: one scale for the whole tensor would be seen at once
        sizes = np.exp(random.uniform(-2, 1, (shape[0], *[1] * (len(shape) - 1))))
        weight = constant(f"{name}.w", (random.normal(size=shape) * sizes / np.sqrt(fan)).astype(np.float32))
        bias = constant(f"{name}.b", random.normal(size=shape[0]).astype(np.float32) * 0.3)
        made = f"{name}.raw" if activation else name
        nodes.append(helper.make_node(attributes.pop("op", "Conv"), [source, weight, bias], [made], name, **attributes))
        return activate(made, name, activation)

    def activate(source: str, target: str, activation: str) -> str:
        if activation == "Clip":
            bounds = [constant(f"{target}.{value}", np.array(value, np.float32)) for value in (0, 6)]
            nodes.append(helper.make_node("Clip", [source, *bounds], [target], f"{target}/Clip"))
        elif activation == "Relu":
            nodes.append(helper.make_node("Relu", [source], [target], f"{target}/Relu"))
        return target

    def node(op: str, inputs: list[str], target: str, **attributes: object) -> str:
        nodes.append(helper.make_node(op, inputs, [target], target, **attributes))
        return target

    stem = layer("stem", "image", (8, 3, 3, 3), "Clip", strides=[2, 2], pads=[0, 0, 1, 1])
    expand = layer("expand", stem, (16, 8, 1, 1), "Clip")
    depthwise = layer("depthwise", expand, (16, 1, 3, 3), "Clip", group=16, pads=[1, 1, 1, 1])
    project = layer("project", depthwise, (8, 16, 1, 1))
    joined = activate(node("Add", [stem, project], "sum.raw"), "sum", "Relu")
    pooled = layer("pooled", node("GlobalAveragePool", [joined], "mean"), (4, 8, 1, 1), "Relu")
    tiled = node("Tile", [pooled, constant("repeats", np.array([1, 1, 8, 8]))], "tiled")
    both = node("Concat", [tiled, joined], "both", axis=1)
    head = layer("head", both, (5, 12, 3, 3), dilations=[2, 2], pads=[2, 2, 2, 2])
    last = node("Transpose", [head], "last", perm=[0, 2, 3, 1])
    node("Reshape", [last, constant("shape", np.array([1, -1, 5]))], "boxes")
    flat = node("Flatten", [node("GlobalAveragePool", [both], "means")], "flat")
    layer("logits", flat, (6, 12), op="Gemm", transB=1)
    outputs = [("boxes", [1, 64, 5]), ("logits", [1, 6])]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return read_graph(model, "tiny")


STREAM = frozenset({"first", "second", "third", "sum1", "sum2"})


def stream_graph(seed: int = 0) -> Graph:
    """8 x 8 in; two residual blocks after a first projection: all that sums join is `STREAM`."""
    random = np.random.default_rng(seed)
    steps: list[Step] = []

    def layer(name: str, source: str, shape: tuple[int, ...], ceiling: float | None = None, **attributes: Any) -> str:
        weight = (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        bias = random.normal(size=shape[0]).astype(np.float32) * np.float32(0.3)
        steps.append(
            Step(name, "Conv", [source], name, attributes=attributes, ceiling=ceiling, weight=weight, bias=bias)
        )
        return name

    def branch(name: str, source: str) -> str:
        wide = layer(f"{name}.expand", source, (12, 6, 1, 1), 6.0)
        wide = layer(f"{name}.depthwise", wide, (12, 1, 3, 3), 6.0, group=12, pads=[1, 1, 1, 1])
        return layer(name, wide, (6, 12, 1, 1))

    def add(name: str, left: str, right: str) -> str:
        steps.append(Step(name, "Add", [left, right], name))
        return name

    stem = layer("stem", "image", (8, 3, 3, 3), 6.0, pads=[1, 1, 1, 1])
    first = layer("first", stem, (6, 8, 1, 1))
    first_sum = add("sum1", first, branch("second", first))
    second_sum = add("sum2", first_sum, branch("third", first_sum))
    wide = layer("last.expand", second_sum, (16, 6, 1, 1), 6.0)
    answers = layer("answers", wide, (4, 16, 1, 1))
    return Graph("image", [answers], steps, 18, 8, ("batch", 3, 8, 8), [("batch", 4, 8, 8)])


def artifact_graph(artifact: Path, photos: dict[str, Path]) -> tuple[Graph, Encoding, list[Array]]:
    """An artifact's graph made to read bytes, the encoding of its input, and photos as it sees them, (1, 3, H, W)."""
    model = onnx.load(artifact)
    held = next(entry.value for entry in model.metadata_props if entry.key == METADATA_KEY)
    contract = parse_contract(held, str(artifact))
    graph = read_graph(model, str(artifact))
    encoding = fold_normalization(graph, contract.preprocessing)
    mean, std = (
        np.reshape(values, (1, 3, 1, 1)) for values in (contract.preprocessing.mean, contract.preprocessing.std)
    )
    pictures = [prepare(read(photos[name]), contract.input, contract.preprocessing) * std + mean for name in PHOTOS]
    return graph, encoding, [np.clip(np.rint(picture), 0, 255).astype(np.float32) for picture in pictures]


def encode(
    graph: Graph,
    inputs: Sequence[Array],
    input_encoding: Encoding | None = None,
    *,
    dtype: str = "uint8",
    symmetric: bool = False,
    kept: Collection[str] = (),
    widened: float = 0.0,
) -> Encodings:
    """MinMax encodings, written here once more.

    Args:
        graph: Float.
        inputs: Of the float graph.
        input_encoding: Of the input; by MinMax too where it is None.
        dtype: Of activations.
        symmetric: Whether their zero point is 0.
        kept: Names of the layers that stay in float32.
        widened: How far the encodings reach past the values, on both sides, so that activations still cut.
    """
    layers = [step for step in graph.layers if step.name not in kept]
    names = quantized_tensors(graph, layers)
    extents = measure_extents(graph, names, inputs)
    least, greatest = (0, 255) if dtype == "uint8" else (-128, 127)
    found = Encodings()
    for name in names:
        step = graph.producer(name)
        if step is not None and len(step.inputs) == 1 and step.op in ("Tile", "Flatten", "Transpose", "Reshape"):
            found.tensors[name] = found.tensors[step.inputs[0]]
            continue
        low, high = min(extents[name].low.min(), 0) - widened, max(extents[name].high.max(), 0) + widened
        scale = float(np.float32(max(-low, high) / greatest if symmetric else (high - low) / 255))
        zero_point = 0 if symmetric else int(np.clip(np.rint(least - low / scale), least, greatest))
        found.tensors[name] = Encoding(scale, zero_point, dtype)  # type: ignore[arg-type]
    if input_encoding is not None:
        found.tensors[graph.input] = input_encoding
    for step in layers:
        flat = np.abs(step.weight).reshape(len(step.weight), -1)
        scales = np.maximum(flat.max(1) / 127, 1e-9).astype(np.float32)
        whole = np.clip(np.rint(step.weight / scales.reshape(-1, *[1] * (step.weight.ndim - 1))), -127, 127)
        found.layers[step.name] = LayerEncoding(whole.astype(np.int8), scales, step.bias.astype(np.float64))
    return found


def simulate(graph: Graph, encodings: Encodings, tensor: Array) -> dict[str, Array]:
    """All values of the quantized graph, by its definition, in float64: rounded where there is an encoding.

    Those of the stream stay as they are, and quantized layers read them rounded.
    """
    values: dict[str, Array] = {}

    def rounded(name: str, value: Array) -> Array:
        encoding = encodings.tensors[name]
        least, greatest = (0, 255) if encoding.dtype == "uint8" else (-128, 127)
        whole = np.clip(np.rint(value / encoding.scale) + encoding.zero_point, least, greatest)
        return (whole - encoding.zero_point) * encoding.scale

    def put(name: str, value: Array) -> None:
        held = name in encodings.tensors and name not in encodings.stream
        values[name] = rounded(name, value) if held else value

    put(graph.input, tensor.astype(np.float64))
    for step in graph.steps:
        weight, bias = step.weight.astype(np.float64), step.bias.astype(np.float64)
        given = [values[name] for name in step.inputs]
        if step.name in encodings.layers:
            layer = encodings.layers[step.name]
            scales = layer.scales.astype(np.float64)
            weight = layer.weight * scales.reshape(-1, *[1] * (weight.ndim - 1))
            steps = scales * encodings.tensors[step.inputs[0]].scale
            bias = layer.bias if step.output in encodings.stream else np.rint(layer.bias / steps) * steps
            if step.inputs[0] in encodings.stream:
                given = [rounded(step.inputs[0], given[0])]
        made = _compute(step, given, weight, bias)
        put(step.output, made if step.ceiling is None else np.clip(made, 0, step.ceiling))
    return values


def _compute(step: Step, given: list[Array], weight: Array, bias: Array) -> Array:
    x = given[0]
    match step.op:
        case "Conv":
            return _convolve(step, x, weight) + bias.reshape(1, -1, 1, 1)
        case "Gemm":
            return x @ weight.T + bias
        case "Add":
            return x + given[1]
        case "GlobalAveragePool":
            return x.mean((2, 3), keepdims=True)
        case "Concat":
            return np.concatenate(given, step.attributes["axis"])
        case "Tile":
            return np.tile(x, step.constants[1])
        case "Transpose":
            return x.transpose(step.attributes["perm"])
        case "Reshape":
            return x.reshape(step.constants[1])
        case "MatMul":
            ((position, matrix),) = step.constants.items()
            return matrix.astype(np.float64) @ x if position == 0 else x @ matrix.astype(np.float64)
        case "Resize":
            rows, columns = (_hats(x.shape[axis], step.constants[2][axis]) for axis in (2, 3))
            return rows @ x @ columns.T
        case "Flatten":
            return x.reshape(len(x), -1)
    raise AssertionError(step.op)


def _hats(size: int, scale: np.float32) -> Array:
    """(size * scale, size): bilinear stretching of one side, half-pixel centres, the border repeated."""
    made = int(size * float(scale))
    place = np.clip((np.arange(made) + 0.5) / float(scale) - 0.5, 0, size - 1)
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(size)))


def _convolve(step: Step, x: Array, weight: Array) -> Array:
    top, left, bottom, right = step.attributes.get("pads", (0, 0, 0, 0))
    down, across = step.attributes.get("strides", (1, 1))
    dilation = step.attributes.get("dilations", (1, 1))
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    height, width = weight.shape[2:]
    window = ((height - 1) * dilation[0] + 1, (width - 1) * dilation[1] + 1)
    views = np.lib.stride_tricks.sliding_window_view(x, window, (2, 3))[:, :, ::down, ::across]
    views = views[..., :: dilation[0], :: dilation[1]]
    groups = step.groups
    views = views.reshape(len(x), groups, -1, *views.shape[2:])
    weight = weight.reshape(groups, -1, *weight.shape[1:])
    made = np.einsum("ngchwij,gocij->ngohw", views, weight)
    return made.reshape(len(x), -1, *made.shape[3:])


def run(model: onnx.ModelProto, tensor: Array, *, optimise: bool = True) -> list[Array]:
    """What onnxruntime answers."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), _options(optimise), ["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: tensor})


def optimised(model: onnx.ModelProto, folder: Path, *, everything: bool = False) -> onnx.ModelProto:
    """What onnxruntime makes of a model: before it is laid out for one processor, or ``everything``."""
    options = _options(True)
    if not everything:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath)


def counts(model: onnx.ModelProto) -> Counter[str]:
    """How many nodes there are of each operator."""
    return Counter(node.op_type for node in model.graph.node)


def constants_of(model: onnx.ModelProto) -> dict[str, Array]:
    """The initializers, by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def as_picture(tensor: Array) -> NDArray[np.uint8]:
    """(1, 3, H, W) to (1, H, W, 3) uint8."""
    return np.ascontiguousarray(tensor.transpose(0, 2, 3, 1).astype(np.uint8))


def _options(optimise: bool) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options
