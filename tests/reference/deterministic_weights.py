"""Weights and inputs made of nothing but their names, so that a reference and its test agree without a file of weights.

Every value is uniform and comes from the raw bits of PCG64, which numpy promises not to change (its distributions may),
by exact float64 arithmetic, so that it is the same on every machine. Needs numpy only.
"""

import hashlib
import math
import re

import numpy as np
from numpy.typing import NDArray


def uniform(name: str, shape: tuple[int, ...], low: float, high: float) -> NDArray[np.float32]:
    """Draw a float32 array, in C order, from a generator seeded by the name; the shape only says how many."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")
    bits = np.random.PCG64(seed).random_raw(math.prod(shape))
    parts = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53  # 0 <= part < 1
    return (low + (high - low) * parts).astype(np.float32).reshape(shape)


def weight(name: str, shape: tuple[int, ...]) -> NDArray[np.float32] | NDArray[np.int64]:
    """Make the tensor of a state dict that has our name, such as `backbone.blocks.3.expand.conv.weight`.

    Convolutions and linear layers have the standard deviation sqrt(2 / fan_in). (C, K) and (C, K, 1, 1) hold the same
    numbers.
    """
    *_, module, kind = name.split(".")
    if kind == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if kind == "running_var" or (module == "bn" and kind == "weight"):
        return uniform(name, shape, 0.5, 1.5)
    if kind in ("running_mean", "bias"):
        return uniform(name, shape, -0.35, 0.35)
    limit = math.sqrt(6 / math.prod(shape[1:]))
    return uniform(name, shape, -limit, limit)


def picture(batch: int, height: int, width: int) -> NDArray[np.float32]:
    """Make the (batch, 3, height, width) input of a reference, in -1..1."""
    return uniform(f"input.{height}x{width}", (batch, 3, height, width), -1, 1)


def origin_weight(name: str, shape: tuple[int, ...], layout: str) -> NDArray[np.float32]:
    """Make the tensor a framework calls so, without knowing which layer it is of.

    Kernels have the standard deviation sqrt(2 / fan_in), where `layout` says which axes are the fan-in: `torch` all but
    the first; `keras` all but the last, and of depthwise kernels the first two; `tflite` all but the first, and of
    depthwise kernels, the only ones to begin with 1, the second and third.
    """
    kind = name.rpartition("/")[2].rpartition(".")[2].removesuffix(":0")
    if len(shape) > 1:
        if layout == "keras":
            inputs = shape[:2] if "depthwise" in name else shape[:-1]
        else:
            inputs = shape[1:3] if layout == "tflite" and len(shape) == 4 and shape[0] == 1 else shape[1:]
        limit = math.sqrt(6 / math.prod(inputs))
        return uniform(name, shape, -limit, limit)
    # Keras 3 numbers a batch norm's tensors: gamma, beta, mean, variance.
    if kind in ("weight", "gamma", "running_var", "moving_variance", "0", "3"):
        return uniform(name, shape, 0.5, 1.5)
    return uniform(name, shape, -0.35, 0.35)


def detector_weight(name: str, shape: tuple[int, ...]) -> NDArray[np.float32] | NDArray[np.int64]:
    """Make the tensor mmdetection's SSDLite calls so: as `weight`, but for the predictors' last convolutions.

    Those are scaled down, to boxes near their anchors and scores all over 0..1, and the background, the last of each
    anchor's 81 columns, is made likelier than the rest.
    """
    made = weight(name, shape)
    if match := re.fullmatch(r"bbox_head\.(cls|reg)_convs\.\d+\.1\.(weight|bias)", name):
        made = made * np.float32(0.3 if match[1] == "cls" else 0.06)
        if match.groups() == ("cls", "bias"):
            made[80::81] += np.float32(3.5)
    return made


def photo() -> NDArray[np.uint8]:
    """Make the (240, 400, 3) uint8 RGB picture a detector is shown: coloured boxes on a coloured ground, and noise."""
    image = np.empty((240, 400, 3), np.float32)
    image[:] = uniform("photo.ground", (3,), 0, 255)
    corners = uniform("photo.corners", (40, 4), 0, 1) * np.float32([300, 180, 100, 60])
    for (left, top, width, height), colour in zip(
        corners.astype(int), uniform("photo.colours", (40, 3), 0, 255), strict=True
    ):
        image[top : top + height, left : left + width] = colour
    noise = uniform("photo.noise", image.shape, -20, 20)
    return np.clip(image + noise, 0, 255).astype(np.uint8)
