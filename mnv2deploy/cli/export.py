"""``mnv2deploy export``: a model of the catalog, or a checkpoint from anywhere, becomes an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv2deploy.catalog.conventions import CONVENTIONS
from mnv2deploy.cli.export_arguments import (
    OPSETS,
    check_files,
    check_words,
    choices,
    input_size,
    refuse_checkpoint,
    require_build_extra,
)
from mnv2deploy.errors import UsageError

if TYPE_CHECKING:
    from mnv2deploy.catalog.cards import Card
    from mnv2deploy.export.artifact import Exported
    from mnv2deploy.export.checkpoint_facts import Fact


def export(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A model of the catalog, or the path of a card or of a build recipe.",
            show_default=False,
        ),
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="CHECKPOINT", help="Export this checkpoint, wherever it was trained, instead of a NAME."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The artifact to write.  [default: NAME.onnx]"),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            metavar="ORIGIN",
            help="With --from: where it comes from, instead of what its tensors' names show: torchvision, timm, "
            "huggingface, mmpretrain, mmsegmentation, mmdetection, keras, tensorflowjs, frozen-graph, tflite, native.",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar=choices("task"), help="With --from: a check; another task is refused.")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(metavar=choices("head"), help="With --from: a check; another head is refused."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE_OR_SET",
            help="With --from: names of the classes, one a line, TOML or JSON; a label set such as voc; or numbers.",
        ),
    ] = None,
    preprocessing: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_TOML",
            help=f"With --from: how pictures are prepared: as {', '.join(CONVENTIONS)} do, or a TOML's "
            "[preprocessing].",
        ),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(metavar=choices("resize"), help="With --from: whatever the preprocessing says."),
    ] = None,
    interpolation: Annotated[
        str | None,
        typer.Option(metavar=choices("interpolation"), help="With --from: whatever the preprocessing says."),
    ] = None,
    output_stride: Annotated[
        int | None,
        typer.Option(
            metavar=choices("output_stride"),
            help="With --from: of a TensorFlow segmenter whose graph does not show it.",
            show_default=False,
        ),
    ] = None,
    activation: Annotated[
        str | None,
        typer.Option(
            metavar=choices("activation"), help="With --from: what a classifier that does not say it ends in."
        ),
    ] = None,
    opset: Annotated[
        int | None,
        typer.Option(
            metavar=f"{OPSETS[0]}..{OPSETS[-1]}", help="ONNX opset of the graph.  [default: 18]", show_default=False
        ),
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
            metavar="HEIGHTxWIDTH",
            help="Of the input, 224 for 224x224: one that the card has, or with --from any.  [default: the card's]",
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Fill the network of NAME from this checkpoint.")
    ] = None,
    state_dict: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the network's weights too, as .safetensors.")
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
    """Build a model's ONNX artifact and check it against torch.

    'mnv2deploy finish' puts normalization and decoding into its graph.
    """
    said = {
        "task": task,
        "head": head,
        "labels": labels,
        "preprocessing": preprocessing,
        "resize": resize,
        "interpolation": interpolation,
        "output_stride": output_stride,
        "activation": activation,
    }
    check_words(said, opset)
    options: dict[str, Any] = {
        "opset": opset,
        "simplify": simplify,
        "size": size,
        "state_dict": state_dict,
        "pictures": pictures or [],
        "offline": offline,
        "quiet": quiet,
    }
    recognised: tuple[Fact, ...] = ()
    if from_ is not None:
        if name is not None or weights is not None:
            other = f"NAME ({name})" if name is not None else f"--weights {weights}"
            raise UsageError(f"--from is a checkpoint that says itself what it is; leave out {other}.")
        exported, recognised = _export_checkpoint(from_, output, origin, said, **options)
    elif name is not None:
        belong = [option for option, value in {"origin": origin, **said}.items() if value is not None]
        if belong:
            option = belong[0].replace("_", "-")
            raise UsageError(f"--{option} is said of a checkpoint given with --from; of {name} its card says it.")
        exported = _export_card(name, output, weights=weights, **options)
    else:
        raise UsageError("Say what to export: a NAME of the catalog, or a checkpoint with --from.")
    if json:
        from json import dumps

        typer.echo(dumps(_document(exported, recognised)))
    elif not quiet:
        _print(exported)


def _export_card(
    name: str,
    output: Path | None,
    *,
    opset: int | None,
    simplify: bool | None,
    size: str | None,
    weights: Path | None,
    **options: Any,
) -> Exported:
    """Exports a card, or the first artifact of a recipe, whose options those of the command line outdo."""
    from mnv2deploy.artifacts.recipes import ExportOptions, is_recipe, read_recipe

    said, model = ExportOptions(), name
    if is_recipe(path := Path(name)):
        recipe = read_recipe(path)
        if recipe.model is None:
            raise UsageError(f"{name} builds from a checkpoint; run 'mnv2deploy build {name}'.")
        said, model, weights = recipe.export, recipe.find(recipe.model), weights or recipe.weights
        output = output or path.parent / "build" / f"{recipe.name}.onnx"
    return run_export(
        model,
        output or Path(f"{path.stem}.onnx"),
        opset=opset or said.opset,
        simplified=said.simplify if simplify is None else simplify,
        size=size or said.size,
        weights=weights,
        **options,
    )


def _export_checkpoint(
    checkpoint: Path,
    output: Path | None,
    origin: str | None,
    said: dict[str, Any],
    *,
    simplify: bool | None,
    size: str | None,
    quiet: bool,
    **options: Any,
) -> tuple[Exported, tuple[Fact, ...]]:
    """Exports what a checkpoint is recognised as, and says first what that is."""
    from mnv2deploy.cli.table import format_table

    require_build_extra()
    check_files(output, options["state_dict"], options["pictures"])
    from mnv2deploy.export.from_checkpoint import Answers, card_from_checkpoint

    answers = Answers(size=None if size is None else input_size(size), **said)
    proposal = card_from_checkpoint(checkpoint, answers, origin)
    if not quiet:
        rows = [[fact.what, fact.value, fact.said_by] for fact in proposal.facts]
        typer.echo(format_table(["RECOGNISED", "", "SAID BY"], rows) + "\n", err=True)
    output = output or Path(f"{proposal.card.name}.onnx")
    simplified = simplify is not False
    exported = _run(proposal.card, output, quiet=quiet, weights=proposal.checkpoint, simplified=simplified, **options)
    return exported, proposal.facts


def run_export(model: str, output: Path, *, size: str | None = None, quiet: bool, **options: Any) -> Exported:
    """Exports with progress on the terminal, or says which extra is missing.

    Raises:
        MissingDependencyError: torch, onnx or their friends are not installed.
        UsageError: the output's name is not an artifact's, or the model is not made for this size.
    """
    require_build_extra()
    refuse_checkpoint(model)
    check_files(output, options.get("state_dict"), options.get("pictures", ()))
    from mnv2deploy.catalog.cards import load_card

    card = load_card(model)
    if size is not None:
        card = card.at(input_size(size))
    return _run(card, output, quiet=quiet, **options)


def _run(card: Card, output: Path, *, quiet: bool, **options: Any) -> Exported:
    from mnv2deploy.cli.progress import terminal_progress
    from mnv2deploy.export.artifact import export as export_artifact

    progress = terminal_progress(quiet=quiet)
    try:
        return export_artifact(card, output, progress=progress, **options)
    finally:
        progress.stop()


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


def _document(exported: Exported, recognised: tuple[Fact, ...]) -> dict[str, Any]:
    import dataclasses

    document: dict[str, Any] = {"recognised": [dataclasses.asdict(fact) for fact in recognised]} if recognised else {}
    return document | {
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
