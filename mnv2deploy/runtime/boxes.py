"""Anchors, box coder and non-maximum suppression, in numpy.

Inside, a box is ``yxhw``: centre and size in fractions of the input, as SSD's coder has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.contract import AnchorLayer

Floats = NDArray[np.float32]


def generate_anchors(layers: Sequence[AnchorLayer]) -> Floats:
    """All anchors, (A, 4) float32 ``yxhw``, ordered as the network's outputs: layer, row, column, anchor."""
    parts = []
    for layer in layers:
        rows, columns = layer.grid
        sizes = np.asarray(layer.sizes, np.float64)
        anchors = np.empty((rows, columns, len(sizes), 4))
        anchors[..., 0] = ((np.arange(rows) + 0.5) * layer.step[0])[:, None, None]
        anchors[..., 1] = ((np.arange(columns) + 0.5) * layer.step[1])[None, :, None]
        anchors[..., 2:] = sizes
        parts.append(anchors.reshape(-1, 4))
    return np.concatenate(parts).astype(np.float32)


class BoxCoder:
    """Faster R-CNN's encoding of a box against its anchor (Ren et al. 2015, equation 2), scaled.

    Args:
        order: ``yxhw`` (TensorFlow) or ``xywh`` (the others): the order of the four encodings.
        scales: What the encodings were multiplied by in training, in that order.
        size_ratio_limit: Of a box's sides to its anchor's, and the other way round; None for no limit.
    """

    def __init__(self, order: str, scales: Sequence[float], size_ratio_limit: float | None = None) -> None:
        self._columns = [0, 1, 2, 3] if order == "yxhw" else [1, 0, 3, 2]
        self._scales = np.asarray(scales, np.float32)[self._columns]
        self._log_limit = None if size_ratio_limit is None else np.float32(math.log(size_ratio_limit))

    def decode(self, encodings: Floats, anchors: Floats) -> Floats:
        """(K, 4) encodings and their (K, 4) ``yxhw`` anchors -> (K, 4) ``xyxy`` fractions of the input."""
        offsets = encodings[:, self._columns] / self._scales
        if self._log_limit is not None:
            np.clip(offsets[:, 2:], -self._log_limit, self._log_limit, out=offsets[:, 2:])
        centres = offsets[:, :2] * anchors[:, 2:] + anchors[:, :2]
        halves = np.exp(offsets[:, 2:]) * (anchors[:, 2:] * np.float32(0.5))
        return np.concatenate([(centres - halves)[:, ::-1], (centres + halves)[:, ::-1]], axis=1)


def strongest(scores: Floats, groups: NDArray[np.intp], limit: int) -> NDArray[np.intp]:
    """Indices of the ``limit`` best of each group, in their original order; of equal scores the first.

    Args:
        scores: (K,) float32.
        groups: (K,) integers.
        limit: At least 1.
    """
    order = np.lexsort((-scores, groups))  # stable; by group first
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return np.sort(order[rank < limit])


def non_maximum_suppression(
    boxes: Floats, scores: Floats, classes: NDArray[np.intp], iou_threshold: float, max_detections: int
) -> NDArray[np.intp]:
    """Greedy per-class NMS: the best box stays, those of its class that overlap it by more than the threshold go.

    The work is one vector operation for each box kept, of which there are at most ``max_detections``; what is left
    after that need not be looked at, because candidates are visited by falling score over all classes.

    Args:
        boxes: (K, 4) float32 ``xyxy``.
        scores: (K,) float32.
        classes: (K,) integers.
        iou_threshold: Intersection over union above which the lower score goes.
        max_detections: Stop after so many.

    Returns:
        Indices of the boxes kept, by falling score; equal scores in their original order.
    """
    order = np.argsort(-scores, kind="stable")
    left, top, right, bottom = boxes[order].T
    areas = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    classes = classes[order]
    alive = np.ones(len(order), bool)
    kept: list[int] = []
    candidate = 0
    while len(kept) < max_detections and candidate < len(order):
        kept.append(candidate)
        rest = slice(candidate + 1, None)
        width = np.minimum(right[rest], right[candidate]) - np.maximum(left[rest], left[candidate])
        height = np.minimum(bottom[rest], bottom[candidate]) - np.maximum(top[rest], top[candidate])
        overlap = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[rest] + areas[candidate] - overlap
        alive[rest] &= (overlap <= iou_threshold * union) | (classes[rest] != classes[candidate])
        step = int(np.argmax(alive[rest])) if candidate + 1 < len(order) else 0
        if candidate + 1 >= len(order) or not alive[candidate + 1 + step]:
            break
        candidate += 1 + step
    return order[kept]
