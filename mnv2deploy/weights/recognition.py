"""Tells where a checkpoint comes from, by its kind of file and the names and shapes of its tensors."""

from __future__ import annotations

import functools
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mnv2deploy.catalog.cards import Card, card_names, load_card
from mnv2deploy.errors import CheckpointError, UsageError
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.checkpoint import checkpoint_digests, describe_tensors, read_checkpoint
from mnv2deploy.weights.description import Description
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
    "torchvision": r"features\.\d+\.|classifier\.1\.",
    "timm": r"(conv_stem|bn1|blocks\.\d+\.\d+|conv_head|bn2|classifier)\.",
    "huggingface": r"(mobilenet_v2|segmentation_head|classifier)\.",
    "mmpretrain": r"backbone\.(conv[12]|layer\d)\.|head\.fc\.",
    "mmsegmentation": r"backbone\.(conv1|layer\d)\.|(decode|auxiliary)_head\.",
    "mmdetection": r"(backbone\.(conv[12]|layer\d)|neck\.extra_layers|bbox_head)\.",
}
# Which origins write which kind of file.
_OF_KIND = {
    "torch": tuple(_NAMES),
    "safetensors": (*_NAMES, "native"),
    "keras": ("keras",),
    "tensorflowjs": ("tensorflowjs",),
    "frozen-graph": ("frozen-graph",),
    "tflite": ("tflite",),
}
_ENDINGS = {
    ".safetensors": "safetensors",
    ".json": "tensorflowjs",
    ".pb": "frozen-graph",
    ".tflite": "tflite",
    ".h5": "keras",
    ".hdf5": "keras",
    ".keras": "keras",
} | dict.fromkeys((".pth", ".pt", ".bin", ".ckpt", ".tar", ".th"), "torch")
_HDF5, _TFLITE, _PICKLE = b"\x89HDF\r\n\x1a\n", b"TFL3", b"\x80"
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
        raise CheckpointError(f"{path} has no header of mnv2deploy's: it is not one of its state dicts.")
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
    if len(failures) == 1:
        raise next(iter(failures.values()))
    raise _unknown(path, raw, failures)


def file_kind(path: Path) -> str:
    """Which kind of file a checkpoint is in: by its first bytes where they tell, by its name's ending otherwise.

    Raises:
        UsageError: it cannot be opened.
        CheckpointError: it is of no kind that is read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_HDF5))
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return "keras" if "model.weights.h5" in archive.namelist() else "torch"
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    if start == _HDF5:
        return "keras"
    if start[4:] == _TFLITE:
        return "tflite"
    if path.suffix.lower() in _ENDINGS:
        return _ENDINGS[path.suffix.lower()]
    if start.startswith(_PICKLE):
        return "torch"
    raise CheckpointError(
        f"{path} is no checkpoint of a kind that is read: torch's (.pth, .pt, .bin, .safetensors), Keras's (.h5, "
        ".keras), a frozen TensorFlow graph (.pb), a TensorFlow.js model.json or a TensorFlow Lite model (.tflite)."
    )


def _main_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise UsageError(f"--from {path}: there is no such file.")
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
    fitting = {origin: [name for name in raw if re.match(_NAMES[origin], name)] for origin in failures}
    # Of two that know as many names the one whose own complaint comes later in the network would be nearer; the order
    # of the table serves as well.
    nearest = max(fitting, key=lambda origin: len(fitting[origin]))
    others = [name for name in raw if name not in fitting[nearest]]
    if not fitting[nearest]:
        return CheckpointError(
            f"{path} is no MobileNetV2 of {', '.join(ORIGINS[origin] for origin in failures)}: none of them has "
            f"tensors named like {', '.join(others[:3])}."
        )
    misfits = f" Not {ORIGINS[nearest]}'s: {', '.join(others[:3])}." if others else ""
    return CheckpointError(
        f"{path} is no MobileNetV2 checkpoint of a known origin. The nearest is {ORIGINS[nearest]}, which calls "
        f"{len(fitting[nearest])} of its {len(raw)} tensors so, but: {failures[nearest]}{misfits}"
    )
