"""The torch networks, one architecture a file, and the way from a model card to a network with weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mnv2deploy.catalog.cards import Card
from mnv2deploy.catalog.network_specs import (
    BackboneSpec,
    ClassifierSpec,
    DeepLabPlusSpec,
    DeepLabSpec,
    FCNSpec,
    NetworkSpec,
    PSPNetSpec,
    SSDLiteSpec,
)
from mnv2deploy.errors import ModelError
from mnv2deploy.networks.deeplab import DeepLabV3
from mnv2deploy.networks.deeplab_plus import DeepLabV3Plus
from mnv2deploy.networks.fcn import FCN
from mnv2deploy.networks.mobilenet_v2 import Conventions, MobileNetV2, MobileNetV2Classifier
from mnv2deploy.networks.pspnet import PSPNet
from mnv2deploy.networks.ssdlite import SSDLite
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.checkpoint import convert


def build_network(spec: NetworkSpec) -> nn.Module:
    """The network a card describes, with random weights, in evaluation mode.

    Raises:
        ValueError: the card's numbers make no network.
    """
    network: nn.Module
    if isinstance(spec, ClassifierSpec):
        network = MobileNetV2Classifier(_backbone(spec.backbone), spec.columns)
    elif not isinstance(spec, SSDLiteSpec):
        network = _segmenter(spec)
    else:
        network = SSDLite(
            backbone=_backbone(spec.backbone),
            taps=spec.taps,
            extras=spec.extras,
            anchors_per_cell=spec.anchors.per_cell,
            columns=spec.columns,
            conventions=_conventions(spec.backbone),
        )
    return network.eval().requires_grad_(False)


def _segmenter(spec: DeepLabSpec | FCNSpec | PSPNetSpec | DeepLabPlusSpec) -> nn.Module:
    backbone, conventions = _backbone(spec.backbone, last_channels=0), _conventions(spec.backbone)
    if isinstance(spec, FCNSpec):
        return FCN(backbone, spec.columns, conventions, spec.channels, spec.convolutions)
    if isinstance(spec, PSPNetSpec):
        return PSPNet(backbone, spec.columns, conventions, spec.channels, spec.pyramid)
    if isinstance(spec, DeepLabPlusSpec):
        sizes = spec.channels, spec.low_level_channels, spec.atrous_rates
        return DeepLabV3Plus(backbone, spec.columns, conventions, *sizes)
    conventions = replace(conventions, batch_norm_eps=spec.head_batch_norm_eps)
    return DeepLabV3(backbone, spec.columns, conventions, spec.atrous_rates, spec.channels, spec.projection_kernel)


def load_network(card: Card, tensors: Tensors, where: str) -> nn.Module:
    """The card's network filled with a checkpoint's tensors.

    Args:
        card: Which network, and the format of the checkpoint.
        tensors: As the checkpoint's reader gave them.
        where: The checkpoint's file, for messages.

    Raises:
        CheckpointError: a tensor is missing, extra or misshapen; named.
        ModelError: the card's numbers make no network.
    """
    try:
        network = build_network(card.network)
    except (ValueError, ArithmeticError) as error:
        raise ModelError(f"The network of the card {card.name} cannot be built: {error}.") from error
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    epsilons = {name: module.eps for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    state = convert(tensors, card.weights.format, shapes, epsilons, where)
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in state.items()})
    return network


def _conventions(spec: BackboneSpec) -> Conventions:
    activation = F.relu if spec.activation == "relu" else F.relu6
    return Conventions(spec.padding, spec.batch_norm_eps, spec.dilation_rule, activation)


def _backbone(spec: BackboneSpec, last_channels: int | None = None) -> MobileNetV2:
    return MobileNetV2(
        spec.width_multiplier,
        spec.output_stride,
        _conventions(spec),
        spec.last_channels if last_channels is None else last_channels,
        spec.depth_multiplier,
        spec.stem_channels,
        spec.channel_divisor,
    )
