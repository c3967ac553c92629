"""Reads mmdetection's ssdlite_mobilenetv2: its MobileNetV2, SSDNeck and SSDHead (mmdetection 3.3.0, mmdet/models)."""

from __future__ import annotations

import re
from dataclasses import replace

from mnv2deploy.catalog.cards import load_card
from mnv2deploy.catalog.network_specs import SSDLiteSpec
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights import mmpretrain
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

# Of its only configuration, configs/ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py: what it says of taps, anchors
# and input is not in a checkpoint.
_CARD = "ssdlite-coco-mmdet"
_MAPS, _EXTRAS, _BLOCKS = 6, 4, 17
_UNUSED = ("data_preprocessor.",)
_BLOCK = {"expand": "expand_conv", "depthwise": "depthwise_conv", "project": "linear_conv"}
# Our layers of an extra feature map, and where SSDNeck has them; of a predictor, and where SSDHead has them.
_EXTRA = {"reduce": "0", "depthwise": "1.depthwise_conv", "pointwise": "1.pointwise_conv"}
_PREDICTOR = {"depthwise": "0", "pointwise": "1"}
_HEADS = {"class_predictors": "cls_convs", "box_predictors": "reg_convs"}


def mmdetection_origin(raw: Tensors, where: str) -> StateDict:
    """The checkpoint as an `Origin`."""
    return StateDict(raw, mmdetection_name, where, leads_nowhere=_UNUSED)


def describe(shapes: Shapes, config: Config, where: str) -> Description:
    """What a state dict of mmdetection's SSDLite is the weights of.

    Labels, anchors, input and preprocessing stand in the Python configuration it was trained with, not in the
    checkpoint; anchors and input are taken to be those of mmdetection's own.

    Args:
        shapes: Of the tensors, by name.
        config: Unused.
        where: File name, for messages.

    Raises:
        CheckpointError: tensors are missing or too many, or their shapes are of no such network; named.
    """
    del config
    card = load_card(_CARD)
    published = card.network
    assert isinstance(published, SSDLiteSpec)  # noqa: S101 - the card of a detector
    shapes = {name: shape for name, shape in shapes.items() if not name.startswith(_UNUSED)}
    require_names(map(mmdetection_name, _keys()), shapes, where)

    def layer(key: str) -> Layer:
        return out_channels(shapes, mmdetection_name(key), where)

    backbone = describe_backbone(
        layer("backbone.stem.conv.weight"),
        [layer(f"backbone.blocks.{index}.project.conv.weight") for index in range(_BLOCKS)],
        layer("backbone.last.conv.weight"),
        where,
        padding=published.backbone.padding,
        batch_norm_eps=published.backbone.batch_norm_eps,
    )
    return Description(
        network=replace(
            published,
            backbone=backbone,
            extras=tuple(layer(f"extras.{index}.pointwise.conv.weight").channels for index in range(_EXTRAS)),
            columns=_columns(shapes, published.anchors.per_cell, where),
        ),
        input=card.input,
    )


def _columns(shapes: Shapes, anchors_per_cell: tuple[int, ...], where: str) -> int:
    """Of the class logits: those of every map have to be the same, for the anchors that mmdetection's boxes have."""
    for index, anchors in enumerate(anchors_per_cell):
        name = mmdetection_name(f"box_predictors.{index}.pointwise.bias")
        if shapes[name] != (4 * anchors,):
            raise CheckpointError(
                f"{where}: {name} has the shape {shapes[name]}, but {anchors} anchors a cell, as in mmdetection's "
                f"ssdlite_mobilenetv2, need ({4 * anchors},); write a card for other anchors."
            )
    first, *others = (
        (name := mmdetection_name(f"class_predictors.{index}.pointwise.bias"), shapes[name]) for index in range(_MAPS)
    )
    for name, shape in (first, *others):
        if shape != first[1] or len(shape) != 1 or shape[0] % anchors_per_cell[0]:
            raise CheckpointError(f"{where}: {name} has the shape {shape}, which is not of as many classes.")
    return first[1][0] // anchors_per_cell[0]


def _keys() -> list[str]:
    """The names our state dict has, without the counters of batches."""
    keys = backbone_keys(_BLOCKS, last=True)
    keys += [f"extras.{index}.{part}.{end}" for index in range(_EXTRAS) for part in _EXTRA for end in LAYER_TENSORS]
    for head in _HEADS:
        for index in range(_MAPS):
            keys += [f"{head}.{index}.depthwise.{end}" for end in LAYER_TENSORS]
            keys += [f"{head}.{index}.pointwise.{end}" for end in ("weight", "bias")]
    return keys


def mmdetection_name(key: str) -> str:
    """What mmdetection calls one of our tensors, for example ``class_predictors.0.depthwise.conv.weight``."""
    if key.startswith("backbone."):
        # OpenMMLab's packages share the backbone's names, but for the layers of a block.
        name = mmpretrain.mmpretrain_name(key)
        if match := re.fullmatch(r"backbone\.blocks\.\d+\.(expand|depthwise|project)\.(\w+\.\w+)", key):
            return f"{name.partition('.conv.')[0]}.{_BLOCK[match[1]]}.{match[2]}"
        return name
    if match := re.fullmatch(r"extras\.(\d+)\.(reduce|depthwise|pointwise)\.(\w+\.\w+)", key):
        return f"neck.extra_layers.{match[1]}.{_EXTRA[match[2]]}.{match[3]}"
    if match := re.fullmatch(r"(class_predictors|box_predictors)\.(\d+)\.(depthwise|pointwise)\.([\w.]+)", key):
        return f"bbox_head.{_HEADS[match[1]]}.{match[2]}.{_PREDICTOR[match[3]]}.{match[4]}"
    raise CheckpointError(f"{key} has no counterpart in a checkpoint of mmdetection.")
