"""Which calibration set a command uses: a folder's, or a recipe's, made on first use."""

from __future__ import annotations

import shutil
from pathlib import Path

import filelock

from mnv2deploy.cache import cache_dir
from mnv2deploy.calibration.manifest import is_intact, read_manifest
from mnv2deploy.calibration.materialise import materialise
from mnv2deploy.calibration.recipe import recipe_for
from mnv2deploy.calibration.sets import CalibrationSet, open_set
from mnv2deploy.files import make_folder
from mnv2deploy.progress import SILENT, Progress


def find_set(
    name_or_path: str, *, offline: bool = False, progress: Progress = SILENT, downloads: Progress = SILENT
) -> CalibrationSet:
    """Finds the set that a folder, a recipe or a photo set of the catalog stands for.

    A folder is used where it is. Of the others the pictures are made once, in the cache, one folder for each version
    of what they are made of.

    Args:
        name_or_path: A folder of pictures, the path of a recipe (``.toml``), or a photo set's name.
        offline: Open no connection.
        progress: Counts pictures.
        downloads: Watches bytes arrive.

    Raises:
        UsageError: there is no such thing, or the cache cannot be written.
        ModelError: the recipe is malformed.
        InputError: the pictures are too few, all alike, or none can be read.
        DownloadError: photos cannot be had.
    """
    if Path(name_or_path).is_dir():
        return open_set(Path(name_or_path), progress)
    recipe = recipe_for(name_or_path)
    home = cache_dir() / "calibration"
    folder = home / f"{recipe.name[:40]}-{recipe.key()[:12]}"
    make_folder(home)
    with filelock.FileLock(home / f"{folder.name}.lock"):
        manifest = read_manifest(folder)
        if folder.exists() and (manifest is None or not is_intact(folder, manifest)):
            shutil.rmtree(folder)  # damaged; the cache is this program's own
        return materialise(recipe, folder, offline=offline, progress=progress, downloads=downloads).set
