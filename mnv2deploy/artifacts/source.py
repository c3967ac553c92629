"""What a recipe builds from: a card, the weights to fill it with, and what the store calls both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv2deploy.artifacts.recipes import CheckpointOptions, Recipe
from mnv2deploy.catalog.cards import Card, InputSize, load_card
from mnv2deploy.errors import ModelError
from mnv2deploy.export.from_checkpoint import Answers, card_from_checkpoint
from mnv2deploy.structure import plain
from mnv2deploy.weights.checkpoint import checkpoint_digests


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is exported.

    Attributes:
        card: What to build.
        weights: A checkpoint; None for the card's own, which are downloaded.
        identity: Of both, as JSON has it.
    """

    card: Card
    weights: Path | None
    identity: dict[str, Any]


def find_source(recipe: Recipe) -> Source:
    """The model or checkpoint a recipe names. Opens no connection.

    Raises:
        UsageError: there is no such file or model, or the checkpoint leaves something open.
        ModelError: the card or checkpoint is invalid.
    """
    size = None if recipe.export.size is None else _size(recipe)
    if recipe.checkpoint is not None:
        proposal = card_from_checkpoint(
            Path(recipe.find(recipe.checkpoint.path)),
            _answers(recipe, recipe.checkpoint, size),
            recipe.checkpoint.origin,
        )
        return _source(proposal.card, proposal.checkpoint)
    card = load_card(recipe.find(recipe.model or ""))
    return _source(card if size is None else card.at(size), recipe.weights)


def _source(card: Card, weights: Path | None) -> Source:
    if weights is not None:
        files = [list(entry) for entry in checkpoint_digests(weights, card.weights.format)]
    elif card.download.sources:
        files = [[file.name, file.sha256] for file in card.download.sources[0].files]
    else:
        files = []  # people get them by hand; the export says so
    table = plain(card)
    del table["download"]
    addresses = [source.url for source in card.download.sources]  # one of them stands in the artifact
    return Source(card=card, weights=weights, identity={"card": table, "addresses": addresses, "weights": files})


def _answers(recipe: Recipe, options: CheckpointOptions, size: InputSize | None) -> Answers:
    return Answers(
        task=options.task,
        head=options.head,
        labels=None if options.labels is None else recipe.find(options.labels),
        preprocessing=None if options.preprocessing is None else recipe.find(options.preprocessing),
        resize=options.resize,
        interpolation=options.interpolation,
        size=size,
        output_stride=options.output_stride,
        activation=options.activation,
    )


def _size(recipe: Recipe) -> InputSize:
    try:
        return InputSize.parse(recipe.export.size or "")
    except ValueError as error:
        raise ModelError(f"{recipe.path}: export.size {error}.") from error
