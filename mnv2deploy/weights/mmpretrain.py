"""Reads mmpretrain's MobileNetV2 classifier (mmpretrain/models/backbones/mobilenet_v2.py), mmclassification's too."""

from __future__ import annotations

import re

from mnv2deploy.catalog.stages import scaled_stages
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.configuration import Config
from mnv2deploy.weights.description import Description, Shapes, describe_classifier
from mnv2deploy.weights.state_dict import StateDict

# The name of each of our blocks: the stages are layer1 to layer7, and their blocks are counted from 0.
_BLOCKS = [
    f"layer{stage}.{block}"
    for stage, (_, _, repetitions, _) in enumerate(scaled_stages(1.0), start=1)
    for block in range(repetitions)
]
_PARTS = ("expand", "depthwise", "project")
_ENDS = {"stem": "conv1", "last": "conv2"}


def mmpretrain_origin(raw: Tensors, where: str) -> StateDict:
    """The checkpoint as an `Origin`."""
    return StateDict(raw, mmpretrain_name, where, leads_nowhere=("data_preprocessor.",))


def describe(shapes: Shapes, config: Config, where: str) -> Description:
    """What a state dict of mmpretrain's classifier is the weights of.

    Labels and preprocessing stand in the Python configuration it was trained with, not in the checkpoint.

    Args:
        shapes: Of the tensors, by name.
        config: Unused.
        where: File name, for messages.

    Raises:
        CheckpointError: tensors are missing or too many, or there is no such width; named.
    """
    del config
    shapes = {name: shape for name, shape in shapes.items() if not name.startswith("data_preprocessor.")}
    return describe_classifier(mmpretrain_name, shapes, where, padding="torch", batch_norm_eps=1e-5)


def mmpretrain_name(key: str) -> str:
    """Mmpretrain's name of one of our tensors, for example ``backbone.blocks.3.expand.bn.bias``."""
    if match := re.fullmatch(r"backbone\.(stem|last)\.(conv|bn)\.(\w+)", key):
        return f"backbone.{_ENDS[match[1]]}.{match[2]}.{match[3]}"
    if match := re.fullmatch(r"backbone\.blocks\.(\d+)\.(expand|depthwise|project)\.(conv|bn)\.(\w+)", key):
        block = int(match[1])
        if block < len(_BLOCKS) and (block or match[2] != "expand"):
            layer = _PARTS.index(match[2]) - (block == 0)
            return f"backbone.{_BLOCKS[block]}.conv.{layer}.{match[3]}.{match[4]}"
    if key.startswith("classifier."):
        return key.replace("classifier.", "head.fc.")
    raise CheckpointError(f"{key} has no counterpart in an mmpretrain checkpoint.")
