"""The golden picture of a release: what every artifact answers to it, noted when it is made and compared elsewhere.

How far another machine may be off was measured by running artifacts with onnxruntime's optimisations on and off. Off,
sums are made in another order, and between QuantizeLinear and DequantizeLinear it computes in float32 what it else
computes in integers: more than another processor's kernels change.

- Float artifacts differed by 3e-6 of an output's range at most (all tasks, 11 photos), on one thread and two by
  nothing. 1e-3 is 300 times that; pictures 12 grey levels brighter differ by 4e-3 in the mean.
- Eight-bit artifacts: a value on the edge between two steps falls on its other side and moves what comes after. Raw
  outputs differed by 7 % of their range at most and by 1.2 % in the mean, scores by 0.08, boxes by an IoU of 0.95 (24
  photos), segments by 0.7 % of the picture (14 photos). Swapped colour channels differ by 5 % in the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mnv2deploy.artifacts.answers import Margins, compare_answers, to_answers
from mnv2deploy.artifacts.manifest import Answer, Golden, GoldenOutput
from mnv2deploy.contract import Contract
from mnv2deploy.errors import Mnv2deployError, ModelError
from mnv2deploy.runtime import images
from mnv2deploy.runtime.pipeline import open_pipeline
from mnv2deploy.runtime.session import Session

_LONGEST_SIDE = 320
_SAMPLES = 64
_FLOAT_TOLERANCE, _QUANTIZED_TOLERANCE = 1e-3, 0.1
# The mean of the differences is at most so much of the tolerance: one value may be far off, not all of them.
_MEAN_OF_TOLERANCE = 0.25
_FLOAT_MARGINS = Margins(score=0.01, iou=0.9, share=0.01)
_QUANTIZED_MARGINS = Margins(score=0.15, iou=0.9, share=0.02)
# Of a graph that decodes, whose outputs are ranked lists and masks: rows may change places and pixels their class.
_LEAST_SAME, _FEW = 0.75, 2


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """An artifact and what it said: its outputs by name, without the batch, and its answers."""

    contract: Contract
    outputs: dict[str, NDArray[Any]]
    answers: tuple[Answer, ...]


def make_golden_picture(photo: Path) -> bytes:
    """A small copy of a photo, to lie in a release.

    Args:
        photo: A picture file.

    Returns:
        A PNG file, 8-bit RGB, lossless and without metadata, its longest side at most 320 pixels; smaller photos keep
        their size. The same bytes every time from the same OpenCV.

    Raises:
        InputError: the photo cannot be read.
    """
    image = images.read(photo)
    height, width = image.shape[:2]
    scale = _LONGEST_SIDE / max(height, width)
    if scale < 1:
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", bgr, (cv2.IMWRITE_PNG_COMPRESSION, 9))[1].tobytes()


def measure_golden(model: Path, picture: Path, *, is_quantized: bool) -> Golden:
    """Notes what an artifact answers to the golden picture.

    Args:
        model: The artifact.
        picture: The golden picture.
        is_quantized: Whether the artifact computes in eight bits, where other processors may differ by more.

    Raises:
        UsageError: there is no such artifact.
        ModelError: it does not run, or an output has values that are no finite numbers.
        InputError: the picture cannot be read.
    """
    run = _run(model, picture)
    return Golden(
        picture=picture.name,
        tolerance=_QUANTIZED_TOLERANCE if is_quantized else _FLOAT_TOLERANCE,
        outputs=tuple(
            GoldenOutput(
                name=name,
                shape=output.shape,
                low=_rounded(output.min()),
                high=_rounded(output.max()),
                values=tuple(_rounded(value) for value in _samples(output)),
            )
            for name, output in run.outputs.items()
        ),
        answers=run.answers,
    )


def check_golden(model: Path, folder: Path, golden: Golden) -> list[str]:
    """Runs an artifact on the golden picture and compares what it says with what was noted.

    Args:
        model: The artifact.
        folder: Of the release.
        golden: What was noted.

    Returns:
        What differs, in sentences; nothing where all is as it was.

    Raises:
        UsageError: there is no such artifact.
        ModelError: it does not run, or an output has values that are no finite numbers.
        InputError: the picture cannot be read.
    """
    run = _run(model, folder / golden.picture)
    if list(run.outputs) != [output.name for output in golden.outputs]:
        names = ", ".join(output.name for output in golden.outputs)
        return [f"{model.name} has the outputs {', '.join(run.outputs)} and golden values of {names}."]
    is_quantized = run.contract.provenance.quantization is not None
    margins = _QUANTIZED_MARGINS if is_quantized else _FLOAT_MARGINS
    compare = _compare_ranked if run.contract.finished else _compare_raw
    return [
        f"On {golden.picture} {model.name} {difference}."
        for difference in (
            *filter(None, (compare(wanted, run.outputs[wanted.name], golden.tolerance) for wanted in golden.outputs)),
            *compare_answers(golden.answers, run.answers, run.contract, margins),
        )
    ]


def _run(model: Path, picture: Path) -> _Run:
    """One thread: sums of more are made in another order."""
    session = Session(model, threads=1)
    pipeline: Any = open_pipeline(session)
    image = images.read(picture)
    try:
        raw, height, width = session.run_picture(image)
        result = pipeline.decode(*raw, height=height, width=width)
    except Mnv2deployError:
        raise
    except Exception as error:  # onnxruntime's own exceptions have no common base
        raise ModelError(f"{model} does not run on {picture.name} ({error}); make it again.") from error
    outputs = {output.name: np.asarray(values) for output, values in zip(session.contract.outputs, raw, strict=True)}
    for name, values in outputs.items():
        if not values.size or not np.isfinite(values).all():
            raise ModelError(f"{model}: {name} has values for {picture.name} that are no finite numbers.")
    return _Run(session.contract, outputs, to_answers(result))


def _samples(output: NDArray[Any]) -> NDArray[np.float64]:
    """At most 64 values, evenly spaced from the first to the last.

    Their distance is that of the ends over 63, and so no multiple of a table's columns: none is left out.
    """
    flat = output.reshape(-1)
    count = min(_SAMPLES, flat.size)
    places = np.arange(count) * (flat.size - 1) // max(count - 1, 1)
    return flat[places].astype(np.float64)


def _rounded(value: float) -> float:
    return float(f"{float(value):.7g}")


def _compare_raw(wanted: GoldenOutput, got: NDArray[Any], tolerance: float) -> str | None:
    """Every value within the tolerance, and all together nearer than that."""
    if (difference := _shape_difference(wanted, got)) is not None:
        return difference
    values = np.array([got.min(), got.max(), *_samples(got)], np.float64)
    off = np.abs(values - [wanted.low, wanted.high, *wanted.values]) / _range(wanted)
    if off.max() <= tolerance and off[2:].mean() <= tolerance * _MEAN_OF_TOLERANCE:
        return None
    return (
        f"computes {wanted.name} otherwise: values differ by up to {off.max():.2g} of its range and by "
        f"{off[2:].mean():.2g} in the mean, where {tolerance:g} and {tolerance * _MEAN_OF_TOLERANCE:g} are allowed"
    )


def _compare_ranked(wanted: GoldenOutput, got: NDArray[Any], tolerance: float) -> str | None:
    """Most values the same: whole numbers equal, others within the tolerance."""
    if (difference := _shape_difference(wanted, got)) is not None:
        return difference
    allowed = 0 if got.dtype.kind in "iu" else tolerance * _range(wanted)
    unlike = int((np.abs(_samples(got) - wanted.values) > allowed).sum())
    if unlike <= max(_FEW, (1 - _LEAST_SAME) * len(wanted.values)):
        return None
    return f"answers otherwise: {unlike} of {len(wanted.values)} values of {wanted.name} differ"


def _shape_difference(wanted: GoldenOutput, got: NDArray[Any]) -> str | None:
    if got.shape != wanted.shape:
        return f"answers {wanted.name} of the shape {got.shape} instead of {wanted.shape}"
    if len(wanted.values) != min(_SAMPLES, got.size):
        return f"answers {got.size} values of {wanted.name}, of which {len(wanted.values)} are noted"
    return None


def _range(wanted: GoldenOutput) -> float:
    """What tolerances are parts of; of an output that is the same everywhere its size."""
    return abs(wanted.high - wanted.low) or abs(wanted.high) or 1.0
