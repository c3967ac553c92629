"""What came of a build: a table for people, a document for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mnv2deploy.artifacts.baseline_rows import HEADER as DIFFERENCES
from mnv2deploy.artifacts.build import Outcome
from mnv2deploy.artifacts.manifest import Artifact
from mnv2deploy.cli.table import format_table

_HEADER = ("RELEASE", "ARTIFACT", "MB", "ACCURACY", "AGREES", "TIME", "CHECKS")


def outcomes_report(outcomes: Sequence[Outcome]) -> str:
    """A table of all artifacts, what differs from the baseline, and where the releases are."""
    rows = [
        artifact_row(outcome, artifact)
        for outcome in outcomes
        if outcome.manifest is not None
        for artifact in outcome.manifest.artifacts
    ]
    parts = [format_table(_HEADER, rows, right=[2])] if rows else []
    parts += [
        f"{outcome.name} against the baseline:\n{format_table(DIFFERENCES, comparison.to_rows())}"
        for outcome in outcomes
        if (comparison := outcome.comparison) is not None
    ]
    parts.append("\n".join(f"{outcome.name}: {said(outcome)}" for outcome in outcomes))
    return "\n\n".join(parts) + f"\n{sum(outcome.seconds for outcome in outcomes):.1f} s in all"


def artifact_row(outcome: Outcome, artifact: Artifact) -> list[str]:
    """Cells under `_HEADER`."""
    accuracy, agreement, speed = artifact.accuracy, artifact.agreement, artifact.speed
    time = "" if speed is None else f"{speed.milliseconds:.2f} ms"
    if speed is not None and speed.speedup is not None:
        time += f", {speed.speedup:.2f} times as fast"
    if speed is not None and speed.disturbed:
        time += " (others were busy)"
    return [
        outcome.name,
        artifact.name,
        f"{artifact.file.size / 1e6:.1f}",
        "" if accuracy is None else f"{100 * accuracy.value:.1f} % {accuracy.metric}",
        "" if agreement is None else f"{100 * agreement.share:.1f} %",
        time,
        _checks(artifact),
    ]


def _checks(artifact: Artifact) -> str:
    failed = sum(not check.passed for check in artifact.checks)
    if failed:
        return f"{failed} of {len(artifact.checks)} failed"
    return f"{len(artifact.checks)} passed" if artifact.checks else "none"


def said(outcome: Outcome) -> str:
    """What came of it, in a few words."""
    if outcome.status == "published":
        return f"published in {outcome.folder} ({outcome.seconds:.1f} s)"
    if outcome.status == "unchanged":
        return f"unchanged, {outcome.folder} ({outcome.seconds:.1f} s)"
    if outcome.status == "failed":
        return f"not published: {len(outcome.failures)} failed"
    return f"not built: {outcome.error}"


def to_document(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What --json prints."""
    return {"releases": [_document(outcome) for outcome in outcomes]}


def _document(outcome: Outcome) -> dict[str, Any]:
    from mnv2deploy.structure import plain

    return {
        "name": outcome.name,
        "recipe": str(outcome.recipe),
        "status": outcome.status,
        "folder": None if outcome.folder is None else str(outcome.folder),
        "seconds": round(outcome.seconds, 1),
        "failures": [plain(failure) for failure in outcome.failures],
        "error": outcome.error,
        "exit_code": outcome.exit_code,
        "comparison": None if outcome.comparison is None else outcome.comparison.to_json(),
        "manifest": None if outcome.manifest is None else plain(outcome.manifest),
    }
