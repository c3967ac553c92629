"""Sets of real photos: what export checks parity on, what the demo shows, what calibration uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv2deploy.catalog.cards import read_toml
from mnv2deploy.catalog.sources import Download, parse_download
from mnv2deploy.errors import ModelError, UsageError

_PHOTO_SETS = Path(__file__).parent / "photo_sets"
SAMPLE_PHOTOS = "sample-photos"
_KEYS = {"description", "sets", "photos"}
# Of a calibration recipe, which is also a list of photos: `mnv2deploy.calibration.recipe` reads and checks them.
CALIBRATION_KEYS = {"folder", "crops"}


@dataclass(frozen=True, slots=True)
class _Photos:
    """One ``[[photos]]``: what to fetch, and what is known of its files by their names."""

    download: Download
    labels: dict[str, int]
    licences: dict[str, str]


def photo_set_names() -> list[str]:
    """Names of the catalog's photo sets, sorted."""
    return sorted(path.stem for path in _PHOTO_SETS.glob("*.toml"))


def load_photos(name_or_path: str) -> tuple[Download, ...]:
    """Reads a photo set of the catalog by name, or a recipe of your own by the path of its TOML.

    A set lists ``[[photos]]``, downloads that belong together; a recipe (``calib/*.toml``) may instead, or also,
    name sets of the catalog in ``sets``.

    Raises:
        UsageError: no such set or file.
        ModelError: malformed, or a recipe names a set the catalog does not have.
    """
    return tuple(photos.download for photos in _load(name_or_path))


def load_labels(name_or_path: str) -> dict[str, int]:
    """The class id of each photo of a set or recipe by file name, where its ``[photos.labels]`` say.

    Raises:
        UsageError: no such set or file.
        ModelError: malformed.
    """
    return {file: class_id for photos in _load(name_or_path) for file, class_id in photos.labels.items()}


def load_licences(name_or_path: str) -> dict[str, str]:
    """The licence of each photo of a set or recipe by file name, where its ``[photos.licences]`` say.

    Raises:
        UsageError: no such set or file.
        ModelError: malformed.
    """
    return {file: licence for photos in _load(name_or_path) for file, licence in photos.licences.items()}


def _load(name_or_path: str) -> list[_Photos]:
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = _PHOTO_SETS / f"{name_or_path}.toml"
        if name_or_path not in photo_set_names():
            raise UsageError(f"There is no photo set {name_or_path!r}; the catalog has {', '.join(photo_set_names())}.")
    table = read_toml(path)
    if unknown := sorted(set(table) - _KEYS - CALIBRATION_KEYS):
        raise ModelError(f"{path}: unknown key {', '.join(unknown)}.")
    loaded: list[_Photos] = []
    for name in _list(table, "sets", path):
        if name not in photo_set_names():
            known = ", ".join(photo_set_names())
            raise ModelError(f"{path}: there is no photo set {name!r}; the catalog has {known}.")
        loaded += _load(name)
    loaded += [_parse(photo, path) for photo in _list(table, "photos", path)]
    if not loaded:
        raise ModelError(f"{path} lists neither sets nor photos.")
    return loaded


def _parse(photo: Any, path: Path) -> _Photos:
    if (
        not isinstance(photo, dict)
        or set(photo) - {"labels", "licences"} != {"name", "sources"}
        or not isinstance(photo["name"], str)
    ):
        raise ModelError(f"{path}: each [[photos]] needs a name and [[photos.sources]].")
    download = parse_download(photo["name"], photo["sources"], str(path))
    files = {file.name for file in download.sources[0].files}
    labels = photo.get("labels", {})
    if not isinstance(labels, dict) or not all(name in files and type(labels[name]) is int for name in labels):
        raise ModelError(f"{path}: [photos.labels] gives files of [photos.sources.files] their class, a whole number.")
    licences = photo.get("licences", {})
    if not isinstance(licences, dict) or not all(
        name in files and isinstance(licences[name], str) for name in licences
    ):
        raise ModelError(f"{path}: [photos.licences] gives files of [photos.sources.files] their licence, a text.")
    return _Photos(download, labels, licences)


def _list(table: dict[str, Any], key: str, path: Path) -> list[Any]:
    entries = table.get(key, [])
    if not isinstance(entries, list):
        raise ModelError(f"{path}: {key} should be a list, not {entries!r}.")
    return entries
