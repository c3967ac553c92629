"""Models measured on a labelled set: metrics, how certain they are, and how the models differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mnv2deploy.contract import Label
from mnv2deploy.errors import InputError
from mnv2deploy.evaluation.answers import Failure, Keep, answer_all
from mnv2deploy.evaluation.bootstrap import (
    LEAST_PICTURES,
    Floats,
    Interval,
    difference_interval,
    interval,
    resampled_metrics,
)
from mnv2deploy.evaluation.dataset import Dataset, Item
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.runtime.session import Session


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """One model.

    Attributes:
        records: One a picture that was measured.
        metrics: Fractions of 1, the most important first.
        intervals: 95 % bootstrap intervals, of the metrics that have one.
    """

    records: Sequence[Any]
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Difference:
    """One model against the first.

    Attributes:
        metrics: The model's less the first one's.
        intervals: 95 % paired bootstrap intervals of these, of the metrics that have one.
    """

    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]

    def is_certain(self, metric: str) -> bool | None:
        """Whether these pictures can tell the difference from none: its interval leaves out 0. None without one."""
        if metric not in self.intervals:
            return None
        low, high = self.intervals[metric]
        return low > 0 or high < 0


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Some models on the same pictures.

    Attributes:
        items: The pictures that were measured, by all of the models.
        models: In the order given.
        differences: Of each model but the first.
        failures: The other pictures.
    """

    items: Sequence[Item]
    models: Sequence[Measurement]
    differences: Sequence[Difference]
    failures: Sequence[Failure]


def find_problems(sessions: Sequence[Session], dataset: Dataset) -> list[str]:
    """Everything that keeps models from being measured on a data set; what concerns one model only begins with it."""
    found: dict[str, str] = {}
    seen: set[tuple[Label, ...]] = set()
    for session in sessions:
        labels = session.contract.labels
        if labels not in seen:  # models of the same classes have the same problems
            for problem in dataset.problems(session.contract):
                found.setdefault(problem, f"{session.name}: {problem}" if seen else problem)
        seen.add(labels)
    return list(found.values())


def measure(
    sessions: Sequence[Session],
    dataset: Dataset,
    *,
    threads: int,
    batch: int = 1,
    keep: Keep | None = None,
    progress: Progress = SILENT,
) -> Evaluation:
    """Runs models over a labelled set and compares them.

    Args:
        sessions: Of the data set's task, opened with one thread each.
        dataset: Which has no problems with any of them.
        threads: Pictures, or batches of them, at a time.
        batch: Pictures in one run of a session.
        keep: Given every answer of every model, from several threads at once.
        progress: Told what is being done.

    Raises:
        InputError: no picture could be measured.
        UsageError: a graph does not take batches of that size.
    """
    options: dict[str, Any] = {"threads": threads, "batch": batch, "keep": keep, "progress": progress}
    answers = [answer_all(session, dataset, **options) for session in sessions]
    # A picture counts only where every model answered it: differences are between answers to the same pictures.
    failures = {failure.file: failure for of_model in answers for failure in of_model if isinstance(failure, Failure)}
    measured = [index for index, item in enumerate(dataset.items) if str(item.path) not in failures]
    if not measured:
        raise InputError(
            f"None of the {len(failures)} pictures could be measured; {next(iter(failures.values())).error}"
        )
    records = [[of_model[index] for index in measured] for of_model in answers]
    metrics = [dataset.metrics(of_model) for of_model in records]
    resampled: list[dict[str, Floats]] = [{} for _ in sessions]
    if len(measured) >= LEAST_PICTURES:
        resampled = resampled_metrics(dataset, records, progress)
    models = [Measurement(*of_model) for of_model in zip(records, metrics, map(_intervals, resampled), strict=True)]
    differences = [
        Difference(
            {name: value - metrics[0][name] for name, value in metrics[index].items() if name in metrics[0]},
            {
                name: difference_interval(dataset, [records[0], records[index]], name, values - resampled[0][name])
                for name, values in resampled[index].items()
                if not np.isnan(values - resampled[0][name]).all()
            },
        )
        for index in range(1, len(sessions))
    ]
    return Evaluation([dataset.items[index] for index in measured], models, differences, list(failures.values()))


def _intervals(resampled: Mapping[str, Floats]) -> dict[str, Interval]:
    """Of one model's metrics; none where all resamples agree, as on pictures that it gets right without exception."""
    known = {name: interval(values) for name, values in resampled.items() if not np.isnan(values).all()}
    return {name: (low, high) for name, (low, high) in known.items() if low < high}
