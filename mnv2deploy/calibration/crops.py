"""Random crops, as classifiers are trained on them, but the same ones every time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mnv2deploy.calibration.recipe import Crops

Image = NDArray[np.uint8]

_NARROWEST, _WIDEST = math.log(3 / 4), math.log(4 / 3)
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of a photo: ``xyxy`` in its pixels, and whether it is mirrored left to right."""

    box: tuple[int, int, int, int]
    flipped: bool


def draw_crop(crops: Crops, index: int, height: int, width: int) -> Crop:
    """Chooses a part of a photo at random (torchvision's RandomResizedCrop, without the resize to a square).

    Its share of the area is uniform from ``crops.least_scale`` to 1, the logarithm of its width to height uniform from
    3:4 to 4:3. A photo so long that ten such parts do not fit is taken whole.

    Args:
        crops: What the recipe says.
        index: Of the crop in the set: with the seed it decides the random numbers, whatever was drawn before.
        height: Of the photo, pixels.
        width: The same.
    """
    # Only doubles, and of a named bit generator: its stream is fixed, what numpy's distributions make of it is not.
    random = np.random.Generator(np.random.PCG64([crops.seed, index]))
    flipped = random.random() < 0.5 and crops.flip
    for _ in range(_ATTEMPTS):
        scale, shape, across, down = random.random(4).tolist()
        area = height * width * (crops.least_scale + (1 - crops.least_scale) * scale)
        aspect = math.exp(_NARROWEST + (_WIDEST - _NARROWEST) * shape)
        crop_width, crop_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left, top = int(across * (width - crop_width + 1)), int(down * (height - crop_height + 1))
            return Crop((left, top, left + crop_width, top + crop_height), flipped)
    return Crop((0, 0, width, height), flipped)


def cut(photo: Image, crop: Crop, side: int) -> Image:
    """Cuts a crop out, mirrors it where it says so, and shrinks it until no side is longer than ``side`` pixels.

    Args:
        photo: `(H, W, 3)` uint8 RGB.
        crop: From `draw_crop`, for this height and width.
        side: Pixels.

    Returns:
        `(h, w, 3)` uint8 RGB, C-contiguous.
    """
    left, top, right, bottom = crop.box
    part = photo[top:bottom, left:right]
    if crop.flipped:
        part = part[:, ::-1]
    part = np.ascontiguousarray(part)
    height, width = part.shape[:2]
    if max(height, width) <= side:
        return part
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
