"""Pictures that differ as photos do, made of a number each."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def scene(number: int, height: int = 48, width: int = 64) -> Image:
    """Smooth blobs of colour, `(height, width, 3)` RGB."""
    blobs = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(cv2.resize(blobs, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def positions(height: int, width: int) -> Image:
    """A picture whose red says the column and whose green says the row; for sides up to 256."""
    rows, columns = np.mgrid[:height, :width]
    return np.dstack([columns, rows, np.full_like(rows, 7)]).astype(np.uint8)


def write(path: Path, image: Image, *parameters: int) -> Path:
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), list(parameters))
    return path


def write_scenes(folder: Path, count: int, suffix: str = ".png", first: int = 0) -> Path:
    """A folder of different scenes named 000.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        write(folder / f"{number:03}{suffix}", scene(number))
    return folder


def write_recipe(path: Path, photos: Path, text: str = "") -> Path:
    """A recipe that names every file of a folder as a download, and goes on with ``text``."""
    files = "".join(
        f'"{file.name}" = {{ size = {file.stat().st_size}, '
        f'sha256 = "{hashlib.sha256(file.read_bytes()).hexdigest()}" }}\n'
        for file in sorted(photos.iterdir())
    )
    path.write_text(
        f'[[photos]]\nname = "scenes"\n[[photos.sources]]\nurl = "file:{photos}/"\n'
        f"[photos.sources.files]\n{files}{text}"
    )
    return path
