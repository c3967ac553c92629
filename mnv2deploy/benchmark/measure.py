"""The measurement itself: every configuration in a process of its own, all in one interleaved run."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnv2deploy.benchmark.configurations import Configuration
from mnv2deploy.benchmark.process import Worker
from mnv2deploy.benchmark.schedule import order, plan
from mnv2deploy.progress import SILENT, Progress

# A process can create its first session only once, so each sample of the load time is a process.
_LOADS = 3


@dataclass(frozen=True, slots=True)
class Samples:
    """What one configuration was measured to do.

    Attributes:
        configuration: What was measured.
        rounds: For each round, for each run of it, the seconds of each stage.
        load_seconds: Creating the session, with everything imported: the median of three new processes.
        memory_before: Bytes, the most its process held before the session was created.
        peak_memory: Bytes, the most it held in all. None where the system tells neither.
    """

    configuration: Configuration
    rounds: tuple[tuple[tuple[float, ...], ...], ...]
    load_seconds: float
    memory_before: int | None
    peak_memory: int | None


def measure(
    configurations: Sequence[Configuration],
    *,
    seconds: float,
    pictures: Sequence[Path] = (),
    progress: Progress = SILENT,
) -> list[Samples]:
    """Loads all, warms all up, and times them in rounds in which each has its turn.

    Args:
        configurations: At least one.
        seconds: To be spent on each.
        pictures: Files to answer, stage by stage; none times the network alone.
        progress: Told of every process started, and of every round.

    Returns:
        One entry a configuration, in their order.

    Raises:
        UsageError: an artifact is not there, or takes another batch, or threads that make no sense.
        ModelError: not an artifact, or it fails at a batch.
        MissingDependencyError: a provider is missing, or memory.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(progress.stop)
        workers, loads = _start(configurations, pictures, stack, progress)
        progress.start("Warming up", len(workers))
        run_seconds = []
        for worker in workers:
            run_seconds.append(worker.warm_up())
            progress.update(len(run_seconds))
        rounds = _rounds(workers, run_seconds, seconds, max(len(pictures), 1), progress)
        return [
            Samples(
                configuration=configuration,
                rounds=tuple(samples),
                load_seconds=statistics.median(load),
                memory_before=worker.memory_before,
                peak_memory=worker.peak_memory(),
            )
            for configuration, worker, samples, load in zip(configurations, workers, rounds, loads, strict=True)
        ]


def _start(
    configurations: Sequence[Configuration],
    pictures: Sequence[Path],
    stack: contextlib.ExitStack,
    progress: Progress,
) -> tuple[list[Worker], list[list[float]]]:
    """A worker for each, which the stack ends; and seconds of each load, those of workers long ended among them."""
    progress.start("Loading", _LOADS * len(configurations))
    loads: list[list[float]] = [[] for _ in configurations]
    workers = []
    for turn in range(_LOADS):
        for index, configuration in enumerate(configurations):
            if turn < _LOADS - 1:
                with Worker(configuration, pictures) as worker:
                    loads[index].append(worker.load_seconds)
            else:
                workers.append(stack.enter_context(Worker(configuration, pictures)))
                loads[index].append(workers[-1].load_seconds)
            progress.update(turn * len(configurations) + index + 1)
    return workers, loads


def _rounds(
    workers: Sequence[Worker], run_seconds: Sequence[float], seconds: float, inputs: int, progress: Progress
) -> list[list[tuple[tuple[float, ...], ...]]]:
    """For each worker, its samples round by round."""
    planned = plan(run_seconds, seconds, inputs)
    rounds: list[list[tuple[tuple[float, ...], ...]]] = [[] for _ in workers]
    progress.start("Rounds", planned.rounds)
    for turn in range(planned.rounds):
        for index in order(len(workers), turn):
            samples = workers[index].burst(planned.burst(turn, index))
            rounds[index].append(tuple(tuple(stages) for stages in samples))
        progress.update(turn + 1)
    return rounds
