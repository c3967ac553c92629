"""From a recipe to a folder of pictures, with a `calibration.json` that says what each was made of.

The same recipe makes the same bytes on every run, on one machine and on all of its kind: the random numbers do not
depend on anything else, and OpenCV's decoder, filter and encoder give the same on one processor architecture as long
as its version is the same. Another version may move a pixel by a grey level, and the hash with it: so the hash that an
artifact records is taken of the pictures, not of the recipe.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv2deploy.calibration.crops import cut, draw_crop
from mnv2deploy.calibration.manifest import Origin, holds_nothing_else, is_intact, read_manifest, write_manifest
from mnv2deploy.calibration.recipe import Crops, Recipe
from mnv2deploy.calibration.sets import CalibrationSet, check_pictures, open_set, pictures_in
from mnv2deploy.errors import ModelError, UsageError
from mnv2deploy.files import make_folder
from mnv2deploy.media.sinks import save
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.runtime import images
from mnv2deploy.weights.fetch import fetch


@dataclass(frozen=True, slots=True)
class Materialised:
    """A set that lies in a folder.

    Attributes:
        set: The pictures there.
        made: Whether they were made now; otherwise they were there already.
    """

    set: CalibrationSet
    made: bool


def materialise(
    recipe: Recipe,
    folder: Path,
    *,
    offline: bool = False,
    progress: Progress = SILENT,
    downloads: Progress = SILENT,
) -> Materialised:
    """Makes the pictures of a recipe, all of them or none.

    A folder that holds the same set already is left as it is. One that holds another set as this program made it,
    and nothing else, is replaced.

    Args:
        recipe: What to make.
        folder: Where; made where it is missing.
        offline: Open no connection.
        progress: Counts pictures.
        downloads: Watches bytes arrive.

    Raises:
        UsageError: the folder holds something else, or cannot be written.
        ModelError: two photos of the recipe have one name.
        InputError: the pictures are too few, all alike, or none can be read.
        DownloadError: photos cannot be had.
    """
    if recipe.folder is not None and recipe.folder.resolve() == folder.resolve():
        raise UsageError(f"{folder} is where the pictures come from; name another folder for the set.")
    key = recipe.key()
    manifest = read_manifest(folder)
    intact = manifest is not None and is_intact(folder, manifest)
    if manifest is not None and intact and manifest["key"] == key:
        return Materialised(_reopened(recipe, folder, manifest, progress), made=False)
    replaceable = manifest is not None and intact and holds_nothing_else(folder, manifest)
    _check_place(folder, replaceable=replaceable)
    origins = _obtain(recipe, offline, downloads)
    noun = "pictures" if recipe.crops is None else "photos"
    photos = check_pictures([origin.path for origin in origins], recipe.name, recipe.where, noun, progress)
    with _made_beside(folder) as work:
        if recipe.crops is None:
            rows, made = _copy(photos, recipe.where, work), photos
        else:
            rows = _crop(photos, recipe.crops, work, progress)
            made = check_pictures(pictures_in(work), recipe.name, recipe.where, progress=progress)
        write_manifest(work, recipe, key, origins, photos, made.sha256, rows)
    pictures = tuple(folder / path.name for path in made.pictures)
    return Materialised(_joined(recipe.name, pictures, made, photos.warnings, photos.unreadable), made=True)


def _check_place(folder: Path, *, replaceable: bool) -> None:
    """Ends it unless there is nothing yet, an empty folder, or what may be replaced."""
    if not replaceable and (folder.is_file() or (folder.is_dir() and any(folder.iterdir()))):
        raise UsageError(
            f"{folder} holds something else than a calibration set as this program made it; name another folder, or "
            "remove it first."
        )
    if folder.resolve() == Path.cwd():
        raise UsageError(f"{folder} is where you are, and the folder is made as a whole; name one inside it.")


def _reopened(recipe: Recipe, folder: Path, manifest: dict[str, Any], progress: Progress) -> CalibrationSet:
    found = open_set(folder, progress)
    return _joined(recipe.name, found.pictures, found, tuple(manifest["warnings"]), tuple(manifest["unreadable"]))


def _joined(
    name: str, pictures: tuple[Path, ...], made: CalibrationSet, warnings: tuple[str, ...], unreadable: tuple[str, ...]
) -> CalibrationSet:
    """The set, with what there was to say of the photos it was made of."""
    return CalibrationSet(name, pictures, made.sha256, tuple(dict.fromkeys((*warnings, *made.warnings))), unreadable)


def _obtain(recipe: Recipe, offline: bool, downloads: Progress) -> list[Origin]:
    origins = []
    if recipe.folder is not None:
        origins += [Origin(path, recipe.folder.name) for path in pictures_in(recipe.folder)]
    for download in recipe.downloads:
        fetched = fetch(download, offline=offline, progress=downloads)
        origins += [Origin(path, fetched.source.url, recipe.licences.get(name)) for name, path in fetched.files.items()]
    taken: set[str] = set()
    for name in (origin.path.name for origin in origins):
        if name.casefold() in taken:  # on some file systems "A.jpg" is "a.jpg"
            raise ModelError(f"{recipe.where}: two of its pictures are named {name}; rename one.")
        taken.add(name.casefold())
    return origins


def _copy(photos: CalibrationSet, where: str, folder: Path) -> list[dict[str, Any]]:
    for path in photos.pictures:
        shutil.copyfile(path, folder / path.name)
    known = {path.name for path in pictures_in(folder)}
    if odd := [path.name for path in photos.pictures if path.name not in known]:
        raise ModelError(f"{where}: {odd[0]} is no name for a picture; end it in .jpg or .png, as its format is.")
    return [{"file": path.name, "source": path.name} for path in photos.pictures]


def _crop(photos: CalibrationSet, crops: Crops, folder: Path, progress: Progress) -> list[dict[str, Any]]:
    """Crop ``i`` is of photo ``i`` modulo their number, so that any part of the set in order is a fair one."""
    rows: list[dict[str, Any]] = [{}] * crops.count
    digits, done = max(4, len(str(crops.count - 1))), 0
    progress.start(f"Making {crops.count} crops", crops.count)
    try:
        for start, path in enumerate(photos.pictures[: crops.count]):
            photo = images.read(path)
            for index in range(start, crops.count, len(photos.pictures)):
                crop = draw_crop(crops, index, *photo.shape[:2])
                name = f"{index:0{digits}}.jpg"
                save(folder / name, cut(photo, crop, crops.side))
                rows[index] = {"file": name, "source": path.name, "box": list(crop.box), "flipped": crop.flipped}
                done += 1
                progress.update(done)
    finally:
        progress.stop()
    return rows


@contextlib.contextmanager
def _made_beside(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``folder`` when the block is done, and is gone when it fails."""
    folder = folder.resolve()
    make_folder(folder.parent)
    work = folder.with_name(f".{secrets.token_hex(8)}.tmp")
    make_folder(work)
    try:
        yield work
        old = work / ".old"
        if folder.exists():
            folder.replace(old)
        work.replace(folder)
        shutil.rmtree(folder / ".old", ignore_errors=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}; choose another place.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
