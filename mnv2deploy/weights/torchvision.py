"""Reads torchvision's MobileNetV2 classifier: a torch state dict (torchvision/models/mobilenetv2.py)."""

from __future__ import annotations

import re

from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.configuration import Config
from mnv2deploy.weights.description import Description, Shapes, describe_classifier
from mnv2deploy.weights.state_dict import StateDict


def torchvision_origin(raw: Tensors, where: str) -> StateDict:
    """The checkpoint as an `Origin`."""
    return StateDict(raw, torchvision_name, where)


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
    network = describe_classifier(torchvision_name, shapes, where, padding="torch", batch_norm_eps=1e-5)
    return Description(network=network)


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
