"""How far a metric could be off because these pictures were measured and not others: bootstrap resampling.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13: as many pictures as there are are drawn from
them with replacement, over and over, and the metric is computed of each draw. The middle 95 % of its values are the
interval. Two models are compared on the same draws, so what makes a draw hard or easy cancels in their difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.evaluation.dataset import Dataset
from mnv2deploy.progress import SILENT, Progress

RESAMPLES = 1000
LEVEL = 0.95
# A handful of pictures says next to nothing of others, and the interval would not say so.
LEAST_PICTURES = 20
# Five tossed coins fall on the same side once in 16 times, six once in 32: fewer pictures that tell two models apart
# prove nothing at the level of 95 % (the sign test, McNemar's for accuracies).
LEAST_DIFFERING = 6

Interval = tuple[float, float]
Floats = NDArray[np.float64]

_SEED = 0
_BLOCK = 2**20  # weights at a time, 8 MB
_ALONE = 256  # pictures looked at one by one in one go


def resample(pictures: int, seed: int = _SEED) -> Iterator[NDArray[np.int64]]:
    """How often each picture is drawn in each of `RESAMPLES` resamples, the same for the same number of pictures.

    Yields:
        (B, pictures), some resamples at a time so that memory does not grow with the pictures.
    """
    generator = np.random.default_rng(seed)
    step = max(_BLOCK // pictures, 1)
    for start in range(0, RESAMPLES, step):
        weights = np.empty((min(step, RESAMPLES - start), pictures), np.int64)
        for row in weights:
            row[:] = np.bincount(generator.integers(pictures, size=pictures), minlength=pictures)
        yield weights


def resampled_metrics(
    dataset: Dataset, records: Sequence[Sequence[Any]], progress: Progress = SILENT
) -> list[dict[str, Floats]]:
    """The metrics of every resample of the pictures.

    Args:
        dataset: Which they are from.
        records: Of each model, of the same pictures in the same order.
        progress: Told how many resamples are done.

    Returns:
        For each model the (`RESAMPLES`,) values of each metric that has intervals; of equal index in all models is
        what was measured on the same resample. NaN where a resample has no value.
    """
    progress.start("Resampling", total=RESAMPLES)
    parts: list[list[dict[str, Floats]]] = [[] for _ in records]
    done = 0
    for weights in resample(len(records[0])):
        for part, of_model in zip(parts, records, strict=True):
            part.append(dataset.resampled_metrics(of_model, weights))
        progress.update(done := done + len(weights))
    progress.stop()
    return [{name: np.concatenate([block[name] for block in part]) for name in part[0]} for part in parts]


def interval(values: Floats) -> Interval:
    """The middle `LEVEL` of some values; NaN are left out."""
    low, high = np.nanquantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return low, high


def difference_interval(dataset: Dataset, records: Sequence[Sequence[Any]], metric: str, values: Floats) -> Interval:
    """The interval of a difference between two models; it has 0 in it where too few pictures tell them apart.

    Resamples of four pictures lost and none won nearly all have some of the four, and would call that certain.

    Args:
        dataset: Which the pictures are from.
        records: Of the two models, of the same pictures in the same order.
        metric: Which one differs.
        values: (`RESAMPLES`,) its difference on each resample.
    """
    low, high = interval(values)
    if (low > 0 or high < 0) and not _enough_differ(dataset, records, metric):
        return min(low, 0.0), max(high, 0.0)
    return low, high


def _enough_differ(dataset: Dataset, records: Sequence[Sequence[Any]], metric: str) -> bool:
    """Whether a metric of single pictures differs for `LEAST_DIFFERING` of them."""
    pictures, found = len(records[0]), 0
    for start in range(0, pictures, _ALONE):
        alone = np.eye(min(_ALONE, pictures - start), pictures, start, dtype=np.int64)
        one, other = (dataset.resampled_metrics(of_model, alone)[metric] for of_model in records)
        found += int((np.nan_to_num(one) != np.nan_to_num(other)).sum())
        if found >= LEAST_DIFFERING:
            return True
    return False
