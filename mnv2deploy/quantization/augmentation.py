"""Calibration pictures made many: random crops, mirror images and colours, the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mnv2deploy.runtime import images

Image = NDArray[np.uint8]

# The least share of a picture's area that a crop keeps, and the most its sides' ratio changes: half of what networks
# are trained with (0.08 to 1, 3/4 to 4/3), since calibration wants pictures like those to come.
_LEAST_AREA = 0.5
_MOST_STRETCH = 1.25
# Of contrast, and of brightness as a share of half the range.
_MOST_CHANGE = 0.1


def augmented(pictures: Sequence[Path], seed: int) -> Iterator[Image]:
    """Endless crops (H, W, 3) uint8, every picture once before any comes again."""
    random = np.random.default_rng(seed)
    while True:
        for index in random.permutation(len(pictures)):
            yield crop(images.read(pictures[index]), random)


def crop(image: Image, random: np.random.Generator) -> Image:
    """A random part of a picture, mirrored every second time."""
    height, width = image.shape[:2]
    area = random.uniform(_LEAST_AREA, 1.0)
    stretch = np.exp(random.uniform(-1.0, 1.0) * np.log(_MOST_STRETCH) / 2)
    rows = max(min(round(height * np.sqrt(area) * stretch), height), 1)
    columns = max(min(round(width * np.sqrt(area) / stretch), width), 1)
    top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
    part = image[top : top + rows, left : left + columns]
    return _recoloured(part[:, ::-1] if random.random() < 0.5 else part, random)


def _recoloured(image: Image, random: np.random.Generator) -> Image:
    """Brighter or darker, with more or less contrast in each channel."""
    contrast = random.uniform(1 - _MOST_CHANGE, 1 + _MOST_CHANGE, 3)
    brightness = random.uniform(-128, 128) * _MOST_CHANGE
    levels = np.arange(256.0)[:, None]
    table = np.clip(np.rint((levels - 128) * contrast + 128 + brightness), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.LUT(np.ascontiguousarray(image), table[None]))
