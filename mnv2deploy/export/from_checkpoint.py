"""A model card made of a checkpoint and of what only its owner knows.

Nothing is guessed: what the checkpoint does not say has to be answered, and every fact remembers who said it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mnv2deploy.catalog.cards import Card, InputSize, Weights
from mnv2deploy.catalog.conventions import Interpolation, Resize, changed, named_preprocessing, scaled
from mnv2deploy.catalog.label_files import labels_of, read_labels
from mnv2deploy.catalog.network_specs import NetworkSpec, SsdAnchors, SSDLiteSpec, task_of
from mnv2deploy.catalog.sources import Download
from mnv2deploy.contract import Label, Preprocessing
from mnv2deploy.errors import CheckpointError, UsageError
from mnv2deploy.export.checkpoint_decoding import Activation, CardDecoding, choose_decoding
from mnv2deploy.export.checkpoint_facts import Fact, classes, facts, title
from mnv2deploy.export.checkpoint_questions import questions
from mnv2deploy.structure import build
from mnv2deploy.weights.description import Description
from mnv2deploy.weights.recognition import ORIGINS, Recognised, recognise
from mnv2deploy.weights.tensorflow_description import feature_grids


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the owner of a checkpoint says of it; None where nothing was said.

    Attributes:
        task: What it is for: only compared with what it is.
        head: Of a segmenter, its architecture: likewise.
        labels: See `read_labels`.
        preprocessing: See `named_preprocessing`.
        resize: Instead of the preprocessing's.
        interpolation: Instead of the preprocessing's.
        size: Of the input.
        output_stride: Of a segmenter's backbone.
        activation: Of a classifier: what turns its logits into probabilities.
    """

    task: str | None = None
    head: str | None = None
    labels: str | None = None
    preprocessing: str | None = None
    resize: Resize | None = None
    interpolation: Interpolation | None = None
    size: InputSize | None = None
    output_stride: int | None = None
    activation: Activation | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A card, the file to fill it from, and how each part of it came to be known."""

    card: Card
    checkpoint: Path
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of the model so far."""

    network: NetworkSpec
    size: InputSize | None
    preprocessing: Preprocessing | None
    labels: tuple[Label, ...] | None


def card_from_checkpoint(path: Path, answers: Answers, origin: str | None = None) -> Proposal:
    """Recognises a checkpoint and makes the card it is exported by.

    Args:
        path: Its main file, or its folder.
        answers: What the checkpoint does not say, or says otherwise than its owner.
        origin: Where it comes from, to be taken instead of what its names show.

    Raises:
        UsageError: something is not known yet, with what there is to answer; or an answer does not apply.
        CheckpointError: it is no checkpoint that is read, or an answer contradicts it.
        ModelError: a file of labels or preprocessing is malformed.
    """
    recognised = recognise(path, origin)
    said_by = _said_by(recognised, origin is not None)
    known = _answered(_known(recognised), answers, recognised, said_by)
    decoding, decoded_by = choose_decoding(recognised, answers.activation)
    said_by["decoding"] = decoded_by or said_by["decoding"]
    asked = list(_questions(known, recognised, answers))
    if known.size is None or known.preprocessing is None or known.labels is None or asked:
        summary = f"{path} is {title(known.network)} from {ORIGINS[recognised.origin]} with {classes(known.network)}"
        raise UsageError(f"{summary}. It does not say everything that is needed; give {', '.join(asked)}.")
    try:
        made = _empty_card(recognised.says, recognised, known.size, known.preprocessing, decoding, known.labels)
        card = replace(
            made,
            network=known.network,
            input=known.size,
            preprocessing=known.preprocessing,
            decoding=decoding,
            labels=known.labels,
            other_inputs=(),
        )
    except ValueError as error:
        raise UsageError(f"{path} cannot be exported so: {error}.") from error
    return Proposal(card, recognised.path, tuple(facts(card, recognised.origin, said_by)))


def _known(recognised: Recognised) -> _Known:
    says = recognised.says
    if isinstance(says, Card):
        return _Known(says.network, says.input, says.preprocessing, says.labels)
    labels = None if says.labels is None else labels_of(says.labels)
    return _Known(says.network, says.input, None if says.is_assumed else says.preprocessing, labels)


def _said_by(recognised: Recognised, is_told: bool) -> dict[str, str]:
    what = ("origin", "network", "output stride", "input", "preprocessing", "decoding", "labels")
    if isinstance(recognised.says, Card):
        file = "the file's header"
        is_ours = recognised.origin == "native"
        return dict.fromkeys(what, file if is_ours else f"the catalog's {recognised.says.name}")
    said_by = dict.fromkeys(what, "the checkpoint")
    said_by["origin"] = "you" if is_told else "the names of its tensors"
    said_by["network"] = "their shapes"
    said_by["decoding"] = "the configuration of TensorFlow's SSDLite"
    if recognised.says.scales_itself:
        said_by["preprocessing"] = "the checkpoint; the resize is Keras's usual, see --resize"
    if recognised.origin == "mmdetection":
        said_by["decoding"] = said_by["input"] = "mmdetection's ssdlite_mobilenetv2"
    if recognised.origin == "mmsegmentation":
        said_by["output stride"] = "mmsegmentation's configurations, M-V2-D8"
    return said_by


def _answered(known: _Known, answers: Answers, recognised: Recognised, said_by: dict[str, str]) -> _Known:
    """Puts the answers in the place of what was known, and into ``said_by`` who says so."""
    network, size, preprocessing, labels = known.network, known.size, known.preprocessing, known.labels
    task, says = task_of(network), recognised.says
    if answers.task not in (None, task):
        raise CheckpointError(f"{recognised.path} is {title(network)}: it is made to {task}, not to {answers.task}.")
    if answers.head not in (None, network.architecture):
        raise CheckpointError(f"{recognised.path} is {title(network)}: its head is not {answers.head}.")
    if answers.output_stride is not None:
        network = _with_stride(network, answers.output_stride, recognised)
        said_by["output stride"] = "you"
    if answers.size is not None:
        if size is not None and preprocessing is not None and preprocessing.shorter_side is not None:
            preprocessing = scaled(preprocessing, size, answers.size)
            said_by["preprocessing"] += ", its crop scaled with --size"
        network, size, said_by["input"] = _at(network, answers.size), answers.size, "you"
    if size is not None:
        if answers.preprocessing is not None:
            preprocessing, said_by["preprocessing"] = named_preprocessing(answers.preprocessing, size), "you"
        if (answers.resize or answers.interpolation) and preprocessing is not None:
            preprocessing = changed(preprocessing, answers.resize, answers.interpolation, size)
            is_scaled = answers.preprocessing is None and not isinstance(says, Card) and says.scales_itself
            said_by["preprocessing"] = "the checkpoint; the resize you" if is_scaled else "you"
    if answers.labels is not None:
        labels = read_labels(
            answers.labels,
            network.columns,
            task,
            str(recognised.path),
            background_last=recognised.origin == "mmdetection",
        )
        said_by["labels"] = "you"
    return _Known(network, size, preprocessing, labels)


def _with_stride(network: NetworkSpec, stride: int, recognised: Recognised) -> NetworkSpec:
    if not _is_stride_open(recognised):
        raise UsageError(
            f"--output-stride does not apply: that of {recognised.path} is known, {network.backbone.output_stride}."
        )
    return replace(network, backbone=replace(network.backbone, output_stride=stride))


def _is_stride_open(recognised: Recognised) -> bool:
    return isinstance(recognised.says, Description) and recognised.says.is_stride_open


def _at(network: NetworkSpec, size: InputSize) -> NetworkSpec:
    """The network for an input of another size: a detector's anchors lie on other grids."""
    if not isinstance(network, SSDLiteSpec):
        return network
    if not isinstance(network.anchors, SsdAnchors):
        raise UsageError("--size does not apply: the anchors of mmdetection's SSDLite are those of its own input.")
    anchors = replace(network.anchors, grids=feature_grids(size, len(network.anchors.grids)))
    return replace(network, anchors=anchors)


def _questions(known: _Known, recognised: Recognised, answers: Answers) -> Iterator[str]:
    says = recognised.says
    return questions(
        known.network,
        recognised.origin,
        stride=_is_stride_open(recognised) and answers.output_stride is None,
        size=known.size is None,
        preprocessing=known.preprocessing is None and answers.preprocessing is None,
        labels=known.labels is None,
        single=isinstance(says, Description) and says.is_single,
    )


def _empty_card(
    says: Card | Description,
    recognised: Recognised,
    size: InputSize,
    preprocessing: Preprocessing,
    decoding: CardDecoding,
    labels: tuple[Label, ...],
) -> Card:
    """The card of a checkpoint that has none, or the one it has."""
    if isinstance(says, Card):
        return says
    name = recognised.path.name
    return Card(
        name=recognised.path.stem,
        title=f"{title(says.network)}, {name}",
        description=f"{title(says.network)} out of a checkpoint of {ORIGINS[recognised.origin]}.",
        paper="Sandler et al. 2018, arXiv 1801.04381",
        network=says.network,
        input=size,
        preprocessing=preprocessing,
        decoding=decoding,
        weights=build(Weights, {"format": recognised.origin, "licence": "unknown", "origin": name}),
        labels=labels,
        download=Download(recognised.path.stem, ()),
    )
