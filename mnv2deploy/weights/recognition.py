"""Tells where a checkpoint comes from, by its kind of file and the names and shapes of its tensors."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from mnv2deploy.catalog.cards import Card, card_names, load_card
from mnv2deploy.errors import CheckpointError, UsageError
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.checkpoint import checkpoint_digests, describe_tensors, read_checkpoint
from mnv2deploy.weights.description import Description
from mnv2deploy.weights.file_kinds import file_kind
from mnv2deploy.weights.native import native_card

# What people call each origin, and what its tensors are called.
ORIGINS = {
    "torchvision": "torchvision",
    "timm": "timm",
    "huggingface": "Hugging Face transformers",
    "mmpretrain": "mmpretrain",
    "mmsegmentation": "mmsegmentation",
    "mmdetection": "mmdetection",
    "keras": "keras.applications",
    "tensorflowjs": "TensorFlow.js",
    "frozen-graph": "a TensorFlow graph",
    "tflite": "TensorFlow Lite",
    "native": "mnv2deploy",
}
_NAMES = {
    "torchvision": r"features\.\d+\.(conv|[01])\.|classifier\.",
    "timm": r"(conv_stem|bn1|blocks\.\d+\.\d+|conv_head|bn2|classifier)\.",
    "huggingface": r"(mobilenet_v2|segmentation_head|classifier)\.",
    "mmpretrain": r"backbone\.(conv[12]|layer\d)\.|head\.fc\.",
    "mmsegmentation": r"backbone\.(conv1|layer\d)\.|(decode|auxiliary)_head\.",
    "mmdetection": r"(backbone\.(conv[12]|layer\d)|neck\.extra_layers|bbox_head)\.",
}
# What our own tensors are called, whose file is known by its header alone.
_OWN_NAMES = r"backbone\.(stem|last|blocks\.\d+\.(expand|depthwise|project))\.(conv|bn)\."
# Which origins write which kind of file.
_OF_KIND = {
    "torch": tuple(_NAMES),
    "safetensors": (*_NAMES, "native"),
    "keras": ("keras",),
    "tensorflowjs": ("tensorflowjs",),
    "frozen-graph": ("frozen-graph",),
    "tflite": ("tflite",),
}
_KEEP_IT = (
    "the header says what network it is, and safetensors' save_file drops it unless it is passed on, as "
    "save_file(tensors, FILE, safe_open(OLD_FILE, 'pt').metadata())"
)
# The main file of a folder as its framework publishes one.
_MAIN_FILES = ("model.safetensors", "pytorch_model.bin", "model.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A checkpoint whose origin is known.

    Attributes:
        path: Its main file.
        origin: A key of `ORIGINS`: the format of its weights.
        says: What it says of itself; or the card, where all of it is known: one of the catalog whose weights it is,
            or that in a file of our own.
    """

    path: Path
    origin: str
    says: Description | Card


def recognise(path: Path, origin: str | None = None) -> Recognised:
    """Finds out what a checkpoint is.

    Args:
        path: Its main file, or the folder that holds one under the name its framework gives it.
        origin: A key of `ORIGINS` to be taken instead of what the names show.

    Raises:
        UsageError: there is no such file or origin.
        CheckpointError: it is damaged, or no origin's, or more than one's; says the nearest, and what does not fit.
        MissingDependencyError: what reads this kind of file is not installed.
    """
    if origin is not None and origin not in ORIGINS:
        raise UsageError(f"There is no origin {origin!r}; there are {', '.join(ORIGINS)}.")
    path = _main_file(path)
    kind = file_kind(path)
    origins = _OF_KIND[kind] if origin is None else (origin,)
    if "native" in origins and (card := native_card(path)):
        return Recognised(path=path, origin="native", says=card)
    origins = tuple(name for name in origins if name != "native")
    if not origins:
        raise CheckpointError(f"{path} has no header of mnv2deploy's: {_KEEP_IT}.")
    if origin is None and (card := _of_the_catalog(path, origins[0])):
        return Recognised(path=path, origin=card.weights.format, says=card)
    raw = read_checkpoint(path, origins[0])  # the origins of a kind share files and reader
    found, failures = {}, {}
    for name in origins:
        try:
            found[name] = describe_tensors(raw, path, name)
        except CheckpointError as error:
            failures[name] = error
    if len(found) == 1:
        name, description = found.popitem()
        return Recognised(path=path, origin=name, says=description)
    if found:
        raise CheckpointError(f"{path} could be from {' or '.join(found)}; say which it is with --origin.")
    if origin is not None:
        raise _told_wrong(origin, raw, failures[origin])
    if len(failures) == 1:
        raise next(iter(failures.values()))
    raise _unknown(path, raw, failures)


def _main_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise UsageError(f"--from {path}: there is no such file.")
    if (path / "saved_model.pb").is_file():
        raise CheckpointError(f"{path} is a TensorFlow SavedModel, which is not read; save the model as .keras or .h5.")
    found = [path / name for name in _MAIN_FILES if (path / name).is_file()]
    if not found:
        raise UsageError(f"--from {path}: the folder holds no {', '.join(_MAIN_FILES)}; give the checkpoint's file.")
    return found[0]


def _of_the_catalog(path: Path, origin: str) -> Card | None:
    """The card whose weights these are, byte for byte."""
    digests = frozenset(digest for _, digest in checkpoint_digests(path, origin))
    name = _catalog_files().get(digests)
    return None if name is None else load_card(name)


@functools.cache
def _catalog_files() -> dict[frozenset[str], str]:
    """The card of everything the catalog can fetch, by the digests of its files."""
    return {
        frozenset(file.sha256 for file in source.files): card.name
        for card in map(load_card, card_names())
        for source in card.download.sources
    }


def _unknown(path: Path, raw: Tensors, failures: dict[str, CheckpointError]) -> CheckpointError:
    """Names the nearest origin, why it is not that, and the first tensors that are not called as its are."""
    if any(re.match(_OWN_NAMES, name) for name in raw):
        return CheckpointError(f"{path} has the tensors of mnv2deploy's state dicts, but not their header: {_KEEP_IT}.")
    nearest, others = _nearest(raw)
    named_so = len(raw) - len(others)
    if 2 * named_so < len(raw):
        return CheckpointError(
            f"{path} is no MobileNetV2 that is known: its tensors are named {', '.join(list(raw)[:3])}."
        )
    known = f" The nearest is {ORIGINS[nearest]}, which calls {named_so} of its {len(raw)} tensors so."
    is_news = others and others[0] not in str(failures[nearest])
    misfits = f" Not {ORIGINS[nearest]}'s: {', '.join(others[:3])}." if is_news else ""
    return CheckpointError(f"{failures[nearest]}{known}{misfits}")


def _told_wrong(origin: str, raw: Tensors, failure: CheckpointError) -> CheckpointError:
    """Adds to the failure of a told origin which one it looks like."""
    nearest, others = _nearest(raw)
    if nearest == origin or origin not in _NAMES or 2 * len(others) > len(raw):
        return failure
    return CheckpointError(f"{failure} Its tensors are named as {ORIGINS[nearest]}'s: --origin {nearest}.")


def _nearest(raw: Tensors) -> tuple[str, list[str]]:
    """The origin that calls most tensors as they are called, and those it does not.

    Of two that know as many names the one whose own complaint comes later in the network would be nearer; the order of
    the table serves as well.
    """
    others = {origin: [name for name in raw if not re.match(_NAMES[origin], name)] for origin in _NAMES}
    nearest = min(others, key=lambda origin: len(others[origin]))
    return nearest, others[nearest]
