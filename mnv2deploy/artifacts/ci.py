"""What a build tells GitHub Actions: a summary of the job, and annotations where a recipe's gates fail."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mnv2deploy.artifacts.baseline_rows import HEADER
from mnv2deploy.artifacts.build import Outcome
from mnv2deploy.artifacts.manifest import Artifact
from mnv2deploy.errors import UsageError

_STATUS = {"published": "published", "unchanged": "unchanged", "failed": "**not published**", "error": "**not built**"}
_COLUMNS = ("artifact", "MB", "accuracy", "agreement", "speed-up", "checks", "sha256")


def write_summary(outcomes: Sequence[Outcome]) -> None:
    """Adds Markdown to the file that ``GITHUB_STEP_SUMMARY`` names, if it names one.

    Raises:
        UsageError: it cannot be written.
    """
    if not (name := os.environ.get("GITHUB_STEP_SUMMARY")):
        return
    try:
        with Path(name).open("a", encoding="utf-8", newline="\n") as file:
            file.write(summary(outcomes))
    except OSError as error:
        raise UsageError(f"GITHUB_STEP_SUMMARY is {name}, which cannot be written: {error.strerror}.") from error


def summary(outcomes: Sequence[Outcome]) -> str:
    """A heading, a table and what failed, for each recipe; Markdown."""
    return "\n".join(line for outcome in outcomes for line in _summarise(outcome)) + "\n"


def annotate(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Workflow commands that mark the line of a gate that failed; none outside of GitHub Actions."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    for outcome in outcomes:
        if outcome.error is not None:
            yield _command(outcome, outcome.error_line, "not built", outcome.error)
        for failure in outcome.failures:
            yield _command(outcome, failure.line, "a check failed", failure.message)


def _summarise(outcome: Outcome) -> Iterator[str]:
    yield f"## {outcome.name}: {_STATUS[outcome.status]}"
    yield ""
    if outcome.manifest is not None:
        yield _row(_COLUMNS)
        yield _row("---" for _ in _COLUMNS)
        for artifact in outcome.manifest.artifacts:
            yield _row(_cells(artifact))
        yield ""
    for said in [*(failure.message for failure in outcome.failures), *([outcome.error] if outcome.error else [])]:
        yield f"- :x: {_escaped(said)}"
    if outcome.comparison is not None:
        yield ""
        yield "Against the baseline:"
        yield ""
        yield _row(HEADER)
        yield _row("---" for _ in HEADER)
        for cells in outcome.comparison.to_rows():
            yield _row(cells)
    yield ""


def _cells(artifact: Artifact) -> list[str]:
    accuracy, agreement, speed = artifact.accuracy, artifact.agreement, artifact.speed
    failed = [check.name for check in artifact.checks if not check.passed]
    passed = f":white_check_mark: {len(artifact.checks)}" if artifact.checks else ""
    return [
        artifact.file.name,
        f"{artifact.file.size / 1e6:.1f}",
        "" if accuracy is None else f"{100 * accuracy.value:.1f} % {accuracy.metric}",
        "" if agreement is None else f"{100 * agreement.share:.1f} %",
        "" if speed is None or speed.speedup is None else f"{speed.speedup:.2f}",
        f":x: {', '.join(failed)}" if failed else passed,
        f"`{artifact.file.sha256[:12]}`",
    ]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    """Markdown's table and HTML characters."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")


def _command(outcome: Outcome, line: int, title: str, message: str) -> str:
    """As GitHub's toolkit escapes it."""
    place = f"file={_property(str(outcome.recipe))},line={line},title={_property(f'{outcome.name}: {title}')}"
    return f"::error {place}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
