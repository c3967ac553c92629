"""Resizing: OpenCV's bilinear, and the antialiased ones classifiers are trained with."""

from __future__ import annotations

import functools
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Crop = tuple[int, int, int, int]

_BLOCK = 4  # output rows that share a multiplication
_CHUNK_BYTES = 1 << 20  # of float32 copies of input rows at a time: what the second-level cache holds


def resize(image: Image, height: int, width: int, interpolation: str, crop: Crop | None = None) -> Image:
    """Stretches a picture to a size, the aspect ratio given up.

    Args:
        image: `(H, W, 3)` uint8.
        height: Pixels.
        width: Pixels.
        interpolation: ``bilinear``: half-pixel centres, four neighbours (`cv2.INTER_LINEAR`). ``antialias``: as PIL's
            ``BILINEAR``, a triangle over all the pixels that are made into one; where the picture grows the two are
            the same. ``bicubic``: as PIL's ``BICUBIC``, over all of them too.
        crop: Top, left, height and width of the part that is wanted; the whole if None.

    Returns:
        `(height, width, 3)` uint8, or the part.
    """
    top, left, rows, columns = crop or (0, 0, height, width)
    if interpolation == "bilinear":
        resized = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
        return resized[top : top + rows, left : left + columns]
    # PIL goes across first and rounds to 8 bits in between. Of 500 ImageNet pictures, the classifier gets as many
    # right as with PIL (85.0 %); with INTER_AREA, the nearest OpenCV has, 84.6 %, with INTER_LINEAR 84.0 %.
    across = _filter(image.shape[1], width, left, columns, interpolation)
    down = _filter(image.shape[0], height, top, rows, interpolation)
    seen = image[down.first : down.last, across.first : across.last]
    return _filter_rows(cv2.transpose(_filter_rows(cv2.transpose(seen), across)), down)


class _Filter(NamedTuple):
    """What makes rows of one size from rows of another, as small dense matrices.

    Attributes:
        first: The first row that is needed.
        last: The row after the last.
        wanted: Rows that come out.
        rows: Rows that go into each block of `_BLOCK` rows that come out, counted from ``first``, `(blocks, span)`.
        weights: Theirs, `(blocks, _BLOCK, span)`.
        overshoots: Whether a sum can be less than 0.
    """

    first: int
    last: int
    wanted: int
    rows: NDArray[np.intp]
    weights: NDArray[np.float32]
    overshoots: bool


def _filter_rows(image: NDArray[np.generic], shrink: _Filter) -> Image:
    """Filters `(n, m, 3)` uint8 down its rows, n of them from ``first`` to ``last``."""
    flat = np.ascontiguousarray(image).reshape(image.shape[0], -1)
    blocks, span = shrink.rows.shape
    filtered = np.empty((blocks * _BLOCK, flat.shape[1]), np.uint8)
    step = max(_CHUNK_BYTES // (span * flat.shape[1] * 4), 1)
    for block in range(0, blocks, step):
        part = slice(block, block + step)
        values = shrink.weights[part] @ flat[shrink.rows[part]].astype(np.float32)
        if shrink.overshoots:
            np.maximum(values, 0, out=values)
        # Rounds to the nearest in half the time numpy takes; ties up as PIL does, which halved pictures are full of.
        target = filtered[block * _BLOCK : (block + step) * _BLOCK]
        cv2.convertScaleAbs(values.reshape(-1, flat.shape[1]), dst=target, beta=1e-4)
    return filtered[: shrink.wanted].reshape(shrink.wanted, *image.shape[1:])


@functools.lru_cache(maxsize=64)
def _filter(size_in: int, size_out: int, first: int, count: int, interpolation: str) -> _Filter:
    """PIL's filter (libImaging/Resample.c, precompute_coeffs).

    Args:
        size_in: Rows of the picture.
        size_out: Rows it is made into.
        first: The first of them that is wanted.
        count: How many are.
        interpolation: ``antialias`` or ``bicubic``.
    """
    reach, kernel = (2, _bicubic) if interpolation == "bicubic" else (1, _triangle)
    scale = size_in / size_out
    stretch = max(scale, 1.0)
    support = reach * stretch
    blocks = -(-count // _BLOCK)
    outputs = np.minimum(first + np.arange(blocks * _BLOCK), first + count - 1).reshape(blocks, _BLOCK)
    centres = (outputs + 0.5) * scale
    lowest = np.maximum((centres - support + 0.5).astype(np.intp), 0)
    highest = np.minimum((centres + support + 0.5).astype(np.intp), size_in)
    rows = lowest[:, :1] + np.arange((highest[:, -1] - lowest[:, 0]).max())
    inside = (rows[:, None] >= lowest[..., None]) & (rows[:, None] < highest[..., None])
    values = kernel((rows[:, None] + 0.5 - centres[..., None]) / stretch) * inside
    weights = values / values.sum(axis=2, keepdims=True)
    start, stop = int(lowest[0, 0]), int(highest[-1, -1])
    return _Filter(
        start, stop, count, np.minimum(rows, stop - 1) - start, weights.astype(np.float32), bool(weights.min() < 0)
    )


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(1 - np.abs(x), 0))


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys's kernel with a = -0.5."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
