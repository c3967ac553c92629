"""From samples to numbers: percentiles that the samples can bear, and ratios with their spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

Rounds = Sequence[Sequence[float]]  # seconds of each run, a list for each round


@dataclass(frozen=True, slots=True)
class Ratio:
    """How long one takes over how long another takes, round for round.

    Attributes:
        median: Of the rounds' ratios.
        low: Their lower quartile.
        high: Their upper quartile.
    """

    median: float
    low: float
    high: float


def percentile(samples: Sequence[float], percent: int) -> float | None:
    """A percentile, interpolated linearly; None where there are too few samples to tell.

    Above the 90th of 10 samples lies one of them, above the 99th of 100: with fewer, the answer would be little else
    than the greatest. So it takes ``100 / (100 - percent)`` samples, and below the median ``100 / percent``.
    """
    if len(samples) * min(percent, 100 - percent) < 100:
        return None
    return float(np.percentile(samples, percent))


def ratio(rounds: Rounds, reference: Rounds) -> Ratio:
    """Compares medians round by round, so that what slowed a whole round slowed both.

    Args:
        rounds: Samples of one thing.
        reference: Samples of what it is compared with, taken in the same rounds.
    """
    ratios = [
        statistics.median(mine) / statistics.median(theirs) for mine, theirs in zip(rounds, reference, strict=True)
    ]
    low, middle, high = np.percentile(ratios, [25, 50, 75]).tolist()
    return Ratio(middle, low, high)


@overload
def significant(number: float) -> float: ...
@overload
def significant(number: None) -> None: ...
def significant(number: float | None) -> float | None:
    """Five significant digits, for JSON: more than any clock here can vouch for."""
    return None if number is None else float(f"{number:.5g}")
