"""``mnv2deploy evaluate``: what models are worth on labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mnv2deploy.cli.options import Offline, Provider, Quiet
from mnv2deploy.errors import InputError, UsageError

_FORMATS = ("imagenet", "coco", "voc", "ade20k", "cityscapes")


def evaluate(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL... DATASET",
            help="Artifacts, or models of the catalog, the first of them the baseline; then the folder of a labelled "
            "set, or its file of labels.",
        ),
    ],
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="|".join(_FORMATS),
            help="Of the labels.  [default: told from the folder's layout]",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", help="Measure N pictures, evenly spaced over the set.", show_default=False),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Processors to use.  [default: every one]", show_default=False)
    ] = None,
    batch: Annotated[int, typer.Option(metavar="N", help="Pictures in one run of a model.")] = 1,
    provider: Provider = "cpu",
    per_class: Annotated[bool, typer.Option("--per-class", help="Give the metrics of every class too.")] = False,
    confusion: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a classifier's confusion matrix, a .csv, .png or .svg."),
    ] = None,
    save_predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE_OR_DIR",
            help="Write the answers: JSON Lines of classes, COCO results of boxes, a new folder of masks.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    offline: Offline = False,
    quiet: Quiet = False,
) -> None:
    """Measure how often models are right on labelled pictures, and how sure that is."""
    from mnv2deploy.cli.artifact import find_artifact
    from mnv2deploy.cli.evaluation_arguments import check_numbers, split_arguments
    from mnv2deploy.cli.evaluation_outputs import Outputs
    from mnv2deploy.cli.evaluation_report import Report
    from mnv2deploy.cli.progress import terminal_progress
    from mnv2deploy.evaluation.dataset import evenly_spaced
    from mnv2deploy.evaluation.layouts import TASKS, check_layout, open_dataset, recognise
    from mnv2deploy.evaluation.measuring import measure
    from mnv2deploy.evaluation.opening import check_problems, check_tasks
    from mnv2deploy.quiet import quiet_decoders
    from mnv2deploy.runtime.session import Session

    models, dataset = split_arguments(arguments)
    threads = check_numbers(threads, batch, limit)
    if format_name not in (None, *_FORMATS):
        raise UsageError(f"--format {format_name}: it should be one of {', '.join(_FORMATS)}.")
    if format_name is None:
        format_name = recognise(dataset)
    else:
        check_layout(dataset, format_name)
    outputs = Outputs(TASKS[format_name], len(models), confusion=confusion, predictions=save_predictions)
    paths = [find_artifact(model, offline=offline, quiet=quiet) for model in models]
    sessions = [
        Session(path, threads=1, provider=provider, name=model) for model, path in zip(models, paths, strict=True)
    ]
    check_tasks(sessions, dataset, format_name, TASKS[format_name])
    with quiet_decoders():
        progress = terminal_progress(quiet=quiet)
        try:
            labelled = open_dataset(dataset, format_name, sessions[0].contract, progress)
            outputs.spare([*labelled.files(), *paths])
            in_set = len(labelled.items)
            labelled.items = evenly_spaced(labelled.items, limit)
            check_problems(sessions, labelled, dataset)
            keep = outputs.open(sessions[0].contract)
            evaluation = measure(sessions, labelled, threads=threads, batch=batch, keep=keep, progress=progress)
        finally:
            progress.stop()
    outputs.write(labelled, evaluation)
    report = Report(dataset, labelled, in_set, list(zip(models, paths, strict=True)), evaluation)
    if json:
        from json import dumps

        typer.echo(dumps(report.to_json(per_class=per_class)))
    elif not quiet:
        typer.echo(report.to_text(per_class=per_class))
    for failure in evaluation.failures:
        typer.echo(f"Error: {failure.error}", err=True)
    if evaluation.failures:
        typer.echo(f"{len(evaluation.failures)} of {len(labelled.items)} pictures could not be measured.", err=True)
        raise typer.Exit(InputError.exit_code)
