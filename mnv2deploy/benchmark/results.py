"""What was measured, as numbers for people and programs."""

from __future__ import annotations

import abc
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mnv2deploy.benchmark.configurations import Configuration
from mnv2deploy.benchmark.measure import Samples
from mnv2deploy.benchmark.samplers import STAGES
from mnv2deploy.benchmark.summary import Ratio, percentile, ratio, significant


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(abc.ABC):
    """What every configuration has. Times in milliseconds, memory in 10^6 bytes.

    Attributes:
        configuration: What was measured.
        rounds: Bursts of runs, between which the other configurations had theirs.
        samples: Runs, in all of them.
        load_ms: Creating the session, with everything imported and the file in the system's memory.
        peak_memory_mb: The most its process ever held: Python, numpy, OpenCV, onnxruntime, the session, its input.
        session_memory_mb: The part of that which the session and its runs added. None where the system tells neither.
        ratio: Time a picture over that of the first configuration.
    """

    configuration: Configuration
    rounds: int
    samples: int
    load_ms: float
    peak_memory_mb: float | None
    session_memory_mb: float | None
    ratio: Ratio

    def to_json(self) -> dict[str, Any]:
        """The entry of ``configurations`` that `mnv2deploy bench --json` prints."""
        return {
            **self.configuration.to_json(),
            "rounds": self.rounds,
            "samples": self.samples,
            **self._times(),
            "load_ms": significant(self.load_ms),
            "peak_memory_mb": significant(self.peak_memory_mb),
            "session_memory_mb": significant(self.session_memory_mb),
            "ratio": significant(self.ratio.median),
            "ratio_quartiles": [significant(self.ratio.low), significant(self.ratio.high)],
        }

    @abc.abstractmethod
    def _times(self) -> dict[str, Any]:
        """The fields of the JSON that hold times of runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult(Result):
    """How one configuration runs; times are those of a run of the whole batch.

    Attributes:
        p10_ms: Percentiles; None where there are too few samples to tell.
        p50_ms: The median.
        p90_ms: See ``p10_ms``.
        p99_ms: See ``p10_ms``.
        pictures_per_second: Of all pictures over the time of all runs.
    """

    p10_ms: float | None
    p50_ms: float
    p90_ms: float | None
    p99_ms: float | None
    pictures_per_second: float

    def _times(self) -> dict[str, Any]:
        return {
            "p10_ms": significant(self.p10_ms),
            "p50_ms": significant(self.p50_ms),
            "p90_ms": significant(self.p90_ms),
            "p99_ms": significant(self.p99_ms),
            "pictures_per_second": significant(self.pictures_per_second),
        }


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of the way from a picture file to the answer.

    Attributes:
        name: One of `samplers.STAGES`, or ``all``.
        p50_ms: The median over all pictures and rounds.
        p90_ms: The 90th percentile; None where there are too few samples to tell.
        share: Of the time of all, 0..1.
    """

    name: str
    p50_ms: float
    p90_ms: float | None
    share: float

    def to_json(self) -> dict[str, Any]:
        """An entry of ``stages``."""
        return {
            "name": self.name,
            "p50_ms": significant(self.p50_ms),
            "p90_ms": significant(self.p90_ms),
            "share": significant(self.share),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineResult(Result):
    """How one configuration answers pictures, one at a time.

    Attributes:
        stages: `samplers.STAGES` in their order, then ``all``.
    """

    stages: tuple[Stage, ...]

    def _times(self) -> dict[str, Any]:
        return {"stages": [stage.to_json() for stage in self.stages]}


def run_results(measured: Sequence[Samples]) -> list[RunResult]:
    """Sums up what `measure` returned for networks alone; ratios are to the first."""
    return [_run_result(samples, measured[0]) for samples in measured]


def pipeline_results(measured: Sequence[Samples]) -> list[PipelineResult]:
    """Sums up what `measure` returned for pictures; ratios are to the first."""
    return [_pipeline_result(samples, measured[0]) for samples in measured]


def _run_result(samples: Samples, first: Samples) -> RunResult:
    times = [sum(stages) for burst in samples.rounds for stages in burst]
    p10, p90, p99 = (_milliseconds(percentile(times, percent)) for percent in (10, 90, 99))
    return RunResult(
        **_common(samples, first),
        p10_ms=p10,
        p50_ms=statistics.median(times) * 1e3,
        p90_ms=p90,
        p99_ms=p99,
        pictures_per_second=samples.configuration.batch * len(times) / sum(times),
    )


def _pipeline_result(samples: Samples, first: Samples) -> PipelineResult:
    answers = [stages for burst in samples.rounds for stages in burst]
    columns = [*zip(*answers, strict=True), [sum(stages) for stages in answers]]
    total = sum(columns[-1])
    return PipelineResult(
        **_common(samples, first),
        stages=tuple(
            Stage(name, statistics.median(times) * 1e3, _milliseconds(percentile(times, 90)), sum(times) / total)
            for name, times in zip((*STAGES, "all"), columns, strict=True)
        ),
    )


def _common(samples: Samples, first: Samples) -> dict[str, Any]:
    """The fields of `Result`."""
    before, peak = samples.memory_before, samples.peak_memory
    return {
        "configuration": samples.configuration,
        "rounds": len(samples.rounds),
        "samples": sum(map(len, samples.rounds)),
        "load_ms": samples.load_seconds * 1e3,
        "peak_memory_mb": None if peak is None else peak / 1e6,
        "session_memory_mb": None if peak is None or before is None else (peak - before) / 1e6,
        "ratio": ratio(_seconds_a_picture(samples), _seconds_a_picture(first)),
    }


def _seconds_a_picture(samples: Samples) -> list[list[float]]:
    batch = samples.configuration.batch
    return [[sum(stages) / batch for stages in burst] for burst in samples.rounds]


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
