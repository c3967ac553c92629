"""``mnv2deploy export``: a model of the catalog becomes an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv2deploy.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    from mnv2deploy.catalog.cards import InputSize
    from mnv2deploy.export.artifact import Exported


def export(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A model of the catalog, or the path of a card or of a build recipe.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The artifact to write.  [default: NAME.onnx]"),
    ] = None,
    opset: Annotated[
        int | None, typer.Option(help="ONNX opset of the graph.  [default: 18]", show_default=False)
    ] = None,
    simplify: Annotated[
        bool | None,
        typer.Option(
            "--simplify/--no-simplify", help="Run onnxsim on the graph.  [default: simplify]", show_default=False
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH", help="Size of the input, one that the card has.  [default: the card's first]"
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Fill the network from this checkpoint, not the catalog's.")
    ] = None,
    pictures: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Check parity on this picture; may be repeated.  [default: five sample photos]"
        ),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Open no connection: only look into the cache.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Build a model's ONNX artifact and check it against torch."""
    from mnv2deploy.artifacts.recipes import recipe_for

    recipe = recipe_for(name)
    exported = run_export(
        recipe.model,
        output or recipe.output,
        size=size,
        opset=recipe.opset if opset is None else opset,
        simplified=recipe.simplify if simplify is None else simplify,
        weights=weights,
        pictures=pictures or [],
        offline=offline,
        quiet=quiet,
    )
    if json:
        from json import dumps

        typer.echo(dumps(_document(exported)))
    elif not quiet:
        _print(exported)


def run_export(model: str, output: Path, *, size: str | None = None, quiet: bool, **options: Any) -> Exported:
    """Exports with progress on the terminal, or says which extra is missing.

    Raises:
        MissingDependencyError: torch, onnx or their friends are not installed.
        UsageError: the output's name is not an artifact's, or the model is not made for this size.
    """
    require_build_extra()
    if output.suffix != ".onnx":
        raise UsageError(f"{output}: an artifact's name ends in .onnx.")
    from mnv2deploy.catalog.cards import load_card
    from mnv2deploy.cli.progress import terminal_progress
    from mnv2deploy.export.artifact import export as export_artifact

    card = load_card(model)
    if size is not None:
        card = card.at(_input_size(size))
    progress = terminal_progress(quiet=quiet)
    try:
        return export_artifact(card, output, progress=progress, **options)
    finally:
        progress.stop()


def _input_size(text: str) -> InputSize:
    """``512x1024`` as a size."""
    from re import fullmatch

    from mnv2deploy.catalog.cards import InputSize

    if not (sides := fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)):
        raise UsageError(f"--size {text} is no size; give height x width, as 512x1024.")
    return InputSize(height=int(sides[1]), width=int(sides[2]))


def require_build_extra() -> None:
    """Raises MissingDependencyError unless what building needs is installed; imports none of it."""
    from importlib.util import find_spec

    if missing := [name for name in ("torch", "onnx", "onnxscript", "onnxsim") if find_spec(name) is None]:
        raise MissingDependencyError(
            f"Building an artifact needs {', '.join(missing)}; install with: pip install 'mnv2deploy[build]'"
        )


def _print(exported: Exported) -> None:
    from mnv2deploy.cli.table import format_table

    provenance = exported.contract.provenance
    typer.echo(f"{exported.path}  {exported.size / 1e6:.1f} MB  sha256 {exported.sha256}")
    typer.echo(f"opset {provenance.opset}, runs in onnxruntime {provenance.minimum_onnxruntime} and later")
    if exported.not_simplified:
        typer.echo(f"Warning: the graph was not simplified: {exported.not_simplified}", err=True)
    typer.echo("\nonnxruntime against torch, on real pictures:")
    rows = [
        [
            result.output,
            str(result.batch),
            f"{result.max_error:.1e}",
            f"{result.mean_error:.1e}",
            f"{result.relative_error:.1e}",
        ]
        for result in exported.parity
    ]
    typer.echo(format_table(["OUTPUT", "BATCH", "MAX ERROR", "MEAN ERROR", "MAX / RANGE"], rows, right=[1, 2, 3, 4]))


def _document(exported: Exported) -> dict[str, Any]:
    import dataclasses

    return {
        "path": str(exported.path),
        "sha256": exported.sha256,
        "size": exported.size,
        "opset": exported.contract.provenance.opset,
        "minimum_onnxruntime": exported.contract.provenance.minimum_onnxruntime,
        "simplified": any(tool == "onnxsim" for tool, _ in exported.contract.provenance.tools),
        "not_simplified": exported.not_simplified,
        "parity": [
            {**dataclasses.asdict(result), "relative_error": result.relative_error} for result in exported.parity
        ],
    }
