"""Many class ids in few words."""

from __future__ import annotations

from collections.abc import Iterable


def id_ranges(numbers: Iterable[int]) -> str:
    """``0 to 20, 255``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join(" to ".join(map(str, run)) for run in runs)
