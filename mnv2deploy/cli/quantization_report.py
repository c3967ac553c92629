"""What ``mnv2deploy quantize`` prints for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mnv2deploy.cli.table import format_table

if TYPE_CHECKING:
    from mnv2deploy.quantization.verdict import Verdict


def verdict_report(verdict: Verdict, failures: Sequence[str] = ()) -> str:
    """The one table, where it was measured, and the conclusion.

    Args:
        verdict: What was measured.
        failures: What `verdict.judge` found.
    """
    from textwrap import fill

    from mnv2deploy.quantization.agreement import MEANINGS
    from mnv2deploy.quantization.verdict import conclusion
    from mnv2deploy.quantization.verdict_document import HEADER, to_rows

    speed, answers = verdict.speed, verdict.answers
    reading = f"Times are medians on {speed.machine}; how many times as fast is the median of rounds in which both "
    reading += f"took turns, in brackets their quartiles. The same: {MEANINGS[answers.task]}. A layer's SQNR holds the "
    reading += "errors of all before it; 'mnv2deploy sensitivity' tells what each costs by itself."
    if speed.disturbed:
        reading += " Other programs were busy meanwhile, so the times are uncertain."
    if verdict.metric is not None and verdict.metric.certain is False:
        reading += " Where the difference is unclear, other pictures might as well show none, or the opposite."
    paragraphs = [reading, conclusion(verdict, failures)]
    parts = [
        format_table(HEADER, to_rows(verdict), right=[1, 2]),
        *(fill(text, 100, break_long_words=False, break_on_hyphens=False) for text in paragraphs),
    ]
    return "\n\n".join(parts)
