"""Tables for people."""

from typing import Any

from mnv2deploy.cli.table import format_table
from quantizers.results import Group, Row

METRICS = {"top_1": "top-1", "mean_iou": "mIoU"}
EXPLANATION = """\
(interval): 95 % of the difference to float32 on the same pictures. same: share of the answers that are float32's, by
picture (its likeliest class) or by pixel. SQNR: of the first output against float32's, dB. ms: of a run in onnxruntime,
one thread. time: that over float32's in the same rounds, median and quartiles; under 1 is faster. s, CPU s, GB:
what quantizing took, from start to end, of all its threads, and its largest process's memory."""


def table(group: Group) -> list[list[str]]:
    """Header and rows."""
    metric = next(iter(group.rows[0].metrics))
    header = ["quantizer", "settings", METRICS.get(metric, metric), "(interval)", "same", "SQNR"]
    return [[*header, "ms", "time", "MB", "s", "CPU s", "GB"], *(_cells(row, metric) for row in group.rows)]


def title(group: Group) -> str:
    """What the table is of."""
    return f"{group.model}: {group.pictures} labelled pictures, calibrated on {group.calibration}"


def text(group: Group) -> str:
    """For a terminal."""
    header, *rows = table(group)
    lines = format_table(header, rows, right=range(2, len(header)))
    return "\n".join([title(group), lines, *(f"left out: {name}: {why}" for name, why in group.left_out.items())])


def markdown(groups: list[Group], machine: dict[str, Any], date: str, command: str) -> str:
    """A section of a document."""
    flags = ", ".join(machine["flags"]) or "none of note"
    parts = [
        f"`{command}`, {date}, {machine['cores']} cores of {machine['processor']} ({flags}), {machine['system']}, "
        f"Python {machine['python']}.",
        EXPLANATION,
    ]
    for group in groups:
        header, *rows = table(group)
        alignment = ["---" if column < 2 else "---:" for column in range(len(header))]
        lines = [f"| {' | '.join(line)} |" for line in (header, alignment, *rows)]
        parts += [f"### {title(group)}", "\n".join(lines)]
        if group.left_out:
            parts.append("\n".join(f"- Left out: {name}: {why}." for name, why in group.left_out.items()))
    return "\n\n".join(parts) + "\n"


def _cells(row: Row, metric: str) -> list[str]:
    median, low, high = row.time_ratio
    return [
        row.name,
        row.settings,
        _score(row.metrics[metric], metric),
        _interval(row, metric),
        "" if row.agreement is None else f"{row.agreement:.1%}",
        "" if row.sqnr is None else f"{row.sqnr:.1f}",
        f"{row.milliseconds:.2f}",
        "1" if row.difference is None else f"{median:.2f} ({low:.2f}-{high:.2f})",
        f"{row.size / 1e6:.1f}",
        *_cost(row),
    ]


def _cost(row: Row) -> list[str]:
    seconds, used, memory = (row.cost.get(name) for name in ("seconds", "processor_seconds", "peak_memory"))
    return [
        "" if seconds is None else f"{seconds:.0f}",
        "" if used is None else f"{used:.0f}",
        "" if memory is None else f"{memory / 1e9:.1f}",
    ]


def _score(value: float, metric: str) -> str:
    """In percent where the field says percent, AP and mIoU as fractions."""
    return f"{value:.1%}" if metric == "top_1" else f"{value:.3f}"


def _interval(row: Row, metric: str) -> str:
    if row.difference is None or row.difference[1] is None or row.difference[2] is None:
        return ""
    scale, digits = (100, 1) if metric == "top_1" else (1, 3)
    return " to ".join(f"{end * scale:+.{digits}f}" for end in row.difference[1:] if end is not None)
