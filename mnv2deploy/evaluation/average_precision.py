"""Average precision of many resamples of the same pictures, for confidence intervals.

A picture that a resample holds w times is one whose detections and objects weigh w: what detections find within a
picture does not change, so they are matched once. That equals evaluating the pictures and their copies, except among
detections of one category with the very same score, whose order is arbitrary anyway: there the copies of several such
detections come picture by picture, and here all copies of one detection come together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.evaluation.matching import IOU_THRESHOLDS, Bools, Floats, Ints, Matches, Objects

# pycocotools' own numbers, to the last bit.
_RECALLS = np.linspace(0, 1, 101)
_TINY = np.spacing(1)
# Of an array of detections by resamples, 16 MB; about five such are alive at a time.
_MAX_ELEMENTS = 2**21


def average_precision(
    matches: Matches, objects: Objects, image_ids: Ints, weights: NDArray[np.int64]
) -> tuple[Ints, Floats]:
    """COCO's average precision, interpolated at 101 recalls, of each category and IoU threshold, for each resample.

    Args:
        matches: Of the detections in N pictures.
        objects: Of these pictures.
        image_ids: (N,) int64, of the pictures in the order of the weights.
        weights: (B, N) int64: how often each picture stands in each of B resamples.

    Returns:
        (K,) int64: the categories that have objects; (B, K, T) float64: NaN where a resample has none of a category.
    """
    order = np.argsort(image_ids)
    sorted_ids = image_ids[order]
    by_picture = np.ascontiguousarray(weights[:, order].T, np.float64)
    counted = objects.at(~objects.crowd)
    categories = np.unique(counted.category_ids)
    values = np.empty((len(weights), len(categories), len(IOU_THRESHOLDS)))
    for k, category in enumerate(categories):
        rows = slice(*np.searchsorted(matches.category_ids, [category, category + 1]))
        pictures = np.searchsorted(sorted_ids, matches.image_ids[rows])
        found, ignored = matches.found[:, rows], matches.ignored[:, rows]
        there = np.searchsorted(sorted_ids, counted.image_ids[counted.category_ids == category])
        total = np.bincount(there, minlength=len(by_picture)) @ by_picture
        step = max(1, _MAX_ELEMENTS // max(1, len(pictures)))
        for start in range(0, len(weights), step):
            chunk = slice(start, start + step)
            values[chunk, k] = _of_category(by_picture[:, chunk][pictures], found, ignored, total[chunk])
    return categories, values


def _of_category(weights: Floats, found: Bools, ignored: Bools, total: Floats) -> Floats:
    """Average precision of one category.

    Between two detections that find something precision only falls and recall stands still, so the curve is known
    from these alone.

    Args:
        weights: (D, B) float64, of the detections, by falling score.
        found: (T, D) bool.
        ignored: (T, D) bool.
        total: (B,) float64: the weight of all objects.

    Returns:
        (B, T) float64.
    """
    seen = np.cumsum(weights, axis=0)
    values = np.full((len(total), len(found)), np.nan)
    for t, (hits, crowded) in enumerate(zip(found, ignored, strict=True)):
        rows = np.flatnonzero(hits)
        right = np.cumsum(weights[rows], axis=0)
        counted = seen[rows] - _sum_before(weights, np.flatnonzero(crowded), rows)
        precision = right / (counted + _TINY)
        precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        reached = np.searchsorted(_RECALLS, right / np.maximum(total, 1), side="right")
        values[:, t] = (np.diff(reached, axis=0, prepend=0) * precision).sum(axis=0) / len(_RECALLS)
    values[total == 0] = np.nan
    return values


def _sum_before(weights: Floats, these: Ints, rows: Ints) -> Floats:
    """For each of ``rows`` the weight of those of ``these`` that come before it: (len(rows), B) float64."""
    sums = np.zeros((len(these) + 1, weights.shape[1]))
    np.cumsum(weights[these], axis=0, out=sums[1:])
    return sums[np.searchsorted(these, rows)]
