"""Intervals hold what they promise, in cases where statistics knows the answer."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from mnv2deploy.evaluation.bootstrap import RESAMPLES, difference_interval, interval, resample, resampled_metrics
from mnv2deploy.evaluation.classification import ClassificationDataset, ClassificationRecord

DATASET = ClassificationDataset([], {0: "a", 1: "b"})


def records(right: np.ndarray) -> list[ClassificationRecord]:
    return [ClassificationRecord(0, (0,) if one else (1,), (1.0,)) for one in right]


def accuracy_interval(right: np.ndarray) -> tuple[float, float]:
    return interval(resampled_metrics(DATASET, [records(right)])[0]["top_1"])


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's score interval for a binomial proportion (1927)."""
    z = NormalDist().inv_cdf(0.975)
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return centre - half, centre + half


def test_every_resample_has_as_many_pictures_as_there_are() -> None:
    weights = np.concatenate(list(resample(37)))
    assert weights.shape == (RESAMPLES, 37)
    assert (weights.sum(axis=1) == 37).all()
    assert (weights >= 0).all()
    # Drawn evenly: each picture about a thousand times, and left out of a resample with probability (1 - 1/37)^37.
    assert weights.sum(axis=0) == pytest.approx(np.full(37, RESAMPLES), rel=0.2)
    assert (weights == 0).mean() == pytest.approx((1 - 1 / 37) ** 37, abs=0.01)


def test_resamples_are_the_same_every_time_and_come_in_blocks() -> None:
    first, again = ([block.copy() for block in resample(5000)] for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert len(first) > 1  # not all in memory at once
    assert sum(len(block) for block in first) == RESAMPLES
    assert not np.array_equal(first[0], next(iter(resample(5000, seed=1))))


@pytest.mark.parametrize(("share", "count"), [(0.85, 500), (0.5, 100), (0.97, 1000), (0.3, 40)])
def test_the_interval_of_an_accuracy_is_close_to_the_binomials(share: float, count: int) -> None:
    right = np.arange(count) < round(share * count)
    low, high = accuracy_interval(right)
    assert low < share < high
    assert (low, high) == pytest.approx(wilson(share, count), abs=0.35 / np.sqrt(count))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        low, high = accuracy_interval(generator.random(200) < 0.8)
        covered += low <= 0.8 <= high
    assert 0.90 <= covered / 200 <= 0.98


def test_models_are_compared_on_the_same_resamples() -> None:
    """One picture of 400 is lost: each model alone is uncertain by 6 points, their difference by less than one."""
    generator = np.random.default_rng(0)
    right = generator.random(400) < 0.7
    worse = right.copy()
    worse[np.flatnonzero(right)[0]] = False
    first, second = resampled_metrics(DATASET, [records(right), records(worse)])
    low, high = interval(first["top_1"])
    assert high - low > 0.06
    low, high = interval(second["top_1"] - first["top_1"])
    assert -0.01 < low < 0 == high  # more than a resample in forty lacks the picture


def test_resamples_without_a_value_are_left_out() -> None:
    assert interval(np.array([np.nan, 1.0, 1.0, np.nan])) == (1.0, 1.0)


@pytest.mark.parametrize(("lost", "certain"), [(1, False), (4, False), (5, False), (6, True), (20, True)])
def test_as_few_pictures_as_coins_could_turn_prove_nothing(lost: int, certain: bool) -> None:
    """Exact McNemar: p = 0.125 for four lost and none won, 0.0625 for five, 0.031 for six."""
    right = np.ones(400, bool)
    worse = np.arange(400) >= lost
    both = [records(right), records(worse)]
    first, second = resampled_metrics(DATASET, both)
    low, high = difference_interval(DATASET, both, "top_1", second["top_1"] - first["top_1"])
    assert low < 0
    assert (high < 0) == certain


def test_pictures_far_into_the_set_count_too() -> None:
    right, worse = np.ones(600, bool), np.arange(600) < 590
    both = [records(right), records(worse)]
    first, second = resampled_metrics(DATASET, both)
    assert difference_interval(DATASET, both, "top_1", second["top_1"] - first["top_1"])[1] < 0
