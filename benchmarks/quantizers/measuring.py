"""Metrics, closeness and times of some models beside the float32 one."""

from collections.abc import Sequence
from pathlib import Path

from mnv2deploy.benchmark.configurations import combine
from mnv2deploy.benchmark.measure import measure as measure_times
from mnv2deploy.benchmark.results import run_results
from mnv2deploy.errors import InputError, UsageError
from mnv2deploy.evaluation.dataset import evenly_spaced
from mnv2deploy.evaluation.layouts import TASKS, open_dataset, recognise
from mnv2deploy.evaluation.measuring import Difference, find_problems, measure
from mnv2deploy.progress import Progress
from mnv2deploy.runtime.processors import available_processors
from mnv2deploy.runtime.session import Session
from quantizers.comparison import compare
from quantizers.making import Made
from quantizers.results import Row


def measure_models(
    artifact: Path, models: Sequence[Made], labelled: Path, *, limit: int | None, seconds: float, progress: Progress
) -> tuple[list[Row], int]:
    """Measures them.

    Args:
        artifact: The float32 one.
        models: Quantized ones.
        labelled: Data set of the artifact's task.
        limit: Take so many of its pictures, evenly spaced; None takes all.
        seconds: Of timing for each model.
        progress: Told what is being done.

    Returns:
        The float32 row and one a model; and the number of pictures.

    Raises:
        UsageError: the data set is for another task.
        InputError: it cannot be measured on as it is.
    """
    paths = [("float32", artifact), *((made.name, made.path) for made in models)]
    sessions = [Session(path, threads=1, name=name) for name, path in paths]
    reference = sessions[0]
    layout = recognise(labelled)
    if TASKS[layout] != reference.contract.task:
        raise UsageError(f"{artifact} is a model to {reference.contract.task} with, and {labelled} is not for that.")
    dataset = open_dataset(labelled, layout, reference.contract, progress)
    dataset.items = evenly_spaced(dataset.items, limit)
    if problems := find_problems(sessions, dataset):
        raise InputError(f"{labelled} cannot be measured on as it is: {problems[0]}")
    threads = available_processors()
    evaluation = measure(sessions, dataset, threads=threads, progress=progress)
    closeness = compare(reference, sessions[1:], evaluation.items, threads, progress)
    times = run_results(measure_times(combine(paths, [1], [1], ["cpu"]), seconds=seconds, progress=progress))
    rows = [
        Row(
            name=name,
            settings="" if index == 0 else models[index - 1].settings,
            metrics=dict(evaluation.models[index].metrics),
            difference=None if index == 0 else _difference(evaluation.differences[index - 1]),
            agreement=None if index == 0 else closeness[index - 1].agreement,
            sqnr=None if index == 0 else closeness[index - 1].sqnr,
            milliseconds=time.p50_ms,
            time_ratio=(time.ratio.median, time.ratio.low, time.ratio.high),
            size=path.stat().st_size,
            cost={} if index == 0 else models[index - 1].cost,
        )
        for index, ((name, path), time) in enumerate(zip(paths, times, strict=True))
    ]
    return rows, len(evaluation.items)


def _difference(difference: Difference) -> tuple[float, float | None, float | None]:
    metric, value = next(iter(difference.metrics.items()))
    low, high = difference.intervals.get(metric, (None, None))
    return value, low, high
