"""From raw outputs to answers, for all peers: what a careful user writes in numpy and OpenCV.

Answers are arrays: classes `(top, 2)` of class id and score; detections `(K, 6)` of class id, score and ``xyxy`` in
pixels; a mask `(H, W)` of class ids.
"""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Decoder = Callable[[list[NDArray[Any]], int, int], NDArray[Any]]


def decoder(contract: SimpleNamespace) -> Decoder:
    """What turns raw outputs and the picture's height and width into the answer."""
    kinds: dict[str, Callable[[SimpleNamespace], Decoder]] = {"classify": Classes, "detect": Boxes, "segment": Mask}
    return kinds[contract.decoding.task](contract)


class Classes:
    """Softmax and the likeliest."""

    def __init__(self, contract: SimpleNamespace) -> None:
        self._columns = np.array([label.column for label in contract.labels])
        self._ids = np.array([label.class_id for label in contract.labels])
        self._top = min(contract.decoding.top, len(self._ids))

    def __call__(self, outputs: list[NDArray[Any]], height: int, width: int) -> NDArray[Any]:  # noqa: ARG002
        logits = outputs[0].reshape(-1)
        scores = np.exp(logits - logits.max())
        scores = scores[self._columns] / scores.sum()
        top = np.argpartition(scores, -self._top)[-self._top :]
        top = top[np.argsort(-scores[top])]
        return np.column_stack([self._ids[top], scores[top]])


class Boxes:
    """The threshold on the logits, then activation and box decoding of what passes, then OpenCV's NMS."""

    def __init__(self, contract: SimpleNamespace) -> None:
        decoding = contract.decoding
        if decoding.activation != "sigmoid":
            raise ValueError(f"peers decode detections of sigmoids only, not {decoding.activation}")
        self._score, self._iou, self._most = decoding.score_threshold, decoding.iou_threshold, decoding.max_detections
        self._order = [0, 1, 2, 3] if decoding.coder == "yxhw" else [1, 0, 3, 2]
        self._scales = np.array(decoding.coder_scales, np.float32)[self._order]
        self._anchors = np.concatenate([anchors_of(layer) for layer in decoding.anchors])
        self._ids = np.full(1 + max(label.column for label in contract.labels), -1)
        self._ids[[label.column for label in contract.labels]] = [label.class_id for label in contract.labels]

    def __call__(self, outputs: list[NDArray[Any]], height: int, width: int) -> NDArray[Any]:
        logits, encodings = outputs[0].reshape(len(self._anchors), -1), outputs[1].reshape(-1, 4)
        hits = np.flatnonzero(logits > math.log(self._score / (1 - self._score)))
        anchors, columns = np.divmod(hits, logits.shape[1])
        known = (columns < len(self._ids)) & (self._ids[np.minimum(columns, len(self._ids) - 1)] >= 0)
        anchors, columns = anchors[known], columns[known]
        if not len(anchors):
            return np.empty((0, 6))
        scores = 1 / (1 + np.exp(-logits[anchors, columns]))
        offsets, near = encodings[anchors][:, self._order] / self._scales, self._anchors[anchors]
        sizes = np.exp(offsets[:, 2:]) * near[:, 2:]
        corners = offsets[:, :2] * near[:, 2:] + near[:, :2] - sizes / 2
        boxes = np.concatenate([corners[:, ::-1], sizes[:, ::-1]], axis=1)  # left, top, width, height
        kept = cv2.dnn.NMSBoxesBatched(boxes, scores, columns, self._score, self._iou, top_k=self._most)
        left_top = boxes[kept, :2]
        pixels = np.concatenate([left_top, left_top + boxes[kept, 2:]], axis=1).clip(0, 1)
        pixels *= (width, height, width, height)
        return np.column_stack([self._ids[columns[kept]], scores[kept], pixels])


def anchors_of(layer: SimpleNamespace) -> NDArray[np.float32]:
    """`(rows * columns * k, 4)` centre and size, ``yxhw``, of one feature map."""
    (rows, columns), sizes = layer.grid, np.array(layer.sizes)
    y, x, k = np.meshgrid(np.arange(rows), np.arange(columns), np.arange(len(sizes)), indexing="ij")
    centres = np.stack([(y + 0.5) * layer.step[0], (x + 0.5) * layer.step[1]], axis=-1)
    return np.concatenate([centres, sizes[k]], axis=-1).reshape(-1, 4).astype(np.float32)


class Mask:
    """Each class's logits stretched to the input's size, the greatest taken, and that mask brought to the picture's.

    Of the ways tried this was the fastest that gives our mask for more than 99 % of the pixels: 2 ms for 65x65x21 on
    one thread, where warping to the picture's size takes 12 and torch's interpolate and argmax 40.
    """

    def __init__(self, contract: SimpleNamespace) -> None:
        self._align_corners = contract.decoding.align_corners
        self._side = contract.input.height, contract.input.width
        self._padded = contract.preprocessing.resize == "pad"
        labels = sorted(contract.labels, key=lambda label: label.column)
        self._columns = [label.column for label in labels]
        ids = [label.class_id for label in labels]
        self._ids = np.array(ids, np.uint8)
        self._same = ids == list(range(len(ids)))

    def __call__(self, outputs: list[NDArray[Any]], height: int, width: int) -> NDArray[Any]:
        logits = outputs[0].reshape(outputs[0].shape[-3:])
        rows, columns = fitted_size(height, width, *self._side) if self._padded else self._side
        (y, high, tall), (x, broad, wide) = (
            self._stretch(points, side, wanted)
            for points, side, wanted in zip(logits.shape[1:], self._side, (rows, columns), strict=True)
        )
        best: Any = None
        for index, column in enumerate(self._columns):
            plane = cv2.resize(logits[column, :high, :broad], (wide, tall))[y : y + rows, x : x + columns]
            if best is None:
                best, mask = plane.copy(), np.zeros(plane.shape, np.uint8)
            else:
                np.maximum(mask, (plane > best).view(np.uint8) * np.uint8(index), out=mask)
                np.maximum(best, plane, out=best)
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
        return mask if self._same else self._ids[mask]

    def _stretch(self, points: int, side: int, wanted: int) -> tuple[int, int, int]:
        """Where the input begins in the stretched logits, how many grid points ``wanted`` pixels need, their new size.

        cv2.resize makes outer edges meet; where corners should, the grid is stretched by the cells' size and the input
        begins half a cell inside.
        """
        cell, rest = divmod(side - 1, points - 1) if self._align_corners else divmod(side, points)
        if rest:
            raise ValueError(f"peers stretch {points} logits to {side} pixels by whole cells only")
        start = cell // 2 if self._align_corners else 0
        needed = min(math.ceil((start + wanted) / cell + 0.5), points)
        return start, needed, needed * cell


def fitted_size(height: int, width: int, rows: int, columns: int) -> tuple[int, int]:
    """Height and width of a picture made as large as fits into rows x columns."""
    scale = min(rows / height, columns / width)
    return max(round(height * scale), 1), max(round(width * scale), 1)
