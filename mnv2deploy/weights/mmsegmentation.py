"""Reads mmsegmentation's checkpoints: M-V2-D8 with the heads FCN, PSPNet, DeepLabV3 and DeepLabV3+."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from mnv2deploy.catalog.network_specs import DeepLabPlusSpec, DeepLabSpec, FCNSpec, NetworkSpec, PSPNetSpec
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.configuration import Config
from mnv2deploy.weights.description import (
    LAYER_TENSORS,
    Description,
    Shapes,
    backbone_keys,
    out_channels,
    require_names,
)
from mnv2deploy.weights.state_dict import StateDict
from mnv2deploy.weights.widths import Layer, describe_backbone

# The second head of the training, on an earlier feature map: no part of the network that answers.
_AUXILIARY = "auxiliary_head."
# mmseg/models/backbones/mobilenet_v2.py, arch_settings: blocks of layer1 to layer7.
_BLOCKS = [(layer, block) for layer, count in enumerate((1, 2, 3, 4, 3, 3, 1), start=1) for block in range(count)]
_PARTS = ("expand", "depthwise", "project")
_EPSILON = 1e-5
# Of configs/mobilenet_v2/*_m-v2-d8*: what tensors do not show.
_PYRAMID = (1, 2, 3, 6)
_ATROUS_RATES = (12, 24, 36)
_PROJECTION_KERNEL = 3
_REFINE = ("refine.0", "refine.1")
# Our module of a head, and mmseg's (mmseg/models/decode_heads); what follows, a layer and its tensor, is the same.
_HEAD = {
    r"classifier": r"conv_seg",
    r"convs\.(\d+)": r"convs.\1",
    r"join": r"conv_cat",
    r"pyramid\.(\d+)": r"psp_modules.\1.1",
    r"pool": r"image_pool.1",
    r"branch": r"aspp_modules.0",
    r"project": r"bottleneck",
    r"low_level": r"c1_bottleneck",
    r"refine\.(\d+)\.(depthwise|pointwise)": r"sep_bottleneck.\1.\2_conv",
}
_ATROUS = re.compile(r"head\.atrous\.(\d+)(?:\.(depthwise|pointwise))?(\.(?:conv|bn)\.\w+)")


def mmsegmentation_origin(raw: Tensors, where: str) -> StateDict:
    """The checkpoint as an `Origin`."""
    return StateDict(raw, mmsegmentation_name, where, leads_nowhere=(_AUXILIARY,))


def describe(shapes: Shapes, config: Config, where: str) -> Description:
    """What a checkpoint of mmsegmentation's is the weights of.

    The head is seen by its names. Output stride, dilations and pyramid are those of mmsegmentation's own configurations
    of M-V2-D8: tensors do not show them, and the Python configuration that would is not in the file. So are its labels
    and the size of its pictures.

    Args:
        shapes: Of the tensors, by name.
        config: Unused.
        where: File name, for messages.

    Raises:
        CheckpointError: tensors are missing or too many, there is no such width, or the head is another; named.
    """
    del config
    head, modules = _head(shapes, where)
    layers = [f"head.{module}.{tensor}" for module in modules for tensor in LAYER_TENSORS]
    keys = [*backbone_keys(len(_BLOCKS), last=False), *layers, "head.classifier.weight", "head.classifier.bias"]
    ignored = [name for name in shapes if name.startswith(_AUXILIARY)]
    require_names(map(mmsegmentation_name, keys), shapes, where, ignored=ignored)

    def layer(module: str) -> Layer:
        return out_channels(shapes, mmsegmentation_name(f"{module}.conv.weight"), where)

    backbone = describe_backbone(
        layer("backbone.stem"),
        [layer(f"backbone.blocks.{index}.project") for index in range(len(_BLOCKS))],
        None,
        where,
        padding="torch",
        batch_norm_eps=_EPSILON,
        output_stride=8,
    )
    fields: dict[str, Any] = {
        "architecture": head,
        "backbone": replace(backbone, dilation_rule="openmmlab"),
        "columns": out_channels(shapes, mmsegmentation_name("head.classifier.bias"), where).channels,
        "channels": layer(f"head.{modules[0]}").channels,
    }
    network: NetworkSpec
    if head == "fcn":
        network = FCNSpec(**fields, convolutions=len(modules) - 1)
    elif head == "pspnet":
        network = PSPNetSpec(**fields, pyramid=_PYRAMID)
    elif head == "deeplabv3":
        network = DeepLabSpec(
            **fields, head_batch_norm_eps=_EPSILON, atrous_rates=_ATROUS_RATES, projection_kernel=_PROJECTION_KERNEL
        )
    else:
        reduced = layer("head.low_level").channels
        network = DeepLabPlusSpec(**fields, low_level_channels=reduced, atrous_rates=_ATROUS_RATES)
    return Description(network=network, align_corners=False)


def _head(shapes: Shapes, where: str) -> tuple[str, list[str]]:
    """The architecture, and our names of its head's layers, the classifier aside."""
    names = {name.split(".")[1] for name in shapes if name.startswith("decode_head.")}
    if "psp_modules" in names:
        return "pspnet", [*(f"pyramid.{scale}" for scale in range(len(_PYRAMID))), "project"]
    branches = range(len(_ATROUS_RATES))
    if "c1_bottleneck" in names:
        parts = ("depthwise", "pointwise")
        separable = [f"{module}.{part}" for module in (*(f"atrous.{i}" for i in branches), *_REFINE) for part in parts]
        return "deeplabv3plus", ["pool", "branch", "project", "low_level", *separable]
    if "aspp_modules" in names:
        return "deeplabv3", ["pool", "branch", *(f"atrous.{branch}" for branch in branches), "project"]
    if "convs" in names and "conv_cat" in names:
        matches = (re.match(r"decode_head\.convs\.(\d+)\.", name) for name in shapes)
        count = 1 + max(int(match[1]) for match in matches if match)
        return "fcn", [*(f"convs.{index}" for index in range(count)), "join"]
    found = f"has {', '.join(sorted(names))[:80]}" if names else "is missing"
    raise CheckpointError(f"{where}: its decode_head {found}; those of FCN, PSPNet, DeepLabV3 and DeepLabV3+ are read.")


def mmsegmentation_name(key: str) -> str:
    """The name of one of our tensors in mmsegmentation, for example ``head.atrous.0.conv.weight``."""
    if match := re.fullmatch(r"backbone\.stem(\.(?:conv|bn)\.\w+)", key):
        return f"backbone.conv1{match[1]}"
    if match := re.fullmatch(rf"backbone\.blocks\.(\d+)\.({'|'.join(_PARTS)})(\.(?:conv|bn)\.\w+)", key):
        layer, block = _BLOCKS[int(match[1])]
        part = _PARTS.index(match[2]) - (layer == 1)  # the first block does not expand
        return f"backbone.layer{layer}.{block}.conv.{part}{match[3]}"
    if match := _ATROUS.fullmatch(key):
        separable = f".{match[2]}_conv" if match[2] else ""
        return f"decode_head.aspp_modules.{int(match[1]) + 1}{separable}{match[3]}"
    for ours, theirs in _HEAD.items():
        if match := re.fullmatch(rf"head\.{ours}((?:\.(?:conv|bn))?\.\w+)", key):
            return f"decode_head.{match.expand(theirs)}{match[match.lastindex or 0]}"
    raise CheckpointError(f"{key} has no counterpart in a checkpoint of mmsegmentation.")
