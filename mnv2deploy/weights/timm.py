"""Reads timm's MobileNetV2: mobilenetv2_035 to 140, 110d and 120d (timm/models/efficientnet.py)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace

from mnv2deploy.contract import Preprocessing
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.configuration import Config
from mnv2deploy.weights.description import Description, Shapes, describe_classifier
from mnv2deploy.weights.state_dict import StateDict

# Of every mobilenetv2 of timm's (`_cfg`), and what `timm.data.create_transform` takes for a model of one's own.
_PREPROCESSING = Preprocessing(
    resize="centre_crop",
    shorter_side=256,  # 224 / 0.875, its crop_pct
    interpolation="bicubic",
    colour="rgb",
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
)
_EPSILON = 1e-5
# What a block's convolutions and batch norms are called; the first block does not expand.
_FIRST = {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")}
_OTHER = {"expand": ("conv_pw", "bn1"), "depthwise": ("conv_dw", "bn2"), "project": ("conv_pwl", "bn3")}
_ENDS = {"stem": ("conv_stem", "bn1"), "last": ("conv_head", "bn2")}


def timm_origin(raw: Tensors, where: str) -> StateDict:
    """The checkpoint as an `Origin`."""
    return StateDict(raw, timm_names(raw), where)


def describe(shapes: Shapes, config: Config, where: str) -> Description:
    """What a state dict of timm's is the weights of.

    Args:
        shapes: Of the tensors, by name.
        config: Unused; timm's networks are told apart by their tensors.
        where: File name, for messages.

    Raises:
        CheckpointError: tensors are missing or too many, or there is no such width and depth; named.
    """
    del config
    said = describe_classifier(
        timm_names(shapes), shapes, where, padding="torch", batch_norm_eps=_EPSILON, blocks=len(_places(shapes))
    )
    return replace(said, preprocessing=_PREPROCESSING, is_assumed=True)


def timm_names(names: Collection[str]) -> Callable[[str], str]:
    """Timm's name of one of our tensors, for example ``backbone.blocks.3.expand.bn.bias``.

    timm counts stages and the blocks in them, ``blocks.2.0``, and we count blocks; how many a stage has depends on the
    depth multiplier and is seen in the checkpoint.

    Args:
        names: All the checkpoint has.
    """
    places = _places(names)

    def name_of(key: str) -> str:
        if match := re.fullmatch(r"backbone\.(stem|last)\.(conv|bn)\.(\w+)", key):
            return f"{_ENDS[match[1]][match[2] == 'bn']}.{match[3]}"
        if match := re.fullmatch(r"backbone\.blocks\.(\d+)\.(expand|depthwise|project)\.(conv|bn)\.(\w+)", key):
            block = int(match[1])
            layers = _OTHER if block else _FIRST
            if block < len(places) and match[2] in layers:
                stage, place = places[block]
                return f"blocks.{stage}.{place}.{layers[match[2]][match[3] == 'bn']}.{match[4]}"
        if key.startswith("classifier."):
            return key
        raise CheckpointError(f"{key} has no counterpart in a timm checkpoint of {len(places)} blocks.")

    return name_of


def _places(names: Collection[str]) -> list[tuple[int, int]]:
    """Stage and block of each bottleneck, in the order they run."""
    matches = (re.match(r"blocks\.(\d+)\.(\d+)\.", name) for name in names)
    return sorted({(int(match[1]), int(match[2])) for match in matches if match})
