"""What ``mnv2deploy bench`` prints for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mnv2deploy.cli.table import format_table

if TYPE_CHECKING:
    from mnv2deploy.benchmark.configurations import Configuration
    from mnv2deploy.benchmark.machine import Machine
    from mnv2deploy.benchmark.operators import Profile
    from mnv2deploy.benchmark.others import Others
    from mnv2deploy.benchmark.results import PipelineResult, Result, RunResult

_SLOWEST = 10
_RUNS = """\
P50 is the median of all counted runs, of the whole batch each. PICTURES/S is the batch over their mean time."""
_STAGES = """\
P50 is the median of all counted pictures, for each stage and for all stages of a picture: the medians of the stages
need not add up to that of all. SHARE: of the sum of all times."""
_RATIO = "RATIO: time a picture over the first's, median and quartiles of the rounds."
_MEMORY = """\
PEAK MB: the most a process held, with Python and all libraries. SESSION MB: what the model and its runs added to it."""
_TOO_FEW = """\
-: too few runs to tell (the 90th percentile takes 10, the 99th 100); give more --seconds."""
_NO_MEMORY = "- under memory: this system does not tell."


def run_report(machine: Machine, results: Sequence[RunResult], others: Others | None = None) -> str:
    """The machine, a line for each configuration, and how to read them."""
    costs = _costs(results)
    header = ["MODEL", "THREADS", "BATCH", "PROVIDER", "P50 MS", "P90 MS", "P99 MS", "PICTURES/S", *costs]
    percentiles = [(result.p50_ms, result.p90_ms, result.p99_ms) for result in results]
    times = _alike(*zip(*percentiles, strict=True))
    (rates,) = _alike([result.pictures_per_second for result in results])
    columns = [*zip(*(_cells(result.configuration) for result in results), strict=True), *times, rates]
    table = format_table(
        header, list(zip(*columns, *costs.values(), strict=True)), right=[1, 2, *range(4, len(header))]
    )
    return _timing_report(machine, table, results, others, _RUNS, too_few=any(None in row for row in percentiles))


def pipeline_report(machine: Machine, results: Sequence[PipelineResult], others: Others | None = None) -> str:
    """The machine, a line for each stage of each configuration, and how to read them."""
    costs = _costs(results)
    header = ["MODEL", "THREADS", "PROVIDER", "STAGE", "P50 MS", "P90 MS", "SHARE", *costs]
    stages = [stage for result in results for stage in result.stages]
    p50, p90 = _alike([stage.p50_ms for stage in stages], [stage.p90_ms for stage in stages])
    times = zip(p50, p90, strict=True)
    rows = []
    for index, result in enumerate(results):
        model, threads, _, provider = _cells(result.configuration)
        for stage in result.stages:
            ends = [cells[index] if stage.name == "all" else "" for cells in costs.values()]
            rows.append([model, threads, provider, stage.name, *next(times), f"{stage.share:.1%}", *ends])
            model = threads = provider = ""
    table = format_table(header, rows, right=[1, *range(4, len(header))])
    too_few = any(stage.p90_ms is None for stage in stages)
    return _timing_report(machine, table, results, others, _STAGES, too_few=too_few)


def _timing_report(
    machine: Machine, table: str, results: Sequence[Result], others: Others | None, times: str, *, too_few: bool
) -> str:
    one = len(results) == 1
    rounds = f"{results[0].rounds} rounds" + ("." if one else ", in which all take turns.")
    reading = [rounds, times, *([] if one else [_RATIO]), _MEMORY]
    if too_few:
        reading.append(_TOO_FEW)
    if any(result.session_memory_mb is None for result in results):
        reading.append(_NO_MEMORY)
    reading += _disturbance(others)
    return "\n\n".join([_machine(machine), table, "\n".join(reading)])


def profile_report(
    machine: Machine, profiles: Sequence[tuple[Configuration, Profile]], others: Others | None = None
) -> str:
    """The machine, and for each configuration its operators by type and its slowest nodes."""
    tables = [_profile(configuration, profile) for configuration, profile in profiles]
    return "\n\n".join([_machine(machine), *tables, *_disturbance(others)])


def _profile(configuration: Configuration, profile: Profile) -> str:
    operators = [
        [operator.type, str(operator.calls), f"{operator.ms:.3f}", f"{operator.share:.1%}"]
        for operator in profile.operators
    ]
    rest = profile.run_ms - profile.kernels_ms
    calls = sum(operator.calls for operator in profile.operators)
    operators += [
        ["all operators", str(calls), f"{profile.kernels_ms:.3f}", f"{profile.kernels_ms / profile.run_ms:.1%}"],
        ["between them", "", f"{rest:.3f}", f"{rest / profile.run_ms:.1%}"],
        ["the run", "", f"{profile.run_ms:.3f}", "100.0%"],
    ]
    nodes = [
        [node.name, node.type, "x".join(map(str, node.output_shape)), f"{node.ms:.3f}", f"{node.share:.1%}"]
        for node in profile.nodes[:_SLOWEST]
    ]
    return "\n\n".join(
        [
            f"{configuration}; mean of {profile.runs} runs, onnxruntime's profiler on",
            format_table(["OPERATOR", "CALLS", "MS", "SHARE"], operators, right=[1, 2, 3]),
            format_table(["SLOWEST NODES", "OPERATOR", "OUTPUT", "MS", "SHARE"], nodes, right=[3, 4]),
        ]
    )


def _disturbance(others: Others | None) -> list[str]:
    """A line where other programs disturbed the measurement, none where they did not."""
    if others is None or not others.disturbed:
        return []
    used = f"{others.processors_used:.1f} of {others.processors} processors meanwhile"
    return [f"Other programs were busy ({used}); ratios and shares hold better than times."]


def _machine(machine: Machine) -> str:
    load = "" if machine.load_average is None else f", load average {machine.load_average:.2f}"
    return f"{machine.in_short}, Python {machine.python}{load}"


def _cells(configuration: Configuration) -> list[str]:
    return [configuration.model, str(configuration.threads), str(configuration.batch), configuration.provider]


def _costs(results: Sequence[Result]) -> dict[str, list[str]]:
    """The last columns by name; with a ratio where there is something to compare."""
    (loads,) = _alike([result.load_ms for result in results])
    columns = {
        "LOAD MS": loads,
        "PEAK MB": [_whole(result.peak_memory_mb) for result in results],
        "SESSION MB": [_whole(result.session_memory_mb) for result in results],
    }
    if len(results) > 1:
        ratios = [result.ratio for result in results]
        columns["RATIO"] = [f"{ratio.median:.3f}" for ratio in ratios]
        columns["QUARTILES"] = [f"{ratio.low:.3f}-{ratio.high:.3f}" for ratio in ratios]
    return columns


def _alike(*columns: Sequence[float | None]) -> list[list[str]]:
    """Columns of cells that all have as many decimals as show three digits of the least number, but three at most."""
    least = min((value for column in columns for value in column if value), default=1.0)
    decimals = min(max(2 - math.floor(math.log10(least)), 0), 3)
    return [["-" if value is None else f"{value:.{decimals}f}" for value in column] for column in columns]


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
