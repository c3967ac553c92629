"""What a `Verdict` is made of, measured: files, a labelled set, times."""

from __future__ import annotations

from pathlib import Path

from mnv2deploy.benchmark.configurations import Configuration
from mnv2deploy.benchmark.machine import this_machine
from mnv2deploy.benchmark.measure import measure
from mnv2deploy.benchmark.others import OthersWatch
from mnv2deploy.benchmark.results import run_results
from mnv2deploy.evaluation.measuring import Evaluation
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.quantization.verdict import Metric, Size, Speed


def measure_size(floats: Path, quantized: Path) -> Size:
    """Of the files on disk."""
    return Size(float_bytes=floats.stat().st_size, quantized_bytes=quantized.stat().st_size)


def read_metric(evaluation: Evaluation) -> Metric:
    """The first metric.

    Args:
        evaluation: Of the float network and the quantized one, in this order.
    """
    floats, quantized = evaluation.models
    (difference,) = evaluation.differences
    name = next(iter(floats.metrics))
    return Metric(
        name=name,
        pictures=len(evaluation.items),
        float_value=floats.metrics[name],
        quantized_value=quantized.metrics[name],
        difference=difference.metrics[name],
        interval=difference.intervals.get(name),
        certain=difference.is_certain(name),
    )


def measure_speed(floats: Path, quantized: Path, *, seconds: float = 2.0, progress: Progress = SILENT) -> Speed:
    """Times both networks in rounds in which both have a turn, see `benchmark`.

    Args:
        floats: The float artifact.
        quantized: The quantized one.
        seconds: To be spent on each.
        progress: Told of every round.
    """
    machine = this_machine()
    watch = OthersWatch(machine.available_processors)
    configurations = [
        Configuration(name, path, threads=1, batch=1, provider="cpu")
        for name, path in (("float32", floats), ("int8", quantized))
    ]
    one, other = run_results(measure(configurations, seconds=seconds, progress=progress))
    others = watch.read()
    return Speed(
        float_ms=one.p50_ms,
        quantized_ms=other.p50_ms,
        speedup=1 / other.ratio.median,
        quartiles=(1 / other.ratio.high, 1 / other.ratio.low),
        machine=machine.in_short,
        disturbed=None if others is None else others.disturbed,
    )
