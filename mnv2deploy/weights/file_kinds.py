"""Which kind of file a checkpoint is in, and what files are that only have a checkpoint's name."""

from __future__ import annotations

import zipfile
from pathlib import Path

from mnv2deploy.errors import CheckpointError

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
_WEB_PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml")


def file_kind(path: Path) -> str:
    """Which kind of file a checkpoint is in: by its first bytes where they tell, by its name's ending otherwise.

    Raises:
        UsageError: it cannot be opened.
        CheckpointError: it is of no kind that is read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(16)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _archive_kind(archive.namelist(), path)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    _refuse_strange(start, path)
    if start.startswith(_HDF5):
        return "keras"
    if start[4:8] == _TFLITE:
        return "tflite"
    if path.suffix.lower() in _ENDINGS:
        return _ENDINGS[path.suffix.lower()]
    if start.startswith(_PICKLE):
        return "torch"
    raise CheckpointError(
        f"{path} is no checkpoint of a kind that is read: torch's (.pth, .pt, .bin, .safetensors), Keras's (.h5, "
        ".keras), a frozen TensorFlow graph (.pb), a TensorFlow.js model.json or a TensorFlow Lite model (.tflite)."
    )


def _archive_kind(members: list[str], path: Path) -> str:
    if any(name.endswith("/constants.pkl") for name in members):
        raise CheckpointError(
            f"{path} is a TorchScript program, not a state dict; where it comes from, save its tensors alone, with "
            "torch.save(model.state_dict(), FILE)."
        )
    return "keras" if "model.weights.h5" in members else "torch"


def _refuse_strange(start: bytes, path: Path) -> None:
    """Files that are no checkpoint, or no whole one, whatever their name ends in."""
    if not start:
        raise CheckpointError(f"{path} is empty; fetch it again.")
    if start.lstrip().lower().startswith(_WEB_PAGES):
        raise CheckpointError(f"{path} is a web page, not a checkpoint: perhaps of a site that wants you to sign in.")
    if start.startswith(b"PK"):
        raise CheckpointError(f"{path} is damaged: an archive whose end is missing; fetch it again.")
    if start[8:10] == b'{"' and path.suffix.lower() in _ENDINGS and path.suffix.lower() != ".safetensors":
        raise CheckpointError(f"{path} is a safetensors file; give it a name that ends in .safetensors.")
