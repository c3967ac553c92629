"""The torch networks, one architecture a file, and the way from a model card to a network with weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from mnv2deploy.catalog.cards import Card, NetworkSpec
from mnv2deploy.contract import AnchorLayer
from mnv2deploy.errors import ModelError
from mnv2deploy.networks.mobilenet_v2 import Conventions, MobileNetV2
from mnv2deploy.networks.ssdlite import SSDLite, ssd_anchor_layers
from mnv2deploy.weights.tensorflow import Tensors, convert


def anchor_layers(spec: NetworkSpec) -> tuple[AnchorLayer, ...]:
    """The anchors a card describes."""
    anchors = spec.anchors
    return ssd_anchor_layers(
        anchors.grids, anchors.min_scale, anchors.max_scale, anchors.aspect_ratios, anchors.lowest_layer
    )


def build_network(spec: NetworkSpec) -> nn.Module:
    """The network a card describes, with random weights, in evaluation mode."""
    conventions = Conventions(padding=spec.padding, batch_norm_eps=spec.batch_norm_eps)
    network = SSDLite(
        backbone=MobileNetV2(spec.width_multiplier, conventions=conventions),
        taps=spec.taps,
        extras=spec.extras,
        anchors_per_cell=[len(layer.sizes) for layer in anchor_layers(spec)],
        columns=spec.columns,
        conventions=conventions,
    )
    return network.eval().requires_grad_(False)


def load_network(card: Card, tensors: Tensors, where: str) -> nn.Module:
    """The card's network filled with a checkpoint's tensors.

    Args:
        card: Which network, and which batch-norm epsilon.
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
    state = convert(tensors, shapes, card.network.batch_norm_eps, where)
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in state.items()})
    return network
