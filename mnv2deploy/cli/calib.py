"""``mnv2deploy calib``: a calibration set, checked and hashed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv2deploy.cli.options import Offline, Quiet
from mnv2deploy.errors import InputError

if TYPE_CHECKING:
    from mnv2deploy.calibration.sets import CalibrationSet

_SHOWN_WARNINGS = 20


def calib(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE", help="The path of a recipe, a photo set of the catalog, or a folder of pictures."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Write the pictures into this new folder.  [default: beside a recipe, by its name; the cache for a "
            "photo set; a folder is only checked]",
            show_default=False,
        ),
    ] = None,
    offline: Offline = False,
    quiet: Quiet = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make the pictures to calibrate quantization with, check and hash them."""
    from mnv2deploy.quiet import quiet_decoders

    with quiet_decoders():
        found, made = _find(name, output, offline=offline, quiet=quiet)
        pictures = [_describe(path) for path in found.pictures]
    folder = str(found.pictures[0].parent)
    if json:
        from json import dumps

        typer.echo(
            dumps(
                {
                    "name": found.name,
                    "folder": folder,
                    "sha256": found.sha256,
                    "warnings": found.warnings,
                    "unreadable": found.unreadable,
                    "pictures": pictures,
                }
            )
        )
    elif not quiet:
        _print(found, folder, pictures, made)
    if found.unreadable:
        raise typer.Exit(InputError.exit_code)


def _find(name: str, output: Path | None, *, offline: bool, quiet: bool) -> tuple[CalibrationSet, bool | None]:
    """The set; and whether its pictures were made now, None where a folder was only checked or the cache looked at."""
    from mnv2deploy.calibration.find import find_set
    from mnv2deploy.calibration.materialise import materialise
    from mnv2deploy.calibration.recipe import recipe_for
    from mnv2deploy.cli.progress import terminal_progress

    progress, downloads = terminal_progress(quiet=quiet), terminal_progress(quiet=quiet, of_bytes=True)
    path = Path(name)
    if output is None and path.suffix == ".toml" and not path.is_dir():
        output = path.with_suffix("")
    if output is None:
        return find_set(name, offline=offline, progress=progress, downloads=downloads), None
    done = materialise(recipe_for(name), output, offline=offline, progress=progress, downloads=downloads)
    return done.set, done.made


def _describe(path: Path) -> dict[str, Any]:
    from mnv2deploy.evaluation.pictures import upright_size

    height, width = upright_size(path)
    return {"file": path.name, "width": width, "height": height, "size": path.stat().st_size}


def _print(found: CalibrationSet, folder: str, pictures: list[dict[str, Any]], made: bool | None) -> None:
    from mnv2deploy.cli.table import format_table

    spans = [
        f"{min(values)} to {max(values)}" for values in ([row[key] for row in pictures] for key in ("width", "height"))
    ]
    size = f"{sum(row['size'] for row in pictures) / 1e6:.1f} MB"
    typer.echo(
        format_table(["PICTURES", "WIDTH", "HEIGHT", "SIZE", "FOLDER"], [[str(len(pictures)), *spans, size, folder]])
    )
    typer.echo(f"sha256 {found.sha256}{', already there' if made is False else ''}")
    for warning in found.warnings[:_SHOWN_WARNINGS]:
        typer.echo(f"Warning: {warning}", err=True)
    if (more := len(found.warnings) - _SHOWN_WARNINGS) > 0:
        typer.echo(f"and {more} more warnings; --json has them all.", err=True)
