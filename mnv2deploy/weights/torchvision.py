"""Reads torchvision's MobileNetV2 classifier: a torch state dict (torchvision/models/mobilenetv2.py).

And that of its quantization package (torchvision/models/quantization/mobilenetv2.py) while its weights are floats.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from mnv2deploy.catalog.cards import Card
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.assembly import Tensors, identity_norm
from mnv2deploy.weights.configuration import Config
from mnv2deploy.weights.description import Description, Shapes, describe_classifier
from mnv2deploy.weights.state_dict import StateDict
from mnv2deploy.weights.torchvision_quantization import Activation, activation_shown, without_observers


def torchvision_origin(raw: Tensors, epsilons: Mapping[str, float], where: str) -> StateDict:
    """The checkpoint as an `Origin`."""
    weights = {usual: raw[name] for usual, name in _usual_names(raw).items()}
    name_of = naming(weights)
    return _Folded(weights, epsilons, where) if name_of is folded_name else StateDict(weights, name_of, where)


def describe(shapes: Shapes, config: Config, where: str) -> Description:
    """What a state dict of torchvision's is the weights of.

    Labels and preprocessing are left open: torchvision keeps them beside its own weights, not in them.

    Args:
        shapes: Of the tensors, by name.
        config: Unused; torchvision has no configuration files.
        where: File name, for messages.

    Raises:
        CheckpointError: tensors are missing or too many, or there is no such width; named.
    """
    del config
    weights = {usual: shapes[name] for usual, name in _usual_names(shapes).items()}
    said = describe_classifier(naming(weights), weights, where, padding="torch", batch_norm_eps=1e-5)
    backbone = replace(said.network.backbone, activation=_activation(shapes) or "relu6")
    return replace(said, network=replace(said.network, backbone=backbone))


def check(card: Card, names: Collection[str], where: str) -> None:
    """Sets a card's activation beside the checkpoint's.

    Raises:
        CheckpointError: the names show that it is another.
    """
    found, wanted = _activation(names), card.network.backbone.activation
    if found not in (None, wanted):
        raise CheckpointError(f"{where} has backbone.activation = {found}, but the card {card.name} says {wanted}.")


def _activation(names: Collection[str]) -> Activation | None:
    return activation_shown(names, is_fused=naming(names) is not torchvision_name)


def _usual_names(names: Collection[str]) -> dict[str, str]:
    """Names as torchvision's own, and those in the file: a classifier without its dropout is one layer all the same."""
    found = without_observers(names)
    layers = {name.rpartition(".")[0] for name in found if name.startswith("classifier.")}
    own = f"{layers.pop()}." if len(layers) == 1 else "classifier.1."
    return {f"classifier.1.{name.removeprefix(own)}" if name.startswith(own) else name: name for name in found}


def naming(names: Collection[str]) -> Callable[[str], str]:
    """Which of the functions below says what a checkpoint calls our tensors: the stem's batch norm tells."""
    fusions: dict[str, Callable[[str], str]] = {
        "features.0.0.bn.weight": prepared_name,
        "features.0.0.1.weight": fused_name,
        "features.0.0.0.bias": folded_name,
    }
    return next((fusions[name] for name in fusions if name in names), torchvision_name)


def torchvision_name(key: str) -> str:
    """Torchvision's name of one of our tensors, for example ``backbone.blocks.3.expand.bn.bias``.

    ``features.0`` to ``features.18`` and ``classifier.1``. A block's ``conv`` holds its layers in order, without the
    expansion in the first block.
    """
    if match := re.fullmatch(r"backbone\.(stem|last)\.(conv|bn)\.(\w+)", key):
        index = 0 if match[1] == "stem" else 18
        return f"features.{index}.{0 if match[2] == 'conv' else 1}.{match[3]}"
    if match := re.fullmatch(r"backbone\.blocks\.(\d+)\.(expand|depthwise|project)\.(conv|bn)\.(\w+)", key):
        block, is_norm = int(match[1]), match[3] == "bn"
        layer = ("expand", "depthwise", "project").index(match[2]) - (block == 0)
        # Only the linear projection is not wrapped with its activation.
        inner = f"{layer + is_norm}" if match[2] == "project" else f"{layer}.{int(is_norm)}"
        return f"features.{block + 1}.conv.{inner}.{match[4]}"
    if key.startswith("classifier."):
        return key.replace("classifier.", "classifier.1.")
    raise CheckpointError(f"{key} has no counterpart in a torchvision checkpoint.")


def folded_name(key: str) -> str:
    """After ``fuse_model`` for evaluation, which folds a batch norm into its convolution's kernel and bias.

    A batch norm's tensors are all made of the bias. Only convolutions with an activation are wrapped with it.
    """
    if key.startswith("classifier."):
        return torchvision_name(key)
    layer, part, _ = key.rsplit(".", 2)
    inner = "" if layer.endswith(".project") else ".0"
    return f"{_place(layer)}{inner}.{'weight' if part == 'conv' else 'bias'}"


def _fused_name(key: str, *, conv: str, norm: str) -> str:
    """The layer stands where its convolution stood, with convolution and batch norm in it."""
    if key.startswith("classifier."):
        return torchvision_name(key)
    layer, part, kind = key.rsplit(".", 2)
    return f"{_place(layer)}{conv if part == 'conv' else norm}.{kind}"


# After ``fuse_model`` for training, and after ``prepare_qat``.
fused_name = partial(_fused_name, conv=".0", norm=".1")
prepared_name = partial(_fused_name, conv="", norm=".bn")


def _place(layer: str) -> str:
    return torchvision_name(f"{layer}.conv.weight").removesuffix(".weight")


class _Folded(StateDict):
    """Convolutions with a bias, and batch norms that add it."""

    def __init__(self, raw: Tensors, epsilons: Mapping[str, float], where: str) -> None:
        super().__init__(raw, folded_name, where)
        self._epsilons = epsilons

    def tensor(self, key: str) -> NDArray[Any]:
        """See `Origin.tensor`."""
        module, _, kind = key.rpartition(".")
        array = super().tensor(key)
        return identity_norm(kind, array, self._epsilons[module]) if module.endswith(".bn") else array
