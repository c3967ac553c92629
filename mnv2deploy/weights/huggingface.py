"""Reads Hugging Face transformers' MobileNetV2, the classifier and the segmenter.

``model.safetensors`` or ``pytorch_model.bin``, with ``config.json`` beside it and, for classifiers,
``preprocessor_config.json`` (transformers/models/mobilenet_v2).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal

from mnv2deploy.catalog.network_specs import DeepLabSpec, NetworkSpec
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.configuration import Config, config_value
from mnv2deploy.weights.description import (
    LAYER_TENSORS,
    Description,
    Shapes,
    backbone_keys,
    describe_classifier,
    out_channels,
    require_names,
)
from mnv2deploy.weights.huggingface_images import describe_images
from mnv2deploy.weights.state_dict import StateDict
from mnv2deploy.weights.widths import Layer, block_channels, describe_backbone

_BLOCKS = 17
_HEAD_EPSILON = 1e-5  # written into MobileNetV2DeepLabV3Plus
_PARTS = {"expand": "expand_1x1", "depthwise": "conv_3x3", "project": "reduce_1x1"}
_HEAD = {"pool": "conv_pool", "branch": "conv_aspp", "project": "conv_projection"}
_KINDS = {"conv": "convolution", "bn": "normalization"}
# The segmenter has the classifier's last convolution and does not use it.
_UNUSED_BY_SEGMENTER = "mobilenet_v2.conv_1x1."
# What its training takes for the classes, by ``problem_type``: one among all, or each by itself.
_ACTIVATIONS: dict[str, Literal["softmax", "sigmoid"]] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
}
# What other values would make another network; transformers' own defaults.
_FIXED = {
    "num_channels": 3,
    "depth_divisible_by": 8,
    "min_depth": 8,
    "expand_ratio": 6,
    "first_layer_is_expansion": True,
    "hidden_act": "relu6",
}


def huggingface_origin(raw: Tensors, where: str) -> StateDict:
    """The checkpoint as an `Origin`."""
    return StateDict(raw, huggingface_name, where, (_UNUSED_BY_SEGMENTER,) if _is_segmenter(raw) else ())


def describe(shapes: Shapes, config: Config, where: str) -> Description:
    """What a checkpoint of transformers' is the weights of.

    Args:
        shapes: Of the tensors, by name.
        config: ``config.json``, and ``preprocessor_config.json`` under the key ``preprocessor``.
        where: File name, for messages.

    Raises:
        CheckpointError: there is no ``config.json``, it describes another network, or the tensors do not fit; named.
    """
    if "config" not in config:
        raise CheckpointError(f"{where} needs the config.json it was published with beside it: it says how to pad.")
    settings = config["config"]
    for key, value in _FIXED.items():
        if settings.get(key, value) != value:
            raise CheckpointError(
                f"{where}: config.json has {key} = {str(settings[key])[:60]}; this program builds {value} alone."
            )
    said = _segmenter(shapes, settings, where) if _is_segmenter(shapes) else _classifier(shapes, settings, where)
    _require_width(settings, said.network, where)
    images = describe_images(config.get("preprocessor", {}), is_segmenter=_is_segmenter(shapes), where=where)
    labels = None if said.is_single else _labels(settings, said.network.columns, where)
    return replace(said, input=images[0], preprocessing=images[1], labels=labels)


def _is_segmenter(names: Shapes | Tensors) -> bool:
    return any(name.startswith("segmentation_head.") for name in names)


def _classifier(shapes: Shapes, settings: Config, where: str) -> Description:
    said = describe_classifier(huggingface_name, shapes, where, **_conventions(settings, where))
    problem = str(settings.get("problem_type"))
    return said if said.is_single else replace(said, activation=_ACTIVATIONS.get(problem))


def _segmenter(shapes: Shapes, settings: Config, where: str) -> Description:
    head = [f"head.{part}.{tensor}" for part in _HEAD for tensor in LAYER_TENSORS]
    keys = [*backbone_keys(_BLOCKS, last=False), *head, "head.classifier.weight", "head.classifier.bias"]
    ignored = [name for name in shapes if name.startswith(_UNUSED_BY_SEGMENTER)]
    require_names(map(huggingface_name, keys), shapes, where, ignored=ignored)

    def layer(module: str) -> Layer:
        return out_channels(shapes, huggingface_name(f"backbone.{module}.conv.weight"), where)

    backbone = describe_backbone(
        layer("stem"),
        [layer(f"blocks.{index}.project") for index in range(_BLOCKS)],
        None,
        where,
        **_conventions(settings, where),
    )
    columns = out_channels(shapes, huggingface_name("head.classifier.bias"), where).channels
    return Description(
        network=DeepLabSpec(
            architecture="deeplabv3", backbone=backbone, columns=columns, head_batch_norm_eps=_HEAD_EPSILON
        )
    )


def _conventions(settings: Config, where: str) -> Any:
    return {
        "padding": "tf" if config_value(settings, "tf_padding", bool, True, where) else "torch",
        "batch_norm_eps": config_value(settings, "layer_norm_eps", float, 1e-3, where),
        "output_stride": config_value(settings, "output_stride", int, 32, where),
    }


def _require_width(settings: Config, network: NetworkSpec, where: str) -> None:
    said = float(config_value(settings, "depth_multiplier", (int, float), 1.0, where))
    if block_channels(said, 1.0) != block_channels(network.backbone.width_multiplier, 1.0):
        raise CheckpointError(
            f"{where}: config.json has depth_multiplier = {said}, but the tensors are of width multiplier "
            f"{network.backbone.width_multiplier}."
        )


def _labels(settings: Config, columns: int, where: str) -> tuple[str, ...] | None:
    """Of ``id2label``; None where transformers made the names up (LABEL_0)."""
    names = config_value(settings, "id2label", dict, {}, where)
    if not names:
        return None
    if set(names) != {str(column) for column in range(columns)}:
        raise CheckpointError(f"{where}: config.json names {len(names)} labels, but the logits have {columns} columns.")
    labels = tuple(str(names[str(column)]) for column in range(columns))
    return None if labels == tuple(f"LABEL_{column}" for column in range(columns)) else labels


def huggingface_name(key: str) -> str:
    """Transformers' name of one of our tensors, for example ``backbone.blocks.3.expand.bn.bias``.

    Its stem holds our stem and our first block, which does not expand; our block I is its ``layer.(I - 1)``.
    """
    if match := re.fullmatch(r"backbone\.(stem|last)\.(conv|bn)\.(\w+)", key):
        module = "conv_stem.first_conv" if match[1] == "stem" else "conv_1x1"
        return f"mobilenet_v2.{module}.{_KINDS[match[2]]}.{match[3]}"
    if match := re.fullmatch(r"backbone\.blocks\.(\d+)\.(expand|depthwise|project)\.(conv|bn)\.(\w+)", key):
        block = int(match[1])
        module = f"layer.{block - 1}" if block else "conv_stem"
        return f"mobilenet_v2.{module}.{_PARTS[match[2]]}.{_KINDS[match[3]]}.{match[4]}"
    if match := re.fullmatch(r"head\.(pool|branch|project)\.(conv|bn)\.(\w+)", key):
        return f"segmentation_head.{_HEAD[match[1]]}.{_KINDS[match[2]]}.{match[3]}"
    if key.startswith("head.classifier."):
        return key.replace("head.classifier.", "segmentation_head.classifier.convolution.")
    if key.startswith("classifier."):
        return key
    raise CheckpointError(f"{key} has no counterpart in a checkpoint of transformers.")
