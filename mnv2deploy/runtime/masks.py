"""Masks: from logits on a coarse grid to the class of every pixel.

The textbook way stretches every class's logits bilinearly to full size and takes the argmax there: 20 to 150 planes as
large as the mask, nearly all of them for nothing. Two facts about bilinear interpolation spare that, both exact. A
sample between four grid points is a weighted mean of their logits, the weights being the same for all classes. So

1. where the four points agree on the best class, that class is the best at every sample between them, and
2. where they do not, a class whose largest of four logits is below some other class's smallest is nowhere the best.

About a tenth of a real mask's cells are mixed, and in those the second fact leaves hardly more than two classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]
Mask = NDArray[np.unsignedinteger[Any]]
Positions = NDArray[np.float64]
Indices = NDArray[np.intp]

# Samples in a row of a tile, at most: a 2 x 2 grid stretched to a whole picture must not be one huge tile.
_TILE = 16
# Floats in the largest intermediate arrays; measured, 2**16 to 2**20: with 1 MB they stay in the second-level cache.
_BATCH = 2**18


def axis_positions(
    grid: int, side: int, *, align_corners: bool, valid: int | None = None, target: int | None = None
) -> Positions:
    """Where the pixels of a mask lie on the grid of the logits, along one axis.

    The logits cover the network's input, `side` pixels; the picture is the first `valid` of these, the rest is padding;
    and the mask is wanted with `target` pixels, the picture's own size before it was resized to `valid`. The three
    steps back are one affine map, with a clamp where the picture ends. Pixel `i` of the mask is at

        p = (i + 0.5) * valid / target - 0.5, clamped to 0 .. valid - 1    in the input: undoes the picture's resize
        g = p * (grid - 1) / (side - 1)                                    in the grid, corners aligned
        g = (p + 0.5) * grid / side - 0.5                                  in the grid, half-pixel centres

    Sampling once at `g` is the same as stretching the logits to the input, cropping and resizing the crop bilinearly
    wherever the grid points fall on pixels of the input: with corners aligned when `grid - 1` divides `side - 1`, as in
    DeepLab, 65 on 513; with half-pixel centres when `side` is an odd multiple of `grid`. Otherwise the two-step way
    rounds off the folds at the grid points, and this one does not.

    Args:
        grid: Logits along the axis.
        side: Pixels of the network's input along the axis.
        align_corners: Whether the first and last grid points are the centres of the input's first and last pixels
            (TensorFlow DeepLab) or the grid's and the input's outer edges coincide (`align_corners=False` in torch,
            `half_pixel` in ONNX).
        valid: Pixels of the input that hold the picture; all of them if None.
        target: Pixels of the mask; `valid` if None, which is the input's own resolution.

    Returns:
        `(target,)` float64, rising. Half-pixel centres put some outside 0 .. grid - 1: `upsample_argmax` repeats the
        border there.
    """
    valid = side if valid is None else valid
    positions = np.arange(valid if target is None else target, dtype=np.float64)
    if target is not None:
        positions = np.clip((positions + 0.5) * valid / target - 0.5, 0, valid - 1)
    if align_corners:
        return positions * (grid - 1) / max(side - 1, 1)
    return (positions + 0.5) * grid / side - 0.5


def upsample_argmax(logits: Logits, rows: Positions, columns: Positions) -> Mask:
    """The best class at every crossing of `rows` and `columns`, the logits being interpolated bilinearly.

    The same mask as interpolating all classes in float32 and taking the argmax, without ever holding that array: beside
    the mask it takes a few megabytes. Positions may lie as close or as far apart as they like; downsampling is plain
    sampling, without antialiasing.

    Ties: of classes whose float32 values are equal, the lowest index wins, as `np.argmax` has it. Where two classes
    are nearer to each other than a few float32 roundings of their own logits, either may win, as in any float32
    implementation. At grid points nothing is rounded, and the answer is `logits.argmax(axis=0)` exactly.

    Args:
        logits: `(C, h, w)` float32, finite, of any strides: for `(h, w, C)` give `logits.transpose(2, 0, 1)`.
        rows: `(H,)` float64, positions on the grid, in units of its points; outside 0 .. h - 1 the border repeats.
        columns: `(W,)` float64, likewise.

    Returns:
        `(H, W)` uint8, or uint16 if there are more than 256 classes.
    """
    classes, height, width = logits.shape
    flat = np.ascontiguousarray(logits, np.float32).reshape(classes, -1)
    best = _argmax(flat)
    vertical, horizontal = _tiles(rows, height), _tiles(columns, width)
    points = [(y * width)[:, None] + x for y in vertical.between for x in horizontal.between]
    first, *others = [best[at] for at in points]
    mask: Mask = first.take(horizontal.tile, axis=1).take(vertical.tile, axis=0)
    mixed = np.logical_or.reduce([first != other for other in others])
    down, across = np.nonzero(mixed)
    samples = len(vertical.samples) * len(horizontal.samples)
    step = max(1, _BATCH // (4 * max(classes, samples)))
    for start in range(0, len(down), step):
        cells = down[start : start + step], across[start : start + step]
        corners = [flat.take(at[cells], axis=1) for at in points]
        _paint(mask, corners, vertical.only(cells[0]), horizontal.only(cells[1]))
    return mask


@dataclass(frozen=True)
class _Tiles:
    """One axis cut into tiles: runs of at most `_TILE` samples between the same two grid points.

    Attributes:
        tile: `(n,)` the tile of every sample.
        between: The two grid points, `(2, T)`; the same one twice beyond the border.
        samples: `(S, T)` indices of a tile's samples; one with fewer than S repeats its last.
        weights: `(S, T)` float32, the second grid point's share in each sample.
    """

    tile: Indices
    between: Indices
    samples: Indices
    weights: NDArray[np.float32]

    def only(self, tiles: Indices) -> _Tiles:
        return _Tiles(self.tile, self.between[:, tiles], self.samples[:, tiles], self.weights[:, tiles])


def _tiles(positions: Positions, points: int) -> _Tiles:
    below = np.clip(np.floor(positions), -1, points - 1).astype(np.intp)
    index = np.arange(len(below))
    opens = np.concatenate([[True], below[1:] != below[:-1]])
    opens = (index - np.maximum.accumulate(index * opens)) % _TILE == 0
    starts = np.flatnonzero(opens)
    lengths = np.diff(starts, append=len(below))
    samples = starts + np.minimum(np.arange(lengths.max())[:, None], lengths - 1)
    between = np.clip([below[starts], below[starts] + 1], 0, points - 1)
    return _Tiles(np.cumsum(opens) - 1, between, samples, (positions - below).astype(np.float32)[samples])


def _argmax(scores: Logits) -> Mask:
    """`(C, N)` -> `(N,)`, the first of equals; two to eleven times as fast as `np.argmax` over axis 0."""
    dtype: type[np.uint8 | np.uint16] = np.uint8 if len(scores) <= 256 else np.uint16
    best, label = scores[0].copy(), np.zeros(scores.shape[1], dtype)
    for index, row in enumerate(scores[1:], start=1):
        np.maximum(label, (row > best).view(np.uint8) * dtype(index), out=label)
        np.maximum(best, row, out=best)
    return label


def _paint(mask: Mask, corners: list[Logits], vertical: _Tiles, horizontal: _Tiles) -> None:
    """Fills mixed cells: interpolates each cell's candidates, the first of all cells, the second of all, and so on.

    Cells are the last axis, so that every operation runs over long rows of numbers, and they are sorted by falling
    number of candidates, so that those with an n-th one come first.

    Args:
        mask: `(H, W)`, written to.
        corners: Logits at each cell's four grid points: top left, top right, bottom left, bottom right, `(C, M)` each.
        vertical: The M cells' rows.
        horizontal: The M cells' columns.
    """
    largest = np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3]))
    smallest = np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3]))
    possible = largest >= smallest.max(axis=0)
    counts = np.count_nonzero(possible, axis=0)
    order = np.argsort(-counts, kind="stable")
    counts = counts[order]
    candidates = np.nonzero(possible.T[order])[1]  # cell after cell, rising in each
    starts = np.cumsum(counts) - counts
    vertical, horizontal = vertical.only(order), horizontal.only(order)

    def interpolated(rank: int) -> tuple[Mask, Logits]:
        """The class and the values, `(m,)` and `(S, S', m)`, of the m cells that have more than `rank` candidates."""
        cells = int(np.searchsorted(-counts, -rank))
        candidate = candidates[starts[:cells] + rank]
        four = [corner[candidate, order[:cells]] for corner in corners]
        down, across = vertical.weights[:, None, :cells], horizontal.weights[:, :cells]
        return candidate.astype(mask.dtype), _interpolate(four, down, across)

    candidate, best = interpolated(0)
    label = np.broadcast_to(candidate, best.shape).copy()
    for rank in range(1, counts[0]):
        candidate, values = interpolated(rank)
        leader, winner = best[..., : len(candidate)], label[..., : len(candidate)]
        # winner = candidate where it leads; wrapping unsigned arithmetic is 30 times as fast as np.where here.
        winner += (values > leader).view(np.uint8) * (candidate - winner)
        np.maximum(leader, values, out=leader)
    at = (vertical.samples * mask.shape[1])[:, None] + horizontal.samples
    mask.reshape(-1)[at] = label


def _interpolate(corners: list[Logits], down: Logits, across: Logits) -> Logits:
    """Four `(M,)`, weights `(S, 1, M)` and `(1, S', M)` -> `(S, S', M)`."""
    top_left, top_right, bottom_left, bottom_right = corners
    top = top_left + (top_right - top_left) * across
    bottom = bottom_left + (bottom_right - bottom_left) * across
    values = (bottom - top) * down
    values += top
    return values
