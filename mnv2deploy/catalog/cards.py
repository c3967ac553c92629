"""Model cards: one TOML file a model, everything about it that is not code.

A card names the architecture and its parameters, where the weights can be had and their hashes, the licence,
preprocessing, decoding and labels, and the published numbers with their source. `load_card` also takes the path of
a card of your own.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mnv2deploy.catalog.network_specs import NetworkSpec, task_of
from mnv2deploy.catalog.sources import Download, parse_download
from mnv2deploy.contract import (
    BoxDecoding,
    ClassificationDecoding,
    Label,
    Preprocessing,
    SegmentationDecoding,
    check_resize,
)
from mnv2deploy.errors import ModelError, UsageError
from mnv2deploy.structure import build

_CATALOG = Path(__file__).parent
_LARGEST_SIDE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSize:
    """Of the graph, pixels."""

    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"an input of {self.height} x {self.width} pixels")

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> InputSize:
        """``512x1024`` as a size, and ``224`` as that of a square.

        Raises:
            ValueError: it is none, or larger than any network of this kind: a mistake that would take all memory.
        """
        sides = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text)
        if not sides:
            raise ValueError(f"{text} is no size; give height x width, as 512x1024")
        size = cls(height=int(sides[1]), width=int(sides[2] or sides[1]))
        if max(size.height, size.width) > _LARGEST_SIDE:
            raise ValueError(f"{text} is too large; a side has at most {_LARGEST_SIDE} pixels")
        return size


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSet:
    """Class names, and which column of the logits each has.

    Attributes:
        dataset: A file of ``labels/``.
        column_offset: A class's column is its id plus this.
        contiguous: Whether its place among the ids, from 0 on, counts instead of the id itself: ids may have gaps.
    """

    dataset: str
    column_offset: int
    contiguous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What the checkpoint is; where it can be had is the card's ``download``.

    Attributes:
        format: Whose names and layouts its tensors have.
        licence: SPDX.
        origin: Where it comes from, in words.
        official: The address of a file that people have to get themselves: nothing is downloaded without a sha256.
    """

    format: Literal[
        "tensorflowjs",
        "frozen-graph",
        "torchvision",
        "timm",
        "huggingface",
        "mmpretrain",
        "mmsegmentation",
        "mmdetection",
        "keras",
        "tflite",
        "native",
    ]
    licence: str
    origin: str
    official: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A number somebody else measured, and where they say so."""

    metric: str
    value: float
    dataset: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A model card.

    Attributes:
        name: The TOML file's name, without ending; not written in the file.
        labels: Read from the label set the card names.
        download: The sources of the weights, in the order they are tried.
        other_inputs: Sizes beside ``input`` that the model can be exported at.
    """

    name: str
    title: str
    description: str
    paper: str
    network: NetworkSpec
    input: InputSize
    preprocessing: Preprocessing
    decoding: BoxDecoding | ClassificationDecoding | SegmentationDecoding
    weights: Weights
    labels: tuple[Label, ...]
    download: Download
    published: tuple[Published, ...] = ()
    other_inputs: tuple[InputSize, ...] = ()

    def __post_init__(self) -> None:
        made_for = task_of(self.network)
        if self.task != made_for:
            raise ValueError(f"{self.network.architecture} is a network to {made_for} with, not to {self.task}")
        if self.network.columns == 1 and getattr(self.decoding, "activation", None) == "softmax":
            raise ValueError("the softmax of one column is always 1; a classifier of one output has columns = 2")
        for size in (self.input, *self.other_inputs):
            check_resize(self.task, self.preprocessing, size.height, size.width)

    @property
    def task(self) -> str:
        """``detect``, ``classify`` or ``segment``."""
        return self.decoding.task

    def at(self, size: InputSize) -> Card:
        """The same model with an input of another size.

        Raises:
            UsageError: the card does not have that size.
        """
        sizes = (self.input, *self.other_inputs)
        if size not in sizes:
            raise UsageError(
                f"{self.name} can be exported at {' or '.join(map(str, sizes))}, not at {size}; for another size write "
                "a card of your own."
            )
        return replace(self, input=size, other_inputs=tuple(other for other in sizes if other != size))


def card_names() -> list[str]:
    """Names of the catalog's models, sorted."""
    return sorted(path.stem for path in (_CATALOG / "models").glob("*.toml"))


def card_path(name: str) -> Path:
    """The file of a catalog card."""
    return _CATALOG / "models" / f"{name}.toml"


def near_name(name: str) -> str:
    """`` Did you mean mobilenet-v2?``, or nothing where no model is called nearly so."""
    near = difflib.get_close_matches(name.casefold(), card_names(), 1)
    return f" Did you mean {near[0]}?" if near else ""


def load_card(name_or_path: str) -> Card:
    """Reads a card of the catalog by name, or one of your own by the path of its TOML.

    Raises:
        UsageError: no such model or file.
        ModelError: the card is malformed; the message says where.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = card_path(name_or_path)
        if name_or_path not in card_names():
            there_are = f"the catalog has {', '.join(card_names())}.{near_name(name_or_path)}"
            raise UsageError(f"There is no model {name_or_path!r}; {there_are}")
    table = read_toml(path)
    try:
        if made_here := sorted({"name", "download"} & set(table)):
            raise ValueError(f"unknown key {', '.join(made_here)}")
        # Without sources the weights have to be given, with --weights.
        sources, official = table["weights"].pop("sources", None), table["weights"].get("official")
        by_hand = Download(path.stem, (), official)
        download = by_hand if sources is None else parse_download(path.stem, sources, str(path))
        labels = _labels(build(LabelSet, table["labels"], "labels"), path)
        card = build(Card, {**table, "name": path.stem, "labels": labels, "download": download})
    except KeyError as error:
        raise ModelError(f"{path}: the card has no [{error.args[0]}].") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: {error}.") from error
    try:
        check_labels(card)
    except ValueError as error:
        raise ModelError(f"{path}: {error}.") from error
    return card


def check_labels(card: Card) -> None:
    """Raises ValueError where a label has no column in the logits of the card's network."""
    if beyond := [label for label in card.labels if not 0 <= label.column < card.network.columns]:
        raise ValueError(f"label {beyond[0].name!r} has no column in logits of {card.network.columns}")


def read_toml(path: Path) -> dict[str, Any]:
    """Parses a TOML file of the catalog or of the user.

    Raises:
        UsageError: it cannot be opened.
        ModelError: it is not TOML; the message has the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{path} is not valid TOML: {error}.") from error


def _labels(labels: LabelSet, card: Path) -> list[Label]:
    """The names in ``labels/DATASET.toml``, or in ``DATASET.toml`` beside a card of the user's own."""
    beside = card.with_name(f"{labels.dataset}.toml")
    path = label_set_path(labels.dataset)
    path = path if path.exists() else beside
    if not path.exists():
        raise ModelError(f"{card}: there is no label set {labels.dataset!r}, in the catalog or as {beside}.")
    return read_label_set(path, labels.column_offset, contiguous=labels.contiguous)


def label_set_names() -> list[str]:
    """Names of the catalog's label sets, sorted."""
    return sorted(path.stem for path in (_CATALOG / "labels").glob("*.toml"))


def label_set_path(name: str) -> Path:
    """The file of a label set of the catalog."""
    return _CATALOG / "labels" / f"{name}.toml"


def read_label_set(path: Path, column_offset: int, *, contiguous: bool = False) -> list[Label]:
    """The classes of a TOML of labels, in its order.

    Args:
        path: The file.
        column_offset: A class's column is its id plus this,
        contiguous: or its place among the ids plus this.

    Raises:
        UsageError: it cannot be opened.
        ModelError: an entry is no number with a name.
    """
    entries = read_toml(path)
    for class_id in entries:
        if not class_id.isdecimal():
            raise ModelError(f"{path}: class {class_id} should be a number with a name.")
    ids = sorted(set(map(int, entries)))
    place = {class_id: index if contiguous else class_id for index, class_id in enumerate(ids)}
    return [_label(class_id, entry, place[int(class_id)] + column_offset, path) for class_id, entry in entries.items()]


def _label(class_id: str, entry: Any, column: int, path: Path) -> Label:
    """A label out of ``3 = "bird"`` or ``3 = { name = "bird", colour = [128, 128, 0] }``."""
    fields = {"name": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, dict) or {"column", "class_id"} & set(fields):
        raise ModelError(f"{path}: class {class_id} should be a number with a name.")
    try:
        return build(Label, {**fields, "class_id": int(class_id), "column": column}, class_id)
    except ValueError as error:
        raise ModelError(f"{path}: {error}.") from error
