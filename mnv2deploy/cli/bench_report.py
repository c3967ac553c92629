"""What ``mnv2deploy bench`` prints for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mnv2deploy.cli.table import format_table

if TYPE_CHECKING:
    from mnv2deploy.benchmark.configurations import Configuration
    from mnv2deploy.benchmark.machine import Machine
    from mnv2deploy.benchmark.operators import Profile
    from mnv2deploy.benchmark.results import PipelineResult, Result, RunResult

_SLOWEST = 10
_READING = """\
{rounds} rounds, in which all take turns. RATIO: time a picture over the first's, median and quartiles of the rounds.
PEAK MB: the most a process held, with Python and all libraries. SESSION MB: what the model and its runs added to it."""
_COSTS = ["LOAD MS", "PEAK MB", "SESSION MB", "RATIO", "QUARTILES"]


def run_report(machine: Machine, results: Sequence[RunResult]) -> str:
    """The machine, a line for each configuration, and how to read them."""
    header = ["MODEL", "THREADS", "BATCH", "PROVIDER", "P50 MS", "P90 MS", "P99 MS", "PICTURES/S", *_COSTS]
    rows = [
        [
            *_cells(result.configuration),
            *map(_number, (result.p50_ms, result.p90_ms, result.p99_ms, result.pictures_per_second)),
            *_costs(result),
        ]
        for result in results
    ]
    return _timing_report(machine, format_table(header, rows, right=[1, 2, *range(4, len(header))]), results)


def pipeline_report(machine: Machine, results: Sequence[PipelineResult]) -> str:
    """The machine, a line for each stage of each configuration, and how to read them."""
    header = ["MODEL", "THREADS", "PROVIDER", "STAGE", "P50 MS", "P90 MS", "SHARE", *_COSTS]
    rows = []
    for result in results:
        model, threads, _, provider = _cells(result.configuration)
        for stage in result.stages:
            costs = _costs(result) if stage.name == "all" else [""] * len(_COSTS)
            times = [_number(stage.p50_ms), _number(stage.p90_ms), f"{stage.share:.1%}"]
            rows.append([model, threads, provider, stage.name, *times, *costs])
            model = threads = provider = ""
    return _timing_report(machine, format_table(header, rows, right=[1, *range(4, len(header))]), results)


def _timing_report(machine: Machine, table: str, results: Sequence[Result]) -> str:
    return f"{_machine(machine)}\n\n{table}\n\n{_READING.format(rounds=results[0].rounds)}"


def profile_report(machine: Machine, profiles: Sequence[tuple[Configuration, Profile]]) -> str:
    """The machine, and for each configuration its operators by type and its slowest nodes."""
    return "\n\n".join([_machine(machine), *(_profile(configuration, profile) for configuration, profile in profiles)])


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


def _machine(machine: Machine) -> str:
    load = "" if machine.load_average is None else f", load average {machine.load_average:.2f}"
    return f"{machine.in_short}, Python {machine.python}{load}"


def _cells(configuration: Configuration) -> list[str]:
    return [configuration.model, str(configuration.threads), str(configuration.batch), configuration.provider]


def _costs(result: Result) -> list[str]:
    """The cells under `_COSTS`."""
    ratio = result.ratio
    return [
        _number(result.load_ms),
        _whole(result.peak_memory_mb),
        _whole(result.session_memory_mb),
        f"{ratio.median:.3f}",
        f"{ratio.low:.3f}-{ratio.high:.3f}",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
