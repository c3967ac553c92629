"""Which detection finds which object: COCO's greedy rule, for all pictures and thresholds at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# pycocotools' own numbers, to the last bit.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
MAX_DETECTIONS = 100

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Labelled objects of many pictures, one a row.

    Attributes:
        ids: (G,) int64.
        image_ids: (G,) int64.
        category_ids: (G,) int64.
        boxes: (G, 4) float64: left, top, width, height in pixels.
        areas: (G,) float64 square pixels, of the object's outline; of the box where nobody knows.
        crowd: (G,) bool: the box is around many objects, and detections in it count neither way.
    """

    ids: Ints
    image_ids: Ints
    category_ids: Ints
    boxes: Floats
    areas: Floats
    crowd: Bools

    def at(self, rows: Ints | Bools) -> Objects:
        """Some of them, by number or by mask."""
        return Objects(
            self.ids[rows],
            self.image_ids[rows],
            self.category_ids[rows],
            self.boxes[rows],
            self.areas[rows],
            self.crowd[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Detections in many pictures, one a row.

    Attributes:
        image_ids: (D,) int64.
        category_ids: (D,) int64.
        boxes: (D, 4) float64: left, top, width, height in pixels.
        scores: (D,) float64.
    """

    image_ids: Ints
    category_ids: Ints
    boxes: Floats
    scores: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """What became of every detection, at T IoU thresholds.

    Detections are ordered by category and, within one, by falling score; of equal scores the lower image id comes
    first, and within a picture the earlier detection.

    Attributes:
        image_ids: (D,) int64.
        category_ids: (D,) int64.
        found: (T, D) bool: it is the one that finds an object.
        ignored: (T, D) bool: it lies on a crowd, and is neither right nor wrong.
    """

    image_ids: Ints
    category_ids: Ints
    found: Bools
    ignored: Bools


def match(detections: Detections, objects: Objects) -> Matches:
    """Gives every object to a detection that overlaps it, as pycocotools' ``COCOeval.evaluateImg`` does.

    Within a picture and a category detections choose by falling score (the first `MAX_DETECTIONS` of them): each takes
    the object it overlaps most of those nobody has taken, if the IoU reaches the threshold; failing that, a crowd,
    which any number may share and whose overlap is measured against the detection's own area.
    """
    group, object_group = _groups(detections, objects)
    order, rank = _rank(group, detections.scores)
    pairs, candidates = _pairs(group[order], object_group)
    crowd = objects.crowd[candidates]
    iou = _iou(detections.boxes[order[pairs]], objects.boxes[candidates], crowd)
    close = iou >= IOU_THRESHOLDS[0]
    found, ignored = _choose(pairs[close], candidates[close], iou[close], rank, objects.crowd)
    by_score = np.lexsort((-detections.scores[order], detections.category_ids[order]))
    order = order[by_score]
    return Matches(
        detections.image_ids[order], detections.category_ids[order], found[:, by_score], ignored[:, by_score]
    )


def _groups(detections: Detections, objects: Objects) -> tuple[Ints, Ints]:
    """A number for each category in each picture, of (D,) detections and (G,) objects, in the order of image ids."""
    _, categories = np.unique(np.concatenate([detections.category_ids, objects.category_ids]), return_inverse=True)
    image_ids, images = np.unique(np.concatenate([detections.image_ids, objects.image_ids]), return_inverse=True)
    groups = categories * len(image_ids) + images
    return groups[: len(detections.scores)], groups[len(detections.scores) :]


def _rank(group: Ints, scores: Floats) -> tuple[Ints, Ints]:
    """Rows by group and falling score, as many of each group as count, and the place of each in its group, from 0."""
    order = np.lexsort((-scores, group))
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return order[rank < MAX_DETECTIONS], rank[rank < MAX_DETECTIONS]


def _pairs(detection_groups: Ints, object_groups: Ints) -> tuple[Ints, Ints]:
    """Every detection with every object of its group: (P,) and (P,) rows, the objects of one in their own order."""
    by_group = np.argsort(object_groups, kind="stable")
    starts = np.searchsorted(object_groups[by_group], detection_groups, side="left")
    counts = np.searchsorted(object_groups[by_group], detection_groups, side="right") - starts
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(np.arange(len(counts)), counts), by_group[np.repeat(starts, counts) + within]


def _iou(detections: Floats, objects: Floats, crowd: Bools) -> Floats:
    """Intersection over union of (P, 4) boxes with (P, 4) others; over the detection's own area for a crowd."""
    near = np.maximum(detections[:, :2], objects[:, :2])
    far = np.minimum(detections[:, :2] + detections[:, 2:], objects[:, :2] + objects[:, 2:])
    intersection = np.prod(np.maximum(far - near, 0), axis=1)
    area = np.prod(detections[:, 2:], axis=1)
    union = np.where(crowd, area, area + np.prod(objects[:, 2:], axis=1) - intersection)
    iou: Floats = np.divide(intersection, union, out=np.zeros_like(union), where=intersection > 0)
    return iou


def _choose(pairs: Ints, candidates: Ints, iou: Floats, rank: Ints, crowd: Bools) -> tuple[Bools, Bools]:
    """The greedy choice: in round r the detections of rank r choose, in all pictures and classes at once.

    Args:
        pairs: (P,) place of the detection.
        candidates: (P,) row of the object.
        iou: (P,).
        rank: (D,) of each detection.
        crowd: (G,).

    Returns:
        (T, D) bool: found an object; (T, D) bool: lies on a crowd.
    """
    thresholds = IOU_THRESHOLDS[:, None]
    found, ignored = np.zeros((2, len(thresholds), len(rank)), bool)
    taken = np.zeros((len(thresholds), len(crowd)), bool)
    rounds = np.argsort(rank[pairs], kind="stable")
    for turn in np.split(rounds, np.flatnonzero(np.diff(rank[pairs[rounds]])) + 1):
        if not len(turn):
            continue
        row, overlap = candidates[turn], iou[turn]
        starts = np.flatnonzero(np.diff(pairs[turn], prepend=-1))
        chooser = pairs[turn][starts]
        near = overlap >= thresholds
        free = np.where(near & ~taken[:, row] & ~crowd[row], overlap, -1.0)
        best = np.maximum.reduceat(free, starts, axis=1)
        found[:, chooser] = best > 0
        ignored[:, chooser] = np.logical_or.reduceat(near & crowd[row], starts, axis=1) & (best < 0)
        # Of equal overlaps the last object is taken.
        is_best = (free > 0) & (free == np.repeat(best, np.diff(starts, append=len(turn)), axis=1))
        last = np.maximum.reduceat(np.where(is_best, np.arange(len(turn)), -1), starts, axis=1)
        level, place = np.nonzero(last >= 0)
        taken[level, row[last[level, place]]] = True
    return found, ignored
