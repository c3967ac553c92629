"""A folder of calibration pictures: every one read once, hashed, and compared with the others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mnv2deploy.errors import InputError
from mnv2deploy.media.sources import find_sources
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.runtime import images
from mnv2deploy.weights.verified import sha256_of

LEAST_PICTURES = 4
"""Of fewer different ones no set is made: their ranges would be those pictures' own."""
FEW_PICTURES = 16
"""Fewer different ones get a warning."""

# Two pictures look the same if no value of their thumbnails differs by more than this many grey levels of 255. Of 18
# photos a copy of a third the size, or a JPEG of quality 30, differed by 4 at most; of 500 ImageNet pictures the two
# most alike by 56, of 128 crops of the 18 photos by 32.
_THUMBNAIL = 8
_SAME = 6


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """Pictures that can all be read, and differ enough to be worth calibrating with.

    Attributes:
        name: Of the folder or recipe.
        pictures: Sorted by file name.
        sha256: Of the names and bytes of the pictures, in order, whatever folder they are in; see `hash_pictures`.
        warnings: What is wrong with the set though it can be used; whole sentences.
        unreadable: Names of the files that were left out; a warning says why of each.
    """

    name: str
    pictures: tuple[Path, ...]
    sha256: str
    warnings: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Look:
    """What is kept of a picture once it was read: its digest, and ``(192,)`` int16 of its thumbnail."""

    path: Path
    sha256: str
    thumbnail: NDArray[np.int16]


def open_set(folder: Path, progress: Progress = SILENT) -> CalibrationSet:
    """Checks the pictures directly in a folder; see `check_pictures`.

    Hidden files, and masks and overlays this program wrote, are no pictures of it.

    Raises:
        InputError: it is no folder, has no pictures, or `check_pictures` refuses them.
    """
    return check_pictures(pictures_in(folder), folder.resolve().name, str(folder), progress=progress)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures directly in a folder.

    Raises:
        InputError: there is no such folder, or none in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder of pictures; check the spelling.")
    sources = find_sources([str(folder)])
    if sources[0].error is not None:
        raise sources[0].error
    return [Path(source.name) for source in sources]


def check_pictures(
    paths: Iterable[Path],
    name: str,
    where: str,
    noun: str = "pictures",
    progress: Progress = SILENT,
) -> CalibrationSet:
    """Reads pictures one after the other, as they will be read to calibrate, and says what is wrong with the set.

    One is in memory at a time: 500 of ImageNet's take a second.

    Args:
        paths: Files whose names all differ.
        name: Of the set.
        where: What to call the set in messages: a folder, a recipe.
        noun: What to call its members.
        progress: Counts pictures.

    Raises:
        InputError: none can be read, all look the same, or fewer than `LEAST_PICTURES` differ.
    """
    paths = sorted(paths, key=lambda path: path.name)
    looks, failures = _look_at(paths, where, progress)
    if not looks:
        raise InputError(
            f"None of the {len(paths)} {noun} of {where} can be read. The first: {next(iter(failures.values()))}"
        )
    repeats = _repeats(looks)
    different = len(looks) - len(repeats)
    if different == 1 and len(looks) >= LEAST_PICTURES:
        raise InputError(
            f"The {len(looks)} {noun} of {where} all look the same: what is measured on one picture fits no other. "
            "Give pictures such as the model will see, 100 or more."
        )
    if different < LEAST_PICTURES:
        raise InputError(
            f"{where} has {different} different {noun} that can be read and calibration needs at least "
            f"{LEAST_PICTURES}; 100 or more such as the model will see serve best."
        )
    warnings = [f"{error} It was left out." for error in failures.values()]
    if different < FEW_PICTURES:
        warnings.append(
            f"There are only {different} different {noun}: ranges measured on fewer than {FEW_PICTURES} are those "
            "few's own, and other pictures may be clipped or rounded badly. 100 or more serve best."
        )
    if 2 * len(repeats) > len(looks):
        again, first = repeats[0]
        warnings.append(
            f"{len(repeats)} of {len(looks)} {noun} look the same as another one ({again.name} as {first.name}, for "
            "one): they take time and show nothing new."
        )
    return CalibrationSet(
        name,
        tuple(look.path for look in looks),
        _hash((look.path.name, look.sha256) for look in looks),
        tuple(warnings),
        tuple(path.name for path in failures),
    )


def hash_pictures(paths: Iterable[Path]) -> str:
    """The hash of a set: what ``sha256sum FILES | sha256sum`` prints in their folder, the files sorted by name.

    Raises:
        OSError: one cannot be read.
    """
    return _hash((path.name, sha256_of(path)) for path in sorted(paths, key=lambda path: path.name))


def _hash(digests: Iterable[tuple[str, str]]) -> str:
    lines = (digest.encode() + b"  " + os.fsencode(name) + b"\n" for name, digest in digests)
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _look_at(paths: Sequence[Path], where: str, progress: Progress) -> tuple[list[_Look], dict[Path, InputError]]:
    looks: list[_Look] = []
    failures: dict[Path, InputError] = {}
    progress.start(f"Checking {where}", len(paths))
    try:
        for done, path in enumerate(paths, 1):
            try:
                image = images.read(path)
            except InputError as error:
                failures[path] = error
            else:
                small = cv2.resize(image, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
                looks.append(_Look(path, sha256_of(path), small.reshape(-1).astype(np.int16)))
            progress.update(done)
    finally:
        progress.stop()
    return looks, failures


def _repeats(looks: Sequence[_Look]) -> list[tuple[Path, Path]]:
    """Pictures that look the same as an earlier one, each with that one."""
    repeats: list[tuple[Path, Path]] = []
    kinds: list[Path] = []
    thumbnails = np.empty((len(looks), 3 * _THUMBNAIL**2), np.int16)
    for look in looks:
        same = np.abs(thumbnails[: len(kinds)] - look.thumbnail).max(axis=1) <= _SAME
        if same.any():
            repeats.append((look.path, kinds[int(same.argmax())]))
        else:
            thumbnails[len(kinds)] = look.thumbnail
            kinds.append(look.path)
    return repeats
