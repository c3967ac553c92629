"""``mnv2deploy build``: recipes become releases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnv2deploy.cli.options import Offline, Quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mnv2deploy.artifacts.build import BuildOptions, Outcome

_RECIPES = Path("models")


def build(
    recipes: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RECIPE...]", help="Recipes.  [default: models/*.toml]", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Put each release into a folder of its name in this one.  [default: build/ beside its recipe]",
            show_default=False,
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Build this one of the recipes; may be repeated.")
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", help="Recipes at a time; times are taken one after the other.")
    ] = 1,
    force: Annotated[bool, typer.Option("--force", help="Make every step again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, and make nothing.")] = False,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR_OR_MANIFEST",
            help="Compare with this release, or those in this folder; a recipe's [baseline] says what may differ.",
        ),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="error|warning|info|debug", help="What to log on stderr.  [default: info]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    offline: Offline = False,
    quiet: Quiet = False,
) -> None:
    """Build recipes into checked releases, making only what changed."""
    from mnv2deploy.artifacts import require_release_extra
    from mnv2deploy.cli.build_arguments import check_options, choose_recipes
    from mnv2deploy.quiet import quiet_decoders

    level = check_options(jobs=jobs, log_level=log_level, quiet=quiet, baseline=baseline)
    chosen = choose_recipes(recipes or sorted(_RECIPES.glob("*.toml")), only or [])
    require_release_extra()
    from mnv2deploy.artifacts.build import BuildOptions

    options = BuildOptions(output=output, jobs=jobs, force=force, offline=offline, baseline=baseline, log_level=level)
    with quiet_decoders():
        if dry_run:
            _print_plan(chosen, options, json=json)
            return
        outcomes = _build(chosen, options, quiet=quiet)
    _report(outcomes, json=json, quiet=quiet)


def _build(recipes: Sequence[Path], options: BuildOptions, *, quiet: bool) -> list[Outcome]:
    import sys

    from mnv2deploy.artifacts.build import build_releases
    from mnv2deploy.artifacts.watching import LogWatcher, start_logging
    from mnv2deploy.cli.progress import terminal_progress

    start_logging(options.log_level)
    watcher = LogWatcher(announce=not sys.stderr.isatty())
    progress = terminal_progress(quiet=quiet)
    try:
        return build_releases(recipes, options, watcher, progress)
    finally:
        progress.stop()


def _print_plan(recipes: Sequence[Path], options: BuildOptions, *, json: bool) -> None:
    from json import dumps

    from mnv2deploy.artifacts.build import plan
    from mnv2deploy.cli.table import format_table

    plans = {path: plan(path, options) for path in recipes}
    if json:
        document = [
            {"recipe": str(path), "steps": [{"step": step, "cached": there} for step, there in steps]}
            for path, steps in plans.items()
        ]
        typer.echo(dumps({"plan": document}))
        return
    rows = [
        [path.stem, step, "is there" if there else "to be made"]
        for path, steps in plans.items()
        for step, there in steps
    ]
    typer.echo(format_table(["RECIPE", "STEP", "STATE"], rows))


def _report(outcomes: Sequence[Outcome], *, json: bool, quiet: bool) -> None:
    """Prints what came of it, tells CI, and exits as the worst of it says."""
    from mnv2deploy.artifacts.build import exit_code
    from mnv2deploy.artifacts.ci import annotate, write_summary
    from mnv2deploy.cli.build_report import outcomes_report, to_document

    write_summary(outcomes)
    for line in annotate(outcomes):
        typer.echo(line, err=True)
    if json:
        from json import dumps

        typer.echo(dumps(to_document(outcomes)))
    elif not quiet:
        typer.echo(outcomes_report(outcomes))
    for outcome in outcomes:
        for said in [*([outcome.error] if outcome.error else []), *(failure.message for failure in outcome.failures)]:
            typer.echo(f"Error: {said}", err=True)
        if outcome.failures:
            typer.echo(f"Error: {outcome.name} was not published.", err=True)
    if code := exit_code(outcomes):
        raise typer.Exit(code)
