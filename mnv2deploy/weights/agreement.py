"""Whether a model card and a checkpoint that describes itself speak of the same network."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mnv2deploy.catalog.cards import Card
from mnv2deploy.catalog.network_specs import ClassifierSpec, DeepLabSpec
from mnv2deploy.contract import ClassificationDecoding, SegmentationDecoding
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.description import Description


def require_agreement(card: Card, description: Description, where: str) -> None:
    """Checks what tensors do not show: a wrong padding or epsilon fits every one of them, and answers nonsense.

    Args:
        card: What is to be built.
        description: What the checkpoint says of itself.
        where: The checkpoint's file, for messages.

    Raises:
        CheckpointError: the two contradict each other; says in what.
    """
    for what, said, wanted in _pairs(card, description):
        if said != wanted:
            raise CheckpointError(f"{where} has {what} = {said}, but the card {card.name} says {wanted}.")
    size, sides = (card.input.height, card.input.width), description.sides
    if sides is None and card.input != description.input:
        raise CheckpointError(f"{where} pads for the input it was built for, {description.input}; the card has {size}.")
    if sides is not None and any(side % sides for side in size):
        raise CheckpointError(f"{where} pads for sides that are multiples of {sides}; the card has {size}.")


def _pairs(card: Card, description: Description) -> Iterator[tuple[str, object, object]]:
    network, said = card.network, description.network
    yield "architecture", said.architecture, network.architecture
    yield "padding", said.backbone.padding, network.backbone.padding
    yield "backbone.activation", said.backbone.activation, network.backbone.activation
    yield "output_stride", said.backbone.output_stride, network.backbone.output_stride
    yield "columns", said.columns, network.columns
    if not math.isclose(said.backbone.batch_norm_eps, network.backbone.batch_norm_eps):
        yield "batch_norm_eps", said.backbone.batch_norm_eps, network.backbone.batch_norm_eps
    if isinstance(said, DeepLabSpec) and isinstance(network, DeepLabSpec):
        yield "head_batch_norm_eps", said.head_batch_norm_eps, network.head_batch_norm_eps
    if (
        description.activation
        and isinstance(said, ClassifierSpec)
        and isinstance(card.decoding, ClassificationDecoding)
    ):
        yield "activation", description.activation, card.decoding.activation
    if description.align_corners is not None and isinstance(card.decoding, SegmentationDecoding):
        yield "align_corners", description.align_corners, card.decoding.align_corners
    if description.scales_itself and description.preprocessing is not None:
        yield "mean", _rounded(description.preprocessing.mean), _rounded(card.preprocessing.mean)
        yield "std", _rounded(description.preprocessing.std), _rounded(card.preprocessing.std)


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(value, 3) for value in values)
