"""``mnv2deploy sensitivity``: which layers lose most in eight bits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv2deploy.cli.options import Offline, Quiet
from mnv2deploy.errors import InputError, MissingDependencyError, UsageError

if TYPE_CHECKING:
    from mnv2deploy.calibration.sets import CalibrationSet
    from mnv2deploy.progress import Progress
    from mnv2deploy.quantization.sensitivity import LayerCost
    from mnv2deploy.quantization.targets import Target

# The network runs on each of these three times for every layer; twice as many change little but the time it takes.
_PICTURES = 8
_READING = """\
SQNR is of the network's answers with that layer alone in eight bits, its weights to the nearest; beside it with only
its weights, and with only its input and output. SHARE: of the sum of all layers' errors."""


def sensitivity(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A float32 artifact, or a model of the catalog.", show_default=False)
    ],
    calib: Annotated[
        str,
        typer.Option(
            metavar="DIR_OR_RECIPE",
            help="Pictures to find ranges with: a folder, a recipe, or a photo set of the catalog.",
            show_default=False,
        ),
    ],
    target: Annotated[
        str, typer.Option(metavar="NAME", help="What is to run it, which decides the types; auto: this processor.")
    ] = "auto",
    top: Annotated[
        int | None, typer.Option(metavar="N", help="Show the N worst layers.  [default: all]", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw them into this .png or .svg too.", show_default=False)
    ] = None,
    offline: Offline = False,
    quiet: Quiet = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say which layers lose most in eight bits."""
    from mnv2deploy.cli.artifact import find_artifact
    from mnv2deploy.cli.progress import terminal_progress
    from mnv2deploy.quiet import quiet_decoders

    if top is not None and top < 1:
        raise UsageError(f"--top {top}: at least 1 is needed.")
    _require_onnx()
    from mnv2deploy.calibration.find import find_set
    from mnv2deploy.quantization.targets import find_target

    chosen = find_target(target, "qdq")
    if plot is not None:
        from mnv2deploy.figures import check_figure

        check_figure(plot, "--plot")
    path = find_artifact(model, offline=offline, quiet=quiet)
    progress, downloads = terminal_progress(quiet=quiet), terminal_progress(quiet=quiet, of_bytes=True)
    with quiet_decoders():
        try:
            found = find_set(calib, offline=offline, progress=progress, downloads=downloads)
            costs, used = _measure(path, found, chosen, progress)
        finally:
            progress.stop()
            downloads.stop()
    shown = costs[:top]
    if plot is not None:
        from mnv2deploy.quantization.sensitivity_plot import plot_costs

        plot_costs(shown, plot, f"{model}, {chosen.name}, {used} pictures of {found.name}")
    if json:
        from json import dumps

        document: dict[str, Any] = {
            "model": model,
            "path": str(path),
            "target": chosen.name,
            "calibration": {"name": found.name, "pictures": len(found.pictures), "sha256": found.sha256},
            "measured_pictures": used,
            "layers_in_all": len(costs),
            "layers": [_entry(cost) for cost in shown],
            "warnings": list(found.warnings),
        }
        typer.echo(dumps(document | ({} if plot is None else {"plot": str(plot)})))
    elif not quiet:
        typer.echo("\n\n".join([_table(shown), _READING, *([] if plot is None else [f"drawn in {plot}"])]))
    if not quiet and not json:
        for warning in found.warnings:
            typer.echo(f"Warning: {warning}", err=True)
    if found.unreadable:
        raise typer.Exit(InputError.exit_code)


def _require_onnx() -> None:
    from importlib.util import find_spec

    if find_spec("onnx") is None:
        raise MissingDependencyError(
            "Measuring layer by layer takes the graph apart with onnx; install with: pip install 'mnv2deploy[build]'"
        )


def _measure(path: Path, found: CalibrationSet, target: Target, progress: Progress) -> tuple[list[LayerCost], int]:
    """The worst layer first, and on how many pictures."""
    from mnv2deploy.quantization.inputs import evenly
    from mnv2deploy.quantization.pipeline import Options, prepare_quantization
    from mnv2deploy.quantization.sensitivity import measure_sensitivity, round_to_nearest
    from mnv2deploy.runtime import images

    prepared = prepare_quantization(path, found.pictures, Options(target=target, profile="fast"), progress)
    prepared.encodings.layers.update(round_to_nearest(prepared.layers, target.weight_bits))
    inputs = [prepared.inputs.of(images.read(picture)) for picture in evenly(found.pictures, _PICTURES)]
    done = 0

    def told() -> None:
        nonlocal done
        progress.update(done := done + 1)

    progress.start("Measuring layer by layer", len(prepared.layers))
    return measure_sensitivity(prepared.graph, prepared.encodings, inputs, told), len(inputs)


def _entry(cost: LayerCost) -> dict[str, Any]:
    """Of the JSON document: decibels, null where nothing differs."""
    from mnv2deploy.quantization.verdict_document import finite

    return {
        "name": cost.name,
        "op": cost.op,
        "sqnr_db": finite(cost.sqnr),
        "weights_sqnr_db": finite(cost.weights_sqnr),
        "activations_sqnr_db": finite(cost.activations_sqnr),
        "share": cost.share,
    }


def _table(costs: Sequence[LayerCost]) -> str:
    from mnv2deploy.cli.table import format_table
    from mnv2deploy.quantization.verdict_document import decibels

    rows = [
        [
            cost.name,
            cost.op,
            f"{100 * cost.share:.1f} %",
            *map(decibels, (cost.sqnr, cost.weights_sqnr, cost.activations_sqnr)),
        ]
        for cost in costs
    ]
    header = ["LAYER", "OPERATOR", "SHARE", "SQNR DB", "WEIGHTS", "ACTIVATIONS"]
    return format_table(header, rows, right=range(2, len(header)))
