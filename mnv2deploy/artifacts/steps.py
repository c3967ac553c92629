"""The steps that make and measure artifacts: what each needs, what it writes into its folder, and how that is read.

A step writes ``model.onnx`` or ``result.json``, or both; docs/build.md has the list.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mnv2deploy.artifacts.golden import make_golden_picture, measure_golden
from mnv2deploy.artifacts.manifest import (
    Accuracy,
    Agreement,
    Golden,
    Layer,
    OutputNoise,
    Parity,
    PictureSet,
    Speed,
)
from mnv2deploy.artifacts.recipes import ArtifactOptions, ExportOptions, QuantizationOptions
from mnv2deploy.artifacts.source import Source
from mnv2deploy.benchmark.configurations import Configuration
from mnv2deploy.benchmark.machine import this_machine
from mnv2deploy.benchmark.measure import measure as measure_times
from mnv2deploy.benchmark.others import OthersWatch
from mnv2deploy.benchmark.results import run_results
from mnv2deploy.calibration.sets import CalibrationSet
from mnv2deploy.catalog.photos import SAMPLE_PHOTOS, load_photos
from mnv2deploy.errors import InputError
from mnv2deploy.evaluation.measuring import measure
from mnv2deploy.evaluation.opening import open_for
from mnv2deploy.export.artifact import export
from mnv2deploy.export.inspection import count_artifact
from mnv2deploy.finishing.artifact import finish
from mnv2deploy.progress import Progress
from mnv2deploy.quantization.agreement import MEANINGS, compare_answers
from mnv2deploy.quantization.comparison import compare_layers
from mnv2deploy.quantization.inputs import Inputs, evenly
from mnv2deploy.quantization.pipeline import CalibrationRecord, Options, quantize
from mnv2deploy.quantization.targets import find_target
from mnv2deploy.quantization.verdict_document import finite
from mnv2deploy.runtime.processors import available_processors
from mnv2deploy.runtime.session import Session
from mnv2deploy.structure import build, plain
from mnv2deploy.weights.fetch import fetch
from mnv2deploy.weights.verified import sha256_of

T = TypeVar("T")

MODEL, RESULT, GOLDEN = "model.onnx", "result.json", "golden.png"
# Parity is checked on them, and the golden picture is one of them: a person, by NASA, in the public domain.
PHOTOS, _GOLDEN_PHOTO = SAMPLE_PHOTOS, "astronaut.png"
# Layers' signal and noise are sums over all values of a tensor: a few pictures tell them to a tenth of a decibel.
_LAYER_PICTURES = 8
# To be spent on timing each artifact.
_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What is known of an exported artifact.

    Attributes:
        parity: Against torch.
        parameters: Of convolutions and linear layers.
        multiply_adds: For one picture.
        not_simplified: Why onnxsim's graph was not taken; None where it was, or was not asked for.
    """

    parity: tuple[Parity, ...]
    parameters: int
    multiply_adds: int
    not_simplified: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationResult:
    """What is known of a quantized artifact."""

    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What an artifact answers, and how right that is; see `manifest.Artifact`."""

    agreement: Agreement | None
    accuracy: Accuracy | None
    golden: Golden


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Of all artifacts of a recipe, in its order."""

    artifacts: tuple[Speed, ...]


def make_export(folder: Path, source: Source, options: ExportOptions, *, offline: bool, progress: Progress) -> None:
    """Exports, proves parity with torch, counts."""
    made = export(
        source.card,
        folder / MODEL,
        opset=options.opset,
        simplified=options.simplify,
        weights=source.weights,
        offline=offline,
        progress=progress,
    )
    counts = count_artifact(folder / MODEL)
    (folder / GOLDEN).write_bytes(make_golden_picture(_astronaut(offline=offline, progress=progress)))
    parity = tuple(
        Parity(
            output=result.output,
            batch=result.batch,
            max_error=result.max_error,
            mean_error=result.mean_error,
            relative_error=result.relative_error,
        )
        for result in made.parity
    )
    _write(
        folder,
        ExportResult(
            parity=parity,
            parameters=counts.parameters,
            multiply_adds=counts.multiply_adds,
            not_simplified=made.not_simplified,
        ),
    )


def _astronaut(*, offline: bool, progress: Progress) -> Path:
    for download in load_photos(PHOTOS):
        if _GOLDEN_PHOTO in (files := fetch(download, offline=offline, progress=progress).files):
            return files[_GOLDEN_PHOTO]
    raise AssertionError(f"{PHOTOS} lacks {_GOLDEN_PHOTO}")


def refuse_shared(calibration: CalibrationSet, pictures: CalibrationSet) -> None:
    """Raises InputError where a picture is calibrated with and measured on: what is measured would flatter."""
    calibrated = {sha256_of(path): path.name for path in calibration.pictures}
    for path in pictures.pictures:
        if (same := calibrated.get(sha256_of(path))) is not None:
            raise InputError(
                f"{path.name} of measure.pictures ({pictures.name}) is {same} of quantization.calibration "
                f"({calibration.name}); measure on pictures that are not calibrated with."
            )


def make_quantized(
    folder: Path,
    floats: Path,
    options: QuantizationOptions,
    calibration: CalibrationSet,
    pictures: Sequence[Path],
    progress: Progress,
) -> None:
    """Quantizes, and measures every layer on a few of the pictures."""
    made = quantize(
        floats,
        folder / MODEL,
        calibration.pictures,
        CalibrationRecord(name=calibration.name, sha256=calibration.sha256),
        Options(
            target=find_target(options.target, options.format),
            format=options.format,
            method=options.method,
            profile=options.profile,
            exclude=options.exclude,
            seed=options.seed,
        ),
        progress,
    )
    prepared = made.prepared
    progress.start("Comparing layers", None)
    few = Inputs(evenly(list(pictures), _LAYER_PICTURES), prepared.contract, prepared.inputs.zero_point)
    layers = compare_layers(prepared.graph, prepared.encodings, few)
    progress.stop()
    _write(
        folder,
        QuantizationResult(
            layers=tuple(
                Layer(name=layer.name, op=layer.op, quantized=layer.quantized, sqnr_db=finite(layer.sqnr))
                for layer in layers
            )
        ),
    )


def make_finished(folder: Path, model: Path, options: ArtifactOptions) -> None:
    """Puts normalization and decoding into the graph."""
    finish(model, folder / MODEL, byte_input=options.input == "uint8", end_to_end=options.end_to_end)


def make_measurements(
    folder: Path,
    model: Path,
    floats: tuple[str, Path] | None,
    pictures: CalibrationSet | None,
    dataset: tuple[Path, PictureSet] | None,
    golden: Path,
    progress: Progress,
) -> None:
    """Answers pictures, labelled ones too.

    Args:
        folder: Of the step.
        model: The artifact.
        floats: Name and file of the one it is compared with; None where it is that one itself.
        pictures: To compare answers on; None where there is nothing to compare with.
        dataset: Labelled pictures, if any.
        golden: The golden picture.
        progress: Told of pictures.
    """
    session = Session(model, threads=1, name=model.parent.name)
    base = None if floats is None else Session(floats[1], threads=1, name=floats[0])
    agreement = None
    if base is not None and pictures is not None:
        agreement = _agreement(base, session, pictures, progress)
    accuracy = None if dataset is None else _accuracy(base, session, dataset, progress)
    quantized = session.contract.provenance.quantization is not None
    _write(
        folder,
        Measured(agreement=agreement, accuracy=accuracy, golden=measure_golden(model, golden, is_quantized=quantized)),
    )


def _agreement(base: Session, session: Session, pictures: CalibrationSet, progress: Progress) -> Agreement:
    answers = compare_answers(base, session, pictures.pictures, threads=available_processors(), progress=progress)
    return Agreement(
        against=base.name,
        pictures=PictureSet(name=pictures.name, pictures=answers.pictures, sha256=pictures.sha256),
        of=MEANINGS[answers.task],
        share=answers.agreement,
        interval=answers.interval,
        outputs=tuple(OutputNoise(output=output, sqnr_db=finite(sqnr)) for output, sqnr in answers.sqnr.items()),
        differing=tuple(Path(one.picture).name for one in answers.differing),
    )


def _accuracy(base: Session | None, session: Session, dataset: tuple[Path, PictureSet], progress: Progress) -> Accuracy:
    path, described = dataset
    sessions = [session] if base is None else [base, session]
    evaluation = measure(sessions, open_for(session, path, progress), threads=available_processors(), progress=progress)
    measured = evaluation.models[-1]
    metric = next(iter(measured.metrics))
    return Accuracy(
        dataset=dataclasses.replace(described, pictures=len(evaluation.items)),
        metric=metric,
        value=measured.metrics[metric],
        interval=measured.intervals.get(metric),
        drop=-100 * evaluation.differences[0].metrics[metric] if base is not None else None,
    )


def make_times(folder: Path, models: Mapping[str, Path], progress: Progress) -> None:
    """Times artifacts, which take turns; the first is what the others are compared with."""
    machine = this_machine()
    watch = OthersWatch(machine.available_processors)
    configurations = [Configuration(name, path, threads=1, batch=1, provider="cpu") for name, path in models.items()]
    results = run_results(measure_times(configurations, seconds=_SECONDS, progress=progress))
    progress.stop()
    others = watch.read()
    times = tuple(
        Speed(
            milliseconds=round(result.p50_ms, 4),
            speedup=round(1 / result.ratio.median, 4) if index else None,
            quartiles=(round(1 / result.ratio.high, 4), round(1 / result.ratio.low, 4)) if index else None,
            machine=machine.in_short,
            disturbed=None if others is None else others.disturbed,
        )
        for index, result in enumerate(results)
    )
    _write(folder, Times(artifacts=times))


def _write(folder: Path, result: Any) -> None:
    text = json.dumps(plain(result), sort_keys=True, indent=1, allow_nan=False)
    (folder / RESULT).write_text(text, encoding="utf-8")


def read_result(folder: Path, kind: type[T]) -> T:
    """What a step wrote, as the dataclass it is."""
    return build(kind, json.loads((folder / RESULT).read_text(encoding="utf-8")))
