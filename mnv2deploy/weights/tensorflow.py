"""Reads TensorFlow checkpoints: TensorFlow.js graph models and frozen GraphDefs, without TensorFlow.

Two steps: a file becomes raw tensors by their TensorFlow names (`read_tensorflowjs`, `read_frozen_graph`), and raw
tensors find their place in our state dict (`TensorflowCheckpoint`).
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
from mnv2deploy.weights.assembly import Tensors, identity_norm
from mnv2deploy.weights.graphdef import parse_graph_def

# The networks' tensors live in these scopes; what stands elsewhere (anchors, image resizing, decoding) is
# arithmetic of the graph that the contract describes.
_NETWORK_SCOPES = (
    "FeatureExtractor/",
    "MobilenetV2/",
    "BoxPredictor_",
    "image_pooling/",
    "aspp",
    "concat_projection/",
    "logits/",
)
_SCOPES = {
    "backbone.stem": "MobilenetV2/Conv",
    "backbone.last": "MobilenetV2/Conv_1",
    "head.pool": "image_pooling",
    "head.branch": "aspp0",
    "head.project": "concat_projection",
    "head.classifier": "logits/semantic",
}
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


class TensorflowCheckpoint:
    """A TensorFlow graph's tensors, unfolded or with batch norms folded in either of two ways.

    Args:
        raw: Tensors by TensorFlow name.
        epsilons: Of each batch norm of the network, by module name. Where the graph was folded, a batch norm gets
            mean 0 and variance 1 - epsilon, so that it computes scale * x + offset.
        where: File name, for messages.

    Raises:
        CheckpointError: two tensors are for the same layer.
    """

    def __init__(self, raw: Tensors, epsilons: Mapping[str, float], where: str) -> None:
        # The extras' scopes end in their channel count, which says nothing the shapes do not.
        self._raw = {re.sub(r"(/layer_19_\d_Conv2d_\d_(?:1x1|3x3_s2))_\d+", r"\1", name): raw[name] for name in raw}
        if len(self._raw) < len(raw):
            raise CheckpointError(f"{where} has two tensors for the same layer of the extras.")
        self._names = dict(zip(self._raw, raw, strict=True))
        self._epsilons = epsilons
        self._where = where
        self._used: set[str] = set()
        self._root = "" if any(name.startswith("MobilenetV2/") for name in raw) else "FeatureExtractor/"
        self.last = ""

    def unused(self) -> list[str]:
        """See `Origin.unused`."""
        unused = (name for name, array in self._raw.items() if array.dtype.kind == "f" and name not in self._used)
        return sorted(self._names[name] for name in unused if name.startswith(_NETWORK_SCOPES))

    def tensor(self, key: str) -> NDArray[Any]:
        """See `Origin.tensor`."""
        module, _, kind = key.rpartition(".")
        if not module.endswith((".conv", ".bn")):  # a predictor's own convolution, with bias and without batch norm
            scope = self._root_of(module)
            return _oihw(self._take(f"{scope}/weights")) if kind == "weight" else self._take(f"{scope}/biases")
        scope = self._root_of(module.removesuffix(".conv").removesuffix(".bn"))
        if module.endswith(".conv"):
            depthwise = f"{scope}/depthwise_weights"
            if depthwise in self._raw:
                kernel = self._take(depthwise)
                return kernel.transpose(2, 3, 0, 1) if kernel.ndim == 4 else kernel
            return _oihw(self._take(f"{scope}/weights", f"{scope}/Conv2D/merged_input"))
        norm = f"{scope}/BatchNorm"
        for offset, scale in (
            (f"{norm}/batchnorm/sub", "batchnorm/mul"),
            (f"{norm}/FusedBatchNorm/Offset", "FusedBatchNorm/Scaled"),
        ):
            if offset in self._raw:
                return self._folded_norm(module, kind, offset, f"{norm}/{scale}")
        names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        return self._take(f"{norm}/{names[kind]}")

    def _root_of(self, module: str) -> str:
        scope = tensorflow_scope(module)
        return self._root + scope if scope.startswith("MobilenetV2/") else scope

    def _folded_norm(self, module: str, kind: str, offset_name: str, scale_name: str) -> NDArray[Any]:
        offset = self._take(offset_name)
        if kind == "weight" and f"{offset_name.partition('/BatchNorm')[0]}/Conv2D/merged_input" not in self._raw:
            return self._take(scale_name)  # otherwise it is in the kernel
        return identity_norm(kind, offset, self._epsilons[module])

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
    if module in _SCOPES:
        return _SCOPES[module]
    if match := re.fullmatch(r"backbone\.blocks\.(\d+)\.(\w+)", module):
        block = "expanded_conv" if match[1] == "0" else f"expanded_conv_{match[1]}"
        return f"MobilenetV2/{block}/{match[2]}"
    if match := re.fullmatch(r"head\.atrous\.(\d+)", module):
        return f"aspp{int(match[1]) + 1}"
    if match := re.fullmatch(r"extras\.(\d+)\.(\w+)", module):
        scope = f"MobilenetV2/layer_19_{{}}_Conv2d_{int(match[1]) + 2}_{{}}"
        endings = {"reduce": (1, "1x1"), "depthwise": (2, "3x3_s2_depthwise"), "pointwise": (2, "3x3_s2")}
        return scope.format(*endings[match[2]])
    if match := re.fullmatch(r"(class|box)_predictors\.(\d+)\.(depthwise|pointwise)", module):
        kind = "ClassPredictor" if match[1] == "class" else "BoxEncodingPredictor"
        return f"BoxPredictor_{match[2]}/{kind}" + ("_depthwise" if match[3] == "depthwise" else "")
    raise CheckpointError(f"{module} has no counterpart in a TensorFlow checkpoint.")
