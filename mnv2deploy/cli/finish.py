"""``mnv2deploy finish``: an artifact becomes one that any onnxruntime can use without this program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv2deploy.cli.options import Offline, Quiet
from mnv2deploy.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    from mnv2deploy.finishing.artifact import Finished


def finish(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="An artifact, float or quantized, or a model of the catalog.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The artifact to write.")],
    input_: Annotated[
        str | None,
        typer.Option("--input", metavar="uint8", help="Take the resized picture's bytes, and normalise in the graph."),
    ] = None,
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end", help="Decode in the graph: it puts out classes, boxes or a mask.")
    ] = False,
    score: Annotated[
        float | None,
        typer.Option(
            help="With --end-to-end, of a detector: least score the graph answers.  [default: the model's, 0.5]",
            show_default=False,
        ),
    ] = None,
    offline: Offline = False,
    quiet: Quiet = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Put normalization and decoding into an artifact's graph."""
    from mnv2deploy.cli.artifact import find_artifact
    from mnv2deploy.cli.progress import terminal_progress

    _check(input_, output)
    source = find_artifact(model, offline=offline, quiet=quiet)
    if output.exists() and output.samefile(source):
        raise UsageError(f"{output} is the artifact itself; give another name with --output.")
    progress = terminal_progress(quiet=quiet)
    progress.start(f"Finishing {source.name}", total=None)
    try:
        from mnv2deploy.finishing.artifact import finish as finish_artifact

        finished = finish_artifact(
            source, output, byte_input=input_ is not None, end_to_end=end_to_end, score_threshold=score
        )
    finally:
        progress.stop()
    if json:
        from json import dumps

        typer.echo(dumps(_document(finished)))
    elif not quiet:
        _print(finished)


def _check(input_: str | None, output: Path) -> None:
    """Raises UsageError or MissingDependencyError before anything is loaded."""
    from importlib.util import find_spec

    if input_ not in (None, "uint8"):
        raise UsageError(f"--input {input_}: it should be uint8.")
    if output.suffix != ".onnx":
        raise UsageError(f"{output}: an artifact's name ends in .onnx.")
    if output.is_dir():
        raise UsageError(f"{output} is a folder; name the artifact to write.")
    if find_spec("onnx") is None:
        raise MissingDependencyError("Finishing needs onnx; install with: pip install 'mnv2deploy[build]'")


def _print(finished: Finished) -> None:
    from mnv2deploy.cli.contract_rows import contract_rows
    from mnv2deploy.cli.table import format_table

    typer.echo(f"{finished.path}  {finished.size / 1e6:.1f} MB  sha256 {finished.sha256}\n")
    rows = contract_rows(finished.contract, finished.path, finished.size)
    shown = ("input", "preprocessing", "outputs", "decoding")
    typer.echo(format_table(["CONTRACT", ""], [list(row) for row in rows if row[0] in shown]))


def _document(finished: Finished) -> dict[str, Any]:
    import dataclasses

    contract = dataclasses.asdict(finished.contract)
    return {
        "path": str(finished.path),
        "sha256": finished.sha256,
        "size": finished.size,
        **{part: contract[part] for part in ("input", "preprocessing", "outputs")},
    }
