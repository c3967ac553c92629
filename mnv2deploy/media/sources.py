"""The pictures a command line names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.errors import InputError
from mnv2deploy.runtime import images

Image = NDArray[np.uint8]

# What is taken from a folder. A file that is named is read whatever it is called: its content decides.
PICTURE_SUFFIXES = frozenset(
    {".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff"}
    | {".webp"}
)


@dataclass(frozen=True, slots=True)
class Source:
    """One picture to be read, or an argument that gives none.

    Attributes:
        name: The path as the user wrote it; inside a folder, the folder's with the file's.
        error: Why there is nothing to read.
    """

    name: str
    error: InputError | None = None


def find_sources(arguments: Iterable[str]) -> list[Source]:
    """Expands arguments to pictures. Nothing is opened yet.

    Args:
        arguments: Files, and folders. A folder stands for the pictures directly in it by suffix, sorted by name;
            hidden files are left out, and so are masks and overlays that an earlier run wrote there.

    Returns:
        In the order of the arguments. A folder that has no pictures or cannot be listed is a source with an error.
    """
    return [source for argument in arguments for source in _expand(argument)]


def read_sources(sources: Iterable[Source]) -> Iterator[tuple[str, Image | InputError]]:
    """Reads pictures one after the other, each when it is asked for; one that fails does not stop the others.

    Args:
        sources: From `find_sources`.

    Yields:
        The name, and the picture `(H, W, 3)` uint8 RGB or what is wrong with it.
    """
    for source in sources:
        if source.error is not None:
            yield source.name, source.error
            continue
        try:
            image = images.read(Path(source.name))
        except InputError as error:
            yield source.name, error
        else:
            yield source.name, image


def _expand(argument: str) -> list[Source]:
    if not argument or "://" in argument or argument == "-":
        what = argument or "An empty name"
        return [Source(argument, InputError(f"{what} is not a file; save the picture to one first."))]
    folder = Path(argument)
    if not folder.is_dir():
        return [Source(argument)]
    try:
        found = sorted(path for path in folder.iterdir() if _is_picture(path))
    except OSError as error:
        return [Source(argument, InputError(f"{argument} cannot be listed: {error.strerror}."))]
    if not found:
        return [
            Source(
                argument, InputError(f"{argument} has no pictures directly in it; folders inside it are not searched.")
            )
        ]
    return [Source(str(path)) for path in found]


def _is_picture(path: Path) -> bool:
    if path.name.startswith(".") or Path(path.stem).suffix in (".mask", ".overlay"):
        return False
    return path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
