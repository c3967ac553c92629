"""Reads MobileNetV2 of keras.applications: with its own top, or pooling and one Dense layer of yours."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.configuration import Config
from mnv2deploy.weights.description import (
    Description,
    Shapes,
    backbone_keys,
    of_classifier,
    out_channels,
    require_names,
    require_one_layer,
)
from mnv2deploy.weights.keras_config import read_model
from mnv2deploy.weights.keras_files import read_datasets
from mnv2deploy.weights.state_dict import StateDict
from mnv2deploy.weights.widths import Layer, describe_backbone

_BLOCKS = 17
_TENSORS = {
    "conv.weight": "kernel",
    "bn.weight": "gamma",
    "bn.bias": "beta",
    "bn.running_mean": "moving_mean",
    "bn.running_var": "moving_variance",
}
_KEYS = backbone_keys(_BLOCKS, last=True)
# What Keras 3 calls the numbered tensors of a layer.
_NUMBERED = {
    "conv2d": ("kernel",),
    "depthwise_conv2d": ("kernel",),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "dense": ("kernel", "bias"),
}


class KerasCheckpoint(StateDict):
    """A Keras model's tensors; kernels are (height, width, in, out), depthwise ones (height, width, channels, 1)."""

    def __init__(self, raw: Tensors, where: str) -> None:
        super().__init__(raw, keras_names(raw), where)

    def tensor(self, key: str) -> NDArray[Any]:
        """See `Origin.tensor`."""
        array = super().tensor(key)
        if array.ndim == 4:
            return array.transpose((2, 3, 0, 1) if ".depthwise." in key else (3, 2, 0, 1))
        return array.T


def describe(shapes: Shapes, config: Config, where: str) -> Description:
    """What a Keras file is the weights of.

    Args:
        shapes: Of the tensors, by name.
        config: The model under the key ``model``, where the file has it.
        where: File name, for messages.

    Raises:
        CheckpointError: tensors are missing or too many, there is no such width, or the model has layers that are not
            keras.applications' or compute something else; named.
    """
    name_of = keras_names(shapes)
    keys = [name_of(key) for key in _KEYS]
    require_one_layer(keys, shapes, where)
    require_names([*keys, name_of("classifier.weight"), name_of("classifier.bias")], shapes, where)
    model = read_model(config, where)

    def layer(module: str) -> Layer:
        return out_channels(shapes, name_of(f"backbone.{module}.conv.weight"), where, axis=-1)

    backbone = describe_backbone(
        layer("stem"),
        [layer(f"blocks.{index}.project") for index in range(_BLOCKS)],
        layer("last"),
        where,
        padding="tf",
        batch_norm_eps=model.batch_norm_eps,
    )
    outputs = out_channels(shapes, name_of("classifier.bias"), where).channels
    return replace(
        of_classifier(backbone, outputs, model.activation),
        input=model.input,
        preprocessing=model.preprocessing,
        scales_itself=model.scales_itself,
        sides=model.sides,
        is_assumed=not model.scales_itself,
    )


def keras_names(names: Collection[str]) -> Callable[[str], str]:
    """Keras's name of one of our tensors, for example ``backbone.blocks.3.expand.bn.bias``.

    Args:
        names: All the checkpoint has: the Dense layer is called as whoever put it there liked.
    """
    known = {_backbone_name(key).partition("/")[0] for key in _KEYS}
    others = [name.partition("/")[0] for name in names if name.endswith("/bias")]
    dense = next((layer for layer in others if layer not in known), "predictions")

    def name_of(key: str) -> str:
        if key.startswith("classifier."):
            return f"{dense}/{'kernel' if key.endswith('weight') else 'bias'}"
        return _backbone_name(key)

    return name_of


def _backbone_name(key: str) -> str:
    if match := re.fullmatch(r"backbone\.(stem|last)\.((conv|bn)\.\w+)", key):
        layers = {"stem": ("Conv1", "bn_Conv1"), "last": ("Conv_1", "Conv_1_bn")}[match[1]]
        return f"{layers[match[3] == 'bn']}/{_TENSORS[match[2]]}"
    if match := re.fullmatch(r"backbone\.blocks\.(\d+)\.(expand|depthwise|project)\.((conv|bn)\.\w+)", key):
        block = f"block_{match[1]}" if match[1] != "0" else "expanded_conv"
        return f"{block}_{match[2]}{'_BN' if match[4] == 'bn' else ''}/{_TENSORS[match[3]]}"
    raise CheckpointError(f"{key} has no counterpart in a Keras checkpoint.")


def read_keras(path: Path) -> Tensors:
    """Reads a model's tensors by the names keras.applications gives its layers, ``block_3_expand_BN/gamma``.

    Args:
        path: A ``.h5`` or ``.keras`` file, of a whole model or of weights alone.

    Raises:
        CheckpointError: the file is none of Keras's, or damaged, or two tensors have one name.
        MissingDependencyError: h5py is not installed.
    """
    datasets = read_datasets(path)
    is_numbered = any("/vars/" in name for name in datasets)
    order = _numbered_layers() if is_numbered else {}
    tensors: Tensors = {}
    for path_in_file, array in datasets.items():
        if "seed_generator" in path_in_file:  # of Dropout and of augmentations
            continue
        name = _numbered_name(path_in_file, order) if is_numbered else _short_name(path_in_file)
        if name in tensors:
            raise CheckpointError(f"{path} has two tensors {name}, the second of them as {path_in_file}.")
        tensors[name] = array
    return tensors


def _short_name(path_in_file: str) -> str:
    """Layer and tensor out of ``mobilenetv2_1.00_160/block_1_depthwise/depthwise_kernel:0``."""
    *_, layer, tensor = ("", *path_in_file.removesuffix(":0").split("/"))
    return f"{layer}/{tensor.replace('depthwise_kernel', 'kernel')}"


def _numbered_layers() -> dict[str, str]:
    """What Keras 3 calls each layer of the backbone, counted by class in the order they run: ``conv2d_1``."""
    counts: Counter[str] = Counter()
    names = {}
    for key in (key for key in _KEYS if key.endswith(("conv.weight", "bn.weight"))):
        kind = "batch_normalization" if ".bn." in key else "depthwise_conv2d" if ".depthwise." in key else "conv2d"
        names[f"{kind}_{counts[kind]}" if counts[kind] else kind] = _backbone_name(key).partition("/")[0]
        counts[kind] += 1
    return names


def _numbered_name(path_in_file: str, order: Mapping[str, str]) -> str:
    """Layer and tensor out of ``layers/functional/layers/conv2d_1/vars/0``."""
    match = re.search(r"([a-z_2]+?(?:_\d+)?)/vars/(\d+)$", path_in_file)
    if match is None:
        return path_in_file
    tensors = _NUMBERED.get(re.sub(r"_\d+$", "", match[1]), ())
    if int(match[2]) >= len(tensors):
        return path_in_file
    return f"{order.get(match[1], match[1])}/{tensors[int(match[2])]}"
