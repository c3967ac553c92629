"""Where the time of a run goes: onnxruntime's own record of every operator, added up."""

from __future__ import annotations

import bisect
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mnv2deploy.benchmark.configurations import Configuration
from mnv2deploy.benchmark.samplers import RunSampler
from mnv2deploy.benchmark.schedule import warm_up
from mnv2deploy.benchmark.summary import significant
from mnv2deploy.runtime.session import Session

_KERNEL = "_kernel_time"
# onnxruntime records a million events and then no more; a network here has about a hundred an operator run.
_MIN_RUNS, _MAX_RUNS = 5, 400


@dataclass(frozen=True, slots=True)
class Operator:
    """All nodes of one type.

    Attributes:
        type: ONNX or onnxruntime operator, such as ``Conv`` or ``ReorderInput``.
        calls: In one run.
        ms: Of one run, all calls together.
        share: Of the run, 0..1.
    """

    type: str
    calls: int
    ms: float
    share: float


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the graph as onnxruntime rewrote it.

    Attributes:
        name: In that graph.
        type: See `Operator`.
        output_shape: Of its first output.
        ms: Of one run.
        share: Of the run, 0..1.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    ms: float
    share: float


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the time goes.

    Attributes:
        runs: That were averaged: the half around the median, so that what disturbed single runs is left out.
        run_ms: The whole run. Recording makes it some per cent longer than it is otherwise.
        kernels_ms: The part of it inside operators. Their times are cut to whole microseconds, each.
        operators: The most expensive first.
        nodes: The slowest first.
    """

    runs: int
    run_ms: float
    kernels_ms: float
    operators: tuple[Operator, ...]
    nodes: tuple[Node, ...]

    def to_json(self) -> dict[str, Any]:
        """Its part of the entry of ``configurations`` that `mnv2deploy bench --profile --json` prints."""
        return {
            "profiled_runs": self.runs,
            "run_ms": significant(self.run_ms),
            "kernels_ms": significant(self.kernels_ms),
            "operators": [_to_json(operator) for operator in self.operators],
            "nodes": [_to_json(node) for node in self.nodes],
        }


def profile(configuration: Configuration, seconds: float) -> Profile:
    """Runs a configuration, warm, under onnxruntime's profiler.

    Args:
        configuration: What to run.
        seconds: How long.

    Raises:
        Mnv2deployError: whatever opening the artifact raises, see `measure`.
    """
    with tempfile.TemporaryDirectory() as folder:
        session = Session(
            configuration.artifact,
            threads=configuration.threads,
            provider=configuration.provider,
            profile=Path(folder),
        )
        sampler = RunSampler(session, configuration.batch)
        run_seconds = warm_up(lambda: sum(sampler(0)))
        runs = min(max(int(seconds / run_seconds), _MIN_RUNS), _MAX_RUNS)
        for _ in range(runs):
            sampler(0)
        events = json.loads(session.end_profiling().read_bytes())
    return add_up(events, runs)


def add_up(events: Sequence[dict[str, Any]], runs: int) -> Profile:
    """Adds up a record.

    Args:
        events: In Chrome's trace format: ``model_run`` of each run, in it ``NODE_kernel_time`` of each operator; ``ts``
            and ``dur`` in microseconds.
        runs: Take the last so many.
    """
    spans = [(event["ts"], event["dur"]) for event in events if event["name"] == "model_run"]
    spans = sorted(sorted(spans)[-runs:], key=lambda span: span[1])
    kept = sorted(spans[len(spans) // 4 : len(spans) - len(spans) // 4])
    kernels = [event for event in events if event["name"].endswith(_KERNEL) and _inside(event["ts"], kept)]
    run = sum(duration for _, duration in kept) / len(kept)

    def cost(durations: Sequence[int]) -> tuple[float, float]:
        """Milliseconds a run, and share of it."""
        microseconds = sum(durations) / len(kept)
        return microseconds / 1e3, microseconds / run

    by_type, by_node = defaultdict[str, list[int]](list), defaultdict[tuple[str, str], list[int]](list)
    arguments: dict[tuple[str, str], dict[str, Any]] = {}
    for event in kernels:
        node = event["name"].removesuffix(_KERNEL), event["args"]["node_index"]  # names need not be unique
        arguments[node] = event["args"]
        by_type[event["args"]["op_name"]].append(event["dur"])
        by_node[node].append(event["dur"])
    operators = [Operator(kind, round(len(times) / len(kept)), *cost(times)) for kind, times in by_type.items()]
    nodes = [
        Node(node[0], arguments[node]["op_name"], _shape(arguments[node]), *cost(times))
        for node, times in by_node.items()
    ]
    return Profile(
        runs=len(kept),
        run_ms=run / 1e3,
        kernels_ms=cost([event["dur"] for event in kernels])[0],
        operators=tuple(sorted(operators, key=lambda operator: -operator.ms)),
        nodes=tuple(sorted(nodes, key=lambda node: -node.ms)),
    )


def _to_json(entry: Operator | Node) -> dict[str, Any]:
    return {**asdict(entry), "ms": significant(entry.ms), "share": significant(entry.share)}


def _inside(moment: int, spans: Sequence[tuple[int, int]]) -> bool:
    place = bisect.bisect_right(spans, moment, key=lambda span: span[0]) - 1
    return place >= 0 and moment < sum(spans[place])


def _shape(arguments: dict[str, Any]) -> tuple[int, ...]:
    """Of the first of ``output_type_shape``, a list of ``{type: shape}``."""
    shapes = arguments.get("output_type_shape") or [{"": []}]
    return tuple(next(iter(shapes[0].values())))
