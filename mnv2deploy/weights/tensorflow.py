"""Reads TensorFlow checkpoints: TensorFlow.js graph models and frozen GraphDefs, without TensorFlow.

Two steps: a file becomes raw tensors by their TensorFlow names (`read_tensorflowjs`, `read_frozen_graph`), and raw
tensors become our state dict (`convert`), which accounts for every one of them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.graphdef import parse_graph_def

Tensors = dict[str, NDArray[Any]]

# The networks' tensors live in these scopes; what stands elsewhere (anchors, image resizing, decoding) is
# arithmetic of the graph that the contract describes.
_NETWORK_SCOPES = ("FeatureExtractor/", "BoxPredictor_")
# The manifest's names of number types.
_DTYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint16": "<u2", "uint8": "u1", "bool": "?"}


def read_tensorflowjs(path: Path) -> Tensors:
    """Reads ``model.json`` and the shards it names, all in one folder.

    The format: ``weightsManifest`` lists name, shape and dtype in order; the shards are the tensors' bytes,
    concatenated, little-endian; a ``quantization`` entry gives scale and minimum of an affine code.

    Raises:
        CheckpointError: not such a file, a shard is missing, or the bytes do not add up.
    """
    try:
        groups = json.loads(path.read_bytes())["weightsManifest"]
        tensors: Tensors = {}
        for group in groups:
            data = b"".join(_read_shard(path.parent, name) for name in group["paths"])
            offset = 0
            for entry in group["weights"]:
                name, shape = _name_and_shape(entry)
                if name in tensors:
                    raise CheckpointError(f"{path} lists the tensor {name} twice.")
                stored = np.dtype(_DTYPES[entry.get("quantization", entry)["dtype"]])
                count = math.prod(shape)
                if offset + stored.itemsize * count > len(data):
                    raise CheckpointError(f"{path}: the shards end before the tensor {name}.")
                tensors[name] = _dequantized(np.frombuffer(data, stored, count, offset).reshape(shape), entry)
                offset += stored.itemsize * count
            if offset != len(data):
                raise CheckpointError(f"{path}: the shards hold {len(data) - offset} bytes more than model.json lists.")
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror} ({error.filename}).") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path} is not a TensorFlow.js graph model: {error}.") from error
    return tensors


def _name_and_shape(entry: Mapping[str, Any]) -> tuple[str, list[int]]:
    name, shape = entry["name"], entry["shape"]
    if not isinstance(name, str) or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"the tensor {name!r} of shape {shape!r}")
    return name, shape


def _read_shard(folder: Path, name: str) -> bytes:
    if Path(name).name != name:
        raise CheckpointError(f"{folder}: model.json names a shard outside its folder: {name!r}.")
    return (folder / name).read_bytes()


def _dequantized(array: NDArray[Any], entry: Mapping[str, Any]) -> NDArray[Any]:
    code = entry.get("quantization")
    if code is None:
        return array
    values = array.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # `convert` refuses what is not finite, by name
        if code["dtype"] != "float16":
            values = values * float(code["scale"]) + float(code["min"])
        return values.astype(np.float32)


def read_frozen_graph(path: Path) -> Tensors:
    """Reads the constants of a frozen ``.pb``.

    Raises:
        CheckpointError: not a GraphDef, or a constant is damaged.
    """
    try:
        return parse_graph_def(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}.") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not a frozen TensorFlow graph: {error}.") from error


def convert(raw: Tensors, shapes: Mapping[str, tuple[int, ...]], batch_norm_eps: float, where: str) -> Tensors:
    """Turns raw tensors into our state dict.

    Args:
        raw: Tensors by TensorFlow name.
        shapes: Name and shape of every tensor the network needs.
        batch_norm_eps: The network's. Where the graph was folded, a batch norm gets mean 0 and variance
            1 - eps, so that it computes scale * x + offset.
        where: File name, for messages.

    Raises:
        CheckpointError: a tensor is missing, misshapen, not finite, or has no place in the network; named.
    """
    converter = _Converter(raw, batch_norm_eps, where)
    state: Tensors = {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            state[key] = np.zeros((), np.int64)
            continue
        array = converter.tensor(key)
        if array.shape != shape:
            raise CheckpointError(
                f"{where}: {converter.last} becomes {key} with shape {array.shape}, but the network needs {shape}; "
                "the checkpoint is of another width or another number of classes."
            )
        with np.errstate(over="ignore"):  # of a float64 tensor
            state[key] = np.ascontiguousarray(array, np.float32)
        if not np.isfinite(state[key]).all():
            raise CheckpointError(f"{where}: {converter.last} holds values that are not finite in float32.")
    extra = converter.unused()
    if extra:
        more = f" and {len(extra) - 3} more" if len(extra) > 3 else ""
        raise CheckpointError(f"{where} has tensors the network has no place for: {', '.join(extra[:3])}{more}.")
    return state


class _Converter:
    """Looks tensors up under the names a graph may give them, and remembers which were used."""

    def __init__(self, raw: Tensors, batch_norm_eps: float, where: str) -> None:
        # The extras' scopes end in their channel count, which says nothing the shapes do not.
        self._raw = {re.sub(r"(/layer_19_\d_Conv2d_\d_(?:1x1|3x3_s2))_\d+", r"\1", name): raw[name] for name in raw}
        if len(self._raw) < len(raw):
            raise CheckpointError(f"{where} has two tensors for the same layer of the extras.")
        self._names = dict(zip(self._raw, raw, strict=True))
        self._eps = batch_norm_eps
        self._where = where
        self._used: set[str] = set()
        self.last = ""

    def unused(self) -> list[str]:
        """Names of float tensors in the network's scopes that nothing asked for."""
        unused = (name for name, array in self._raw.items() if array.dtype.kind == "f" and name not in self._used)
        return sorted(self._names[name] for name in unused if name.startswith(_NETWORK_SCOPES))

    def tensor(self, key: str) -> NDArray[Any]:
        module, _, kind = key.rpartition(".")
        if module.endswith(".pointwise"):  # a predictor's own convolution, without batch norm
            scope = tensorflow_scope(module)
            return _oihw(self._take(f"{scope}/weights")) if kind == "weight" else self._take(f"{scope}/biases")
        scope = tensorflow_scope(module.removesuffix(".conv").removesuffix(".bn"))
        if module.endswith(".conv"):
            depthwise = f"{scope}/depthwise_weights"
            if depthwise in self._raw:
                kernel = self._take(depthwise)
                return kernel.transpose(2, 3, 0, 1) if kernel.ndim == 4 else kernel
            return _oihw(self._take(f"{scope}/weights", f"{scope}/Conv2D/merged_input"))
        if f"{scope}/BatchNorm/batchnorm/sub" in self._raw:
            return self._folded_norm(scope, kind)
        names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        return self._take(f"{scope}/BatchNorm/{names[kind]}")

    def _folded_norm(self, scope: str, kind: str) -> NDArray[Any]:
        offset = self._take(f"{scope}/BatchNorm/batchnorm/sub")
        if kind == "bias":
            return offset
        if kind == "weight" and f"{scope}/Conv2D/merged_input" not in self._raw:  # else it is in the kernel
            return self._take(f"{scope}/BatchNorm/batchnorm/mul")
        return np.full_like(offset, {"weight": 1.0, "running_mean": 0.0, "running_var": 1.0 - self._eps}[kind])

    def _take(self, *names: str) -> NDArray[Any]:
        for name in names:
            if name in self._raw:
                self._used.add(name)
                self.last = self._names[name]
                return self._raw[name]
        raise CheckpointError(f"{self._where} lacks the tensor {' or '.join(names)}.")


def _oihw(kernel: NDArray[Any]) -> NDArray[Any]:
    return kernel.transpose(3, 2, 0, 1) if kernel.ndim == 4 else kernel


def tensorflow_scope(module: str) -> str:
    """The TensorFlow scope of one of our modules, for example ``backbone.blocks.3.expand``."""
    backbone = "FeatureExtractor/MobilenetV2"
    if module in ("backbone.stem", "backbone.last"):
        return f"{backbone}/Conv" if module == "backbone.stem" else f"{backbone}/Conv_1"
    if match := re.fullmatch(r"backbone\.blocks\.(\d+)\.(\w+)", module):
        block = "expanded_conv" if match[1] == "0" else f"expanded_conv_{match[1]}"
        return f"{backbone}/{block}/{match[2]}"
    if match := re.fullmatch(r"extras\.(\d+)\.(\w+)", module):
        scope = f"{backbone}/layer_19_{{}}_Conv2d_{int(match[1]) + 2}_{{}}"
        endings = {"reduce": (1, "1x1"), "depthwise": (2, "3x3_s2_depthwise"), "pointwise": (2, "3x3_s2")}
        return scope.format(*endings[match[2]])
    if match := re.fullmatch(r"(class|box)_predictors\.(\d+)\.(depthwise|pointwise)", module):
        kind = "ClassPredictor" if match[1] == "class" else "BoxEncodingPredictor"
        return f"BoxPredictor_{match[2]}/{kind}" + ("_depthwise" if match[3] == "depthwise" else "")
    raise CheckpointError(f"{module} has no counterpart in a TensorFlow checkpoint.")
