"""Tables for people."""

import statistics
from typing import Any

from engines.results import SWAP, Group, Row, ratio, times

COLUMNS = {"model": "model", "answer": "answer", SWAP: "engine swap"}
EXPLANATION = """\
model: prepared tensor to raw outputs. answer: picture file to top 5, boxes or mask, in the code a careful user of
that engine writes. engine swap: computed, not run: our answer less our model time plus the engine's. ms: median of the
rounds. x ours: the engine's time over ours in the same round, median and quartiles of the rounds; over 1 is slower than
ours. error: largest difference of the outputs from ours, over their range. same: share of the answers that are ours."""


def cells(row: Row, ours: Row) -> list[str]:
    """One engine's."""
    entries = [row.engine, row.description]
    for kind in COLUMNS:
        entries.append(f"{statistics.median(times(row, ours, kind)) * 1e3:.2f}")
        of_ours = ratio(row, ours, kind)
        spread = f"({of_ours['lower_quartile']:.2f}-{of_ours['upper_quartile']:.2f})"
        entries.append("1" if row is ours else f"{of_ours['median']:.2f} {spread}")
    return [*entries, "" if row is ours else f"{row.error:.0e}", "" if row is ours else f"{row.same_answers:.1%}"]


def header() -> list[str]:
    """The columns' names."""
    pairs = [name for column in COLUMNS.values() for name in (f"{column} ms", "x ours")]
    return ["engine", "version", *pairs, "error", "same"]


def title(group: Group) -> str:
    """What the table is of."""
    threads = "1 thread" if group.threads == 1 else f"{group.threads} threads"
    rounds = len(group.rows[0].seconds["model"])
    calm = sum(row.undisturbed for row in group.rows) / sum(row.calls for row in group.rows)
    return f"{group.model}, {group.precision}, {threads}, {rounds} rounds, {calm:.0%} of the calls undisturbed"


def text(group: Group) -> str:
    """For a terminal."""
    lines = [header(), *(cells(row, group.rows[0]) for row in group.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    table = [
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([title(group), *table, *(f"left out: {name}: {why}" for name, why in group.left_out.items())])


def markdown(groups: list[Group], machine: dict[str, Any], date: str, command: str) -> str:
    """A section of a document."""
    flags = ", ".join(machine["flags"]) or "none of note"
    parts = [
        f"`{command}`, {date}, {machine['cores']} cores of {machine['processor']} ({flags}), {machine['system']}, "
        f"Python {machine['python']}.",
        EXPLANATION,
    ]
    for group in groups:
        rows = [header(), ["---"] * len(header()), *(cells(row, group.rows[0]) for row in group.rows)]
        parts.append(f"### {title(group)}\n\nPictures: {group.pictures}.")
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
        if group.left_out:
            parts.append("\n".join(f"- Left out: {name}: {why}." for name, why in group.left_out.items()))
    return "\n\n".join(parts) + "\n"
