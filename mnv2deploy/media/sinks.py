"""Where pictures and masks go: what ``-o`` means, and the writing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mnv2deploy.errors import UsageError
from mnv2deploy.files import make_folder, write_atomically
from mnv2deploy.media.drawing import Colour, Image
from mnv2deploy.media.masks import encode_mask_png

# Formats that hold any RGB picture. GIF has 256 colours; a GIF's drawing becomes a PNG.
WRITABLE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
_FALLBACK_SUFFIX = ".png"


def plan_outputs(output: str, inputs: Sequence[str]) -> list[Path]:
    """Decides which file each input's picture is written to. Nothing is made yet.

    One input and a path with a picture suffix: that file. A folder that exists, a path that ends in a slash, or several
    inputs: a folder, in which each file has its input's name; ``cat.jpg`` from a second folder becomes ``cat-2.jpg``.

    Args:
        output: The value of ``-o``.
        inputs: Paths of the input pictures.

    Returns:
        One path for each input, all different.

    Raises:
        UsageError: the suffix is unknown, one file is named for several pictures, or an input would be overwritten.
    """
    path = Path(output)
    if path.is_dir() or output.endswith(("/", os.sep)):
        outputs = _names_in(path, inputs)
    elif len(inputs) == 1:
        if path.suffix.lower() not in WRITABLE_SUFFIXES:
            known = ", ".join(WRITABLE_SUFFIXES)
            raise UsageError(f"-o {output} is not a picture that can be written ({known}); for a folder, add a slash.")
        outputs = [path]
    elif path.exists() or path.suffix.lower() in WRITABLE_SUFFIXES:
        raise UsageError(f"-o {output} is one file and there are {len(inputs)} pictures; name a folder.")
    else:
        outputs = _names_in(path, inputs)
    _refuse_overwriting(outputs, inputs)
    return outputs


def plan_masks(folder: str, inputs: Sequence[str]) -> list[Path]:
    """Decides which file each input's mask is written to: ``cat.mask.png`` for ``cat.jpg``. Nothing is made yet.

    ``cat.jpg`` from a second folder, or ``cat.png``, becomes ``cat-2.mask.png``.

    Args:
        folder: The value of ``-o``.
        inputs: Paths of the input pictures.

    Returns:
        One path for each input, all different.

    Raises:
        UsageError: a file is named, not a folder, or an input would be overwritten.
    """
    return _plan_beside(folder, inputs, [".mask.png" for _ in inputs])


def plan_overlays(folder: str, inputs: Sequence[str]) -> list[Path]:
    """As `plan_masks`, for the drawn masks: ``cat.overlay.jpg``, numbered alike."""
    return _plan_beside(folder, inputs, [".overlay" + _writable_suffix(Path(source)) for source in inputs])


def save(path: Path, image: Image) -> None:
    """Writes a picture in the format of its suffix, whole or not at all, making the folder where needed.

    Args:
        path: With one of `WRITABLE_SUFFIXES`.
        image: `(H, W, 3)` uint8 RGB.

    Raises:
        UsageError: it cannot be written there, or the format cannot hold it.
    """
    make_folder(path.parent)
    write_atomically(path, _encode(image, path))


def save_mask(path: Path, mask: NDArray[np.uint8] | NDArray[np.uint16], palette: Mapping[int, Colour]) -> None:
    """Writes a mask, see `encode_mask_png`, whole or not at all, making the folder where needed.

    Raises:
        UsageError: it cannot be written there.
    """
    make_folder(path.parent)
    write_atomically(path, encode_mask_png(mask, palette))


def _encode(image: Image, path: Path) -> bytes:
    try:
        done, encoded = cv2.imencode(path.suffix.lower(), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        done = False
    if not done:
        height, width = image.shape[:2]
        raise UsageError(f"{path} cannot hold {width} x {height} pixels in its format; write a .png instead.")
    return encoded.tobytes()


def _names_in(folder: Path, inputs: Sequence[str]) -> list[Path]:
    """Each input's own name."""
    sources = [Path(source) for source in inputs]
    return [folder / name for name in _distinct([(source.stem, _writable_suffix(source)) for source in sources])]


def _plan_beside(folder: str, inputs: Sequence[str], endings: Sequence[str]) -> list[Path]:
    """Each input's name without its suffix, and an ending. Endings do not count when names are told apart."""
    path = Path(folder)
    is_picture = path.suffix.lower() in WRITABLE_SUFFIXES and not folder.endswith(("/", os.sep))
    if not path.is_dir() and (path.exists() or is_picture):
        raise UsageError(f"-o {folder} is one file and every picture gets files of its own; name a folder.")
    stems = _distinct([(Path(source).stem, "") for source in inputs])
    outputs = [path / (stem + ending) for stem, ending in zip(stems, endings, strict=True)]
    _refuse_overwriting(outputs, inputs)
    return outputs


def _distinct(names: Sequence[tuple[str, str]]) -> list[str]:
    """Stems with their endings; a name that is taken, even in other letter case, gets the next free number."""
    taken: set[str] = set()
    distinct = []
    for stem, ending in names:
        name, number = stem + ending, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}{ending}"
        taken.add(name.casefold())
        distinct.append(name)
    return distinct


def _writable_suffix(source: Path) -> str:
    return source.suffix if source.suffix.lower() in WRITABLE_SUFFIXES else _FALLBACK_SUFFIX


def _refuse_overwriting(outputs: Sequence[Path], inputs: Sequence[str]) -> None:
    """Compares files, not names: links, ``..`` and letter case must not help to overwrite an input."""
    sources = {_identity(Path(source)) for source in inputs} - {None}
    for output in outputs:
        if _identity(output) in sources:
            raise UsageError(f"{output} is an input picture and would be overwritten; choose another -o.")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
