"""``mnv2deploy verify``: a downloaded release, checked file by file and run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv2deploy.cli.options import Quiet
from mnv2deploy.errors import VerificationError

if TYPE_CHECKING:
    from mnv2deploy.artifacts.verify import Verification, VerifiedFile

_NAMED = 3


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a release, or of several.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    quiet: Quiet = False,
) -> None:
    """Check a downloaded release: hashes, contracts, answers."""
    from mnv2deploy.artifacts.verify import find_releases, verify_release
    from mnv2deploy.cli.progress import terminal_progress
    from mnv2deploy.quiet import quiet_decoders

    with quiet_decoders():
        progress = terminal_progress(quiet=quiet)
        found = [verify_release(release, progress) for release in find_releases(folder)]
    problems = [problem for verification in found for problem in verification.problems]
    if json:
        from json import dumps

        typer.echo(dumps({"ok": not problems, "releases": [_document(verification) for verification in found]}))
        if problems:  # as an error it would be a second document
            typer.echo(f"Error: {_summary(folder, problems)}", err=True)
            raise typer.Exit(VerificationError.exit_code)
    elif not quiet:
        typer.echo("\n\n".join(_text(verification) for verification in found))
    if problems:
        raise VerificationError(_summary(folder, problems))


def _summary(folder: Path, problems: list[str]) -> str:
    rest = len(problems) - _NAMED
    more = f" And {rest} more." if rest > 0 else ""
    return f"{folder} is not as it was released. {' '.join(problems[:_NAMED])}{more}"


def _text(verification: Verification) -> str:
    from mnv2deploy.cli.table import format_table

    rows = [row for file in verification.files for row in _rows(file)]
    count = len(verification.problems)
    result = f"{count} problem{'s' * (count > 1)}" if count else "as it was released"
    return f"{format_table(['FILE', 'CHECKED', 'RESULT'], rows)}\n{verification.folder}: {result}"


def _rows(file: VerifiedFile) -> list[list[str]]:
    """One, and another for each problem after the first."""
    first, *others = file.problems or ["ok"]
    return [[_shown(file.name), ", ".join(file.checked) or "-", first], *(["", "", problem] for problem in others)]


def _shown(name: str) -> str:
    """A name that a stranger chose, with nothing in it that a terminal would obey."""
    return name if name.isprintable() else ascii(name)


def _document(verification: Verification) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "folder": str(verification.folder),
        "ok": not verification.problems,
        "files": [asdict(file) for file in verification.files],
    }
