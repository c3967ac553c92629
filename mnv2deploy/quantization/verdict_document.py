"""A verdict as a table and as JSON: the numbers of both, and of the report, are these."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from mnv2deploy.quantization.agreement import MEANINGS
from mnv2deploy.quantization.comparison import LayerComparison, worst_layers
from mnv2deploy.quantization.verdict import Verdict, conclusion, is_worth_shipping, megabytes, metric_name

HEADER = ("", "FLOAT32", "INT8", "DIFFERENCE")
_WORST = 5


def to_rows(verdict: Verdict) -> list[tuple[str, str, str, str]]:
    """The one table, under `HEADER`: size, accuracy, speed, the worst layers."""
    size, speed, answers = verdict.size, verdict.speed, verdict.answers
    smaller = f"{size.ratio:.2f} times smaller" if size.ratio >= 1 else f"{1 / size.ratio:.2f} times larger"
    rows = [("size, MB", megabytes(size.float_bytes), megabytes(size.quantized_bytes), smaller), *_metric_rows(verdict)]
    pictures = "1 picture" if answers.pictures == 1 else f"{answers.pictures} pictures"
    what = {"classify": "classes", "detect": "detections", "segment": "pixels"}[answers.task]
    reach = "" if answers.interval is None else "({:.1f} to {:.1f}) ".format(*(100 * end for end in answers.interval))
    rows.append((f"same {what}, %", "", f"{100 * answers.agreement:.1f}", f"{reach}on {pictures}"))
    rows += [(f"SQNR of {name}, dB", "", decibels(sqnr), "") for name, sqnr in answers.sqnr.items()]
    low, high = speed.quartiles
    faster = f"{speed.speedup:.2f} times as fast ({low:.2f} to {high:.2f})"
    rows.append(("time, ms, 1 thread", f"{speed.float_ms:.2f}", f"{speed.quantized_ms:.2f}", faster))
    for place, layer in enumerate(worst_layers(verdict.layers, _WORST)):
        title = "least SQNR of layers so far, dB" if place == 0 else ""
        rows.append((title, "", decibels(layer.sqnr), layer.name if layer.quantized else f"{layer.name} (float32)"))
    return rows


def _metric_rows(verdict: Verdict) -> list[tuple[str, str, str, str]]:
    if (metric := verdict.metric) is None:
        return []
    difference = f"{100 * metric.difference:+.2f}"
    if metric.interval is not None:
        low, high = metric.interval
        unclear = "" if metric.certain else ", unclear"
        difference += f" ({100 * low:+.2f} to {100 * high:+.2f}{unclear})"
    difference += f" on {metric.pictures} pictures"
    values = (f"{100 * metric.float_value:.2f}", f"{100 * metric.quantized_value:.2f}")
    return [(f"{metric_name(metric.name)}, %", *values, difference)]


def decibels(sqnr: float) -> str:
    """To a tenth; ``exact`` where there is no noise."""
    return f"{sqnr:.1f}" if math.isfinite(sqnr) else "exact"


def to_document(verdict: Verdict, failures: Sequence[str] = ()) -> dict[str, Any]:
    """What --json prints and the report carries. Fractions are of 1; an SQNR is null where nothing differs.

    Args:
        verdict: What was measured.
        failures: What `judge` found.
    """
    answers, metric = verdict.answers, verdict.metric
    return {
        "worth_shipping": is_worth_shipping(verdict, failures),
        "conclusion": conclusion(verdict, failures),
        "failed_gates": list(failures),
        "size": {**dataclasses.asdict(verdict.size), "ratio": verdict.size.ratio},
        "answers": {
            "pictures": answers.pictures,
            "agreement": answers.agreement,
            "agreement_of": MEANINGS[answers.task],
            "interval": _pair(answers.interval),
            "sqnr_db": {name: finite(sqnr) for name, sqnr in answers.sqnr.items()},
            "differing": [
                {"picture": differing.picture, "agreement": differing.agreement} for differing in answers.differing
            ],
            "failures": [dataclasses.asdict(failure) for failure in answers.failures],
        },
        "metric": None if metric is None else {**dataclasses.asdict(metric), "interval": _pair(metric.interval)},
        "speed": {**dataclasses.asdict(verdict.speed), "quartiles": list(verdict.speed.quartiles), "threads": 1},
        "layers": [_layer(layer) for layer in verdict.layers],
    }


def _layer(layer: LayerComparison) -> dict[str, Any]:
    return {
        "name": layer.name,
        "op": layer.op,
        "quantized": layer.quantized,
        "sqnr_db": finite(layer.sqnr),
        "float_range": [layer.low, layer.high],
        "covered_range": _pair(layer.covered),
        "scale": layer.scale,
    }


def finite(sqnr: float) -> float | None:
    """JSON has no infinity."""
    return sqnr if math.isfinite(sqnr) else None


def _pair(ends: tuple[float, float] | None) -> list[float] | None:
    return None if ends is None else list(ends)
