"""``mnv2deploy quantize``: a float artifact becomes an eight-bit one, and is measured before it gets its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv2deploy.cli.options import Offline, Quiet
from mnv2deploy.errors import InputError, UsageError, VerificationError

if TYPE_CHECKING:
    from mnv2deploy.quantization.pipeline import Quantized
    from mnv2deploy.quantization.verdict import Verdict


_DATA_FREE = (
    "No picture was calibrated with. The models of the catalog lose 1 to 4 dB of SQNR by that (docs/quantization.md); "
    "what this one loses against float32 is below."
)


def quantize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A float artifact, or a model of the catalog.")],
    calib: Annotated[
        str | None,
        typer.Option(
            metavar="DIR_OR_RECIPE",
            help="Pictures such as the model will see: a folder, a recipe (see 'mnv2deploy calib'), a photo set.",
        ),
    ] = None,
    data_free: Annotated[
        bool, typer.Option("--data-free", help="Calibrate on generated pictures instead, which costs accuracy.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The artifact to write.  [default: MODEL-int8.onnx]",
            show_default=False,
        ),
    ] = None,
    profile: Annotated[
        str, typer.Option(metavar="fast|balanced|best", help="How much work is put into accuracy; best needs torch.")
    ] = "balanced",
    target: Annotated[
        str,
        typer.Option(
            metavar="auto|x86-vnni|x86-avx2|arm|openvino|tensorrt|qnn|generic",
            help="What it is to run on; auto is this machine's processor.",
        ),
    ] = "auto",
    method: Annotated[
        str, typer.Option(metavar="auto|minmax|percentile|entropy|mse", help="How ranges are chosen; auto is mse.")
    ] = "auto",
    format_name: Annotated[
        str, typer.Option("--format", metavar="qdq|qoperator", help="How the graph writes quantized operators.")
    ] = "qdq",
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Keep layers of this name in float32 (* and ?); may be repeated."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of everything drawn at random.")] = 0,
    verify: Annotated[
        str | None,
        typer.Option(
            metavar="DIR_OR_RECIPE",
            help="Compare answers on these pictures.  [default: those of --eval, or every fifth of --calib, which is "
            "then not calibrated with]",
            show_default=False,
        ),
    ] = None,
    evaluate: Annotated[
        Path | None, typer.Option("--eval", metavar="DATASET", help="Measure both models on this labelled set too.")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="Fail (exit 5) where the metric of --eval, or else the agreement, loses more percentage points.",
        ),
    ] = None,
    min_speedup: Annotated[
        float | None, typer.Option(metavar="FACTOR", help="Fail (exit 5) where it is not so many times as fast here.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write the verdict as a page, with every layer's SQNR.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    offline: Offline = False,
    quiet: Quiet = False,
) -> None:
    """Make an artifact eight-bit, and measure what that costs and gains."""
    from tempfile import TemporaryDirectory

    from mnv2deploy.cli.artifact import find_artifact
    from mnv2deploy.cli.progress import terminal_progress
    from mnv2deploy.cli.quantize_arguments import check_gates, check_options, choose_pictures, default_output
    from mnv2deploy.files import output_folder
    from mnv2deploy.quiet import quiet_decoders

    options = check_options(
        target=target,
        method=method,
        profile=profile,
        format_name=format_name,
        exclude=exclude or [],
        seed=seed,
        margins=data_free,
    )
    check_gates(max_drop, min_speedup, options.target.name)
    source = find_artifact(model, offline=offline, quiet=quiet)
    destination = default_output(model, source, output)
    if report is not None and report.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{report}: the report is a page; its name ends in .html.")
    progress = terminal_progress(quiet=quiet)
    with (
        quiet_decoders(),
        output_folder(destination.parent),
        TemporaryDirectory(prefix=".quantize-", dir=destination.parent) as folder,
    ):
        try:
            from mnv2deploy.quantization.pipeline import quantize as run
            from mnv2deploy.quantization.verdict import judge
            from mnv2deploy.quantization.verdict_run import measure_verdict

            chosen = choose_pictures(
                calib, verify, evaluate, source, Path(folder), data_free=data_free, offline=offline, progress=progress
            )
            for warning in chosen.warnings:
                typer.echo(f"Warning: {warning}", err=True)
            unnamed = Path(folder) / destination.name
            quantized = run(source, unnamed, chosen.calibration, chosen.record, options, progress)
            verdict = measure_verdict(source, quantized, chosen.verification, chosen.dataset, progress)
        finally:
            progress.stop()
        failures = judge(verdict, max_drop, min_speedup)
        if report is not None:
            from mnv2deploy.quantization.report import write_report

            write_report(report, verdict, quantized.contract, failures)
        if not failures:
            unnamed.replace(destination)
    if json:
        from json import dumps

        typer.echo(dumps({**_document(destination, quantized, verdict, failures), "warnings": chosen.warnings}))
    elif not quiet:
        _print(destination, quantized, verdict, failures)
    if failures:
        raise VerificationError(" ".join(failures) + f" {destination} was not written.")
    if chosen.unreadable:
        raise typer.Exit(InputError.exit_code)


def _print(path: Path, quantized: Quantized, verdict: Verdict, failures: list[str]) -> None:
    from mnv2deploy.cli.quantization_report import verdict_report
    from mnv2deploy.cli.quantize_arguments import ELSEWHERE

    made = quantized.contract.provenance.quantization
    assert made is not None  # noqa: S101 - it was just written
    if not failures:
        typer.echo(f"{path}  {quantized.size / 1e6:.1f} MB  sha256 {quantized.sha256}")
    typer.echo(
        f"{made.target}: {made.activations} activations, {made.weights} weights, {made.format}; "
        f"{made.profile} on {made.calibration_pictures} pictures of {made.calibration}"
    )
    if made.calibration == "data-free":
        typer.echo(_DATA_FREE)
    for name in made.float_layers:
        typer.echo(f"{name} stays in float32: {_why(quantized, name)}")
    for name, sqnr in quantized.prepared.stream.items():
        typer.echo(f"{name} computes in eight bits and answers in float32: in eight bits that would keep {sqnr:.1f} dB")
    typer.echo("")
    typer.echo(verdict_report(verdict, failures))
    if made.target in ELSEWHERE:
        typer.echo(f"\nThe times are onnxruntime's on this CPU; {made.target} was not measured.")


def _why(quantized: Quantized, layer: str) -> str:
    """Why a layer is not quantized."""
    kept = quantized.prepared.kept
    return f"in eight bits its input would keep {kept[layer]:.1f} dB" if layer in kept else "excluded"


def _document(path: Path, quantized: Quantized, verdict: Verdict, failures: list[str]) -> dict[str, Any]:
    import dataclasses

    from mnv2deploy.quantization.verdict_document import to_document

    made = quantized.contract.provenance.quantization
    assert made is not None  # noqa: S101 - it was just written
    return {
        "path": None if failures else str(path),
        "sha256": quantized.sha256,
        "quantization": dataclasses.asdict(made),
        "float_layers": {name: _why(quantized, name) for name in made.float_layers},
        "float_answers": {name: round(sqnr, 1) for name, sqnr in quantized.prepared.stream.items()},
        **to_document(verdict, failures),
    }
