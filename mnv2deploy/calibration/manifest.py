"""The ``calibration.json`` beside the pictures of a set: what they are, and whether they still are."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from mnv2deploy.calibration.recipe import Recipe
from mnv2deploy.calibration.sets import CalibrationSet, hash_pictures, pictures_in
from mnv2deploy.errors import InputError
from mnv2deploy.files import write_atomically
from mnv2deploy.weights.verified import sha256_of

MANIFEST = "calibration.json"
_TYPES = {"key": str, "sha256": str, "pictures": list, "warnings": list, "unreadable": list}


@dataclass(frozen=True, slots=True)
class Origin:
    """A picture of a recipe: its file, the folder or address it is from, its licence where that is known."""

    path: Path
    source: str
    licence: str | None = None


def write_manifest(
    folder: Path,
    recipe: Recipe,
    key: str,
    origins: Sequence[Origin],
    photos: CalibrationSet,
    sha256: str,
    rows: list[dict[str, Any]],
) -> None:
    """Writes ``calibration.json``.

    Args:
        folder: Of the pictures.
        recipe: What they were made by.
        key: The recipe's `Recipe.key`.
        origins: Where its photos are from.
        photos: Those of them that can be read, and what there is to say of them.
        sha256: Of the set.
        rows: Of each picture its ``file`` and ``source``, and of a crop its ``box`` and whether it is ``flipped``.

    Raises:
        UsageError: it cannot be written there.
    """
    licences = {origin.path: {"licence": origin.licence} if origin.licence else {} for origin in origins}
    addresses = {origin.path: origin.source for origin in origins}
    content = {
        "name": recipe.name,
        "sha256": sha256,
        "key": key,
        "opencv": cv2.__version__,
        "crops": None if recipe.crops is None else dataclasses.asdict(recipe.crops),
        "warnings": photos.warnings,
        "unreadable": photos.unreadable,
        "sources": [
            {"name": path.name, "sha256": sha256_of(path), "from": addresses[path], **licences[path]}
            for path in photos.pictures
        ],
        "pictures": rows,
    }
    write_atomically(folder / MANIFEST, (json.dumps(content, indent=1) + "\n").encode())


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Reads ``calibration.json``; None where there is none, or one this program did not write."""
    try:
        content = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not all(isinstance(content.get(key), kind) for key, kind in _TYPES.items()):
        return None
    if not all(isinstance(row, dict) and isinstance(row.get("file"), str) for row in content["pictures"]):
        return None
    return content


def is_intact(folder: Path, manifest: dict[str, Any]) -> bool:
    """Whether the pictures in a folder are those of its manifest, as they were made; other files do not matter."""
    try:
        return bool(hash_pictures(pictures_in(folder)) == manifest["sha256"])
    except (InputError, OSError):
        return False


def holds_nothing_else(folder: Path, manifest: dict[str, Any]) -> bool:
    """Whether there is nothing in a folder, hidden or not, but what was made with its manifest."""
    return {path.name for path in folder.iterdir()} == {MANIFEST, *(row["file"] for row in manifest["pictures"])}
