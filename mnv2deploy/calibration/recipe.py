"""Recipes of calibration sets (``calib/*.toml``): which photos, and the crops to make of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from mnv2deploy.calibration.sets import LEAST_PICTURES, pictures_in
from mnv2deploy.catalog.cards import read_toml
from mnv2deploy.catalog.photos import load_licences, load_photos, photo_set_names
from mnv2deploy.catalog.sources import Download
from mnv2deploy.errors import ModelError, UsageError
from mnv2deploy.structure import build
from mnv2deploy.weights.verified import sha256_of

_MOST_CROPS = 10_000
# Changes with whatever makes other pictures out of the same recipe.
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Crops:
    """``[crops]``: random crops instead of the photos themselves.

    Attributes:
        count: Pictures to make in all, spread evenly over the photos.
        seed: Of the random numbers.
        least_scale: Least share of a photo's area that a crop has; the most is all of it.
        flip: Whether half of them are mirrored left to right.
        side: Pixels; longer sides are shrunk to it. Nothing is enlarged.
    """

    count: int
    seed: int = 0
    least_scale: float = 0.25
    flip: bool = True
    side: int = 640

    def __post_init__(self) -> None:
        if not LEAST_PICTURES <= self.count <= _MOST_CROPS:
            raise ValueError(f"crops.count should be {LEAST_PICTURES} to {_MOST_CROPS}, not {self.count}")
        if self.seed < 0:
            raise ValueError(f"crops.seed should be 0 or more, not {self.seed}")
        if not 0.01 <= self.least_scale <= 1:
            raise ValueError(f"crops.least_scale is a share of the area, 0.01 to 1, not {self.least_scale}")
        if not 32 <= self.side <= 4096:
            raise ValueError(f"crops.side should be 32 to 4096 pixels, not {self.side}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecipeFile:
    """What a recipe has beyond ``sets`` and ``[[photos]]``, which `load_photos` reads."""

    description: str = ""
    folder: str | None = None
    crops: Crops | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Where the pictures of a calibration set come from.

    Attributes:
        name: Of the set.
        where: What to call the recipe in messages: its file, a photo set's name, a folder.
        folder: Pictures of the user's own.
        downloads: Photos to fetch.
        licences: Of photos, by file name.
        crops: What is made of the photos; None takes them as they are.
    """

    name: str
    where: str
    folder: Path | None = None
    downloads: tuple[Download, ...] = ()
    licences: dict[str, str] = field(default_factory=dict)
    crops: Crops | None = None

    def key(self) -> str:
        """A digest of all that decides which pictures the recipe makes. Opens no connection.

        Raises:
            InputError: the folder has no pictures.
        """
        files: list[tuple[str, str | None]] = [
            (file.name, file.sha256) for download in self.downloads for file in download.sources[0].files
        ]
        if self.folder is not None:
            files += [(path.name, _sha256_or_none(path)) for path in pictures_in(self.folder)]
        crops = None if self.crops is None else dataclasses.asdict(self.crops)
        return hashlib.sha256(json.dumps([_VERSION, crops, files]).encode()).hexdigest()


def recipe_for(name_or_path: str) -> Recipe:
    """The recipe in a TOML file; or the plain one of a photo set of the catalog, or of a folder of pictures.

    Raises:
        UsageError: there is no such thing.
        ModelError: the file is malformed; the message says where.
    """
    path = Path(name_or_path)
    if path.is_dir():
        return Recipe(name=path.resolve().name, where=name_or_path, folder=path)
    if path.suffix == ".toml":
        return _load(path)
    if name_or_path not in photo_set_names():
        known = ", ".join(photo_set_names())
        raise UsageError(
            f"{name_or_path} is no folder of pictures, no recipe (a file that ends in .toml) and no photo set of the "
            f"catalog; it has {known}."
        )
    downloads, licences = load_photos(name_or_path), load_licences(name_or_path)
    return Recipe(name=name_or_path, where=name_or_path, downloads=downloads, licences=licences)


def _load(path: Path) -> Recipe:
    table = read_toml(path)
    names_photos = bool({"sets", "photos"} & set(table))
    downloads = load_photos(str(path)) if names_photos else ()
    try:
        recipe = build(_RecipeFile, {key: table[key] for key in table if key not in ("sets", "photos")})
        if recipe.folder is None and not downloads:
            raise ValueError("it names no pictures; give a folder, sets of the catalog or [[photos]]")
    except ValueError as error:
        raise ModelError(f"{path}: {error}.") from error
    return Recipe(
        name=path.stem,
        where=str(path),
        folder=None if recipe.folder is None else path.parent / recipe.folder,
        downloads=downloads,
        licences=load_licences(str(path)) if names_photos else {},
        crops=recipe.crops,
    )


def _sha256_or_none(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError:  # the check of the pictures will say what is wrong with it
        return None
