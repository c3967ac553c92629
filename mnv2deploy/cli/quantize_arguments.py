"""What ``mnv2deploy quantize`` is told: options that fit, and which pictures serve for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mnv2deploy.errors import MissingDependencyError, UsageError

if TYPE_CHECKING:
    from mnv2deploy.calibration.sets import CalibrationSet
    from mnv2deploy.evaluation.dataset import Dataset
    from mnv2deploy.progress import Progress
    from mnv2deploy.quantization.pipeline import CalibrationRecord, Options

# Held back of the calibration set where no other pictures are named: every fifth, and not more than a verdict needs.
_EVERY, _MOST_HELD_BACK = 5, 50
# Targets that onnxruntime's processor provider does not stand for.
ELSEWHERE = ("openvino", "tensorrt", "qnn")
# Answers are compared on so many of a labelled set.
_MOST_COMPARED = 500


@dataclass(frozen=True, slots=True)
class Pictures:
    """Which pictures serve for what.

    Attributes:
        calibration: To calibrate with.
        record: What the artifact says of them.
        verification: To compare answers on; none of them is in ``calibration``.
        dataset: Labelled pictures to measure the metric on, if any.
        warnings: To be told the user.
        unreadable: Names of files that were left out.
    """

    calibration: Sequence[Path]
    record: CalibrationRecord
    verification: Sequence[Path]
    dataset: Dataset | None = None
    warnings: Sequence[str] = ()
    unreadable: Sequence[str] = field(default=())


def check_options(
    *, target: str, method: str, profile: str, format_name: str, exclude: Sequence[str], seed: int, margins: bool
) -> Options:
    """The options, checked before anything is loaded or downloaded.

    Raises:
        UsageError: one is unknown, or the target cannot honour it.
        MissingDependencyError: the build extra is missing.
    """
    require_quantization(profile)
    from mnv2deploy.quantization.pipeline import PROFILES, Options
    from mnv2deploy.quantization.ranges import DEFAULT_METHOD, METHODS
    from mnv2deploy.quantization.targets import FORMATS, find_target

    for option, given, known in (
        ("--profile", profile, PROFILES),
        ("--method", method, ("auto", *METHODS)),
        ("--format", format_name, FORMATS),
    ):
        if given not in known:
            raise UsageError(f"{option} {given}: it should be one of {', '.join(known)}.")
    if seed < 0:
        raise UsageError(f"--seed {seed}: it should be 0 or more.")
    return Options(
        target=find_target(target, format_name),
        format="qoperator" if format_name == "qoperator" else "qdq",
        method=DEFAULT_METHOD if method == "auto" else method,
        profile=profile,
        exclude=tuple(exclude),
        seed=seed,
        margins=margins,
    )


def require_quantization(profile: str = "fast") -> None:
    """Raises MissingDependencyError unless what the profile needs is installed; imports none of it."""
    from importlib.util import find_spec

    needed = ["onnx", *(["torch"] if profile == "best" else [])]
    if missing := [name for name in needed if find_spec(name) is None]:
        raise MissingDependencyError(
            f"Quantizing{' with --profile best' if profile == 'best' else ''} needs {' and '.join(missing)}; install "
            "with: pip install 'mnv2deploy[build]'"
        )


def check_gates(max_drop: float | None, min_speedup: float | None, target: str) -> None:
    """Raises UsageError unless the gates are numbers that can be met, and speed can be measured here."""
    if max_drop is not None and not 0 <= max_drop <= 100:
        raise UsageError(f"--max-drop {max_drop:g}: it should be percentage points from 0 to 100.")
    if min_speedup is not None and not 0 < min_speedup < float("inf"):
        raise UsageError(f"--min-speedup {min_speedup:g}: it should be a factor greater than 0.")
    if min_speedup is not None and target in ELSEWHERE:
        raise UsageError(f"--min-speedup is measured with onnxruntime on this CPU, which says nothing of {target}.")


def default_output(model: str, source: Path, output: Path | None) -> Path:
    """Where the artifact goes: beside the float one, or into the working folder for a model of the catalog.

    Raises:
        UsageError: the name is not an artifact's, or the float artifact's own.
    """
    if output is None:
        output = source.with_name(f"{source.stem}-int8.onnx") if Path(model) == source else Path(f"{model}-int8.onnx")
    if output.suffix != ".onnx":
        raise UsageError(f"{output}: an artifact's name ends in .onnx.")
    if output.is_dir():
        raise UsageError(f"{output} is a folder; name the artifact to write.")
    if output.exists() and output.samefile(source):
        raise UsageError(f"{output} is the float artifact itself; give another name with --output.")
    return output


def choose_pictures(
    calib: str | None,
    verify: str | None,
    evaluate: Path | None,
    source: Path,
    folder: Path,
    *,
    data_free: bool,
    offline: bool,
    progress: Progress,
) -> Pictures:
    """Finds the pictures, and keeps those that are measured on apart from those that are calibrated with.

    Args:
        calib: ``--calib``.
        verify: ``--verify``.
        evaluate: ``--eval``.
        source: The float artifact.
        folder: Where generated pictures are written.
        data_free: ``--data-free``.
        offline: Open no connection.
        progress: Told of downloads and pictures.

    Raises:
        UsageError: neither or both of ``--calib`` and ``--data-free``, or the same pictures twice.
        InputError: pictures are too few, all alike or unreadable.
        DownloadError: a recipe's photos cannot be had.
    """
    from mnv2deploy.calibration.find import find_set
    from mnv2deploy.calibration.sets import hash_pictures
    from mnv2deploy.evaluation.opening import open_for
    from mnv2deploy.quantization.pipeline import CalibrationRecord
    from mnv2deploy.runtime.session import Session

    if calib is not None and data_free:
        raise UsageError("Give --calib or --data-free, not both: the one has pictures, the other does without.")
    if calib is None and not data_free:
        raise UsageError(
            "Give --calib a folder of 100 or more pictures such as the model will see, or a recipe such as "
            "calib/wheel-photos.toml; or give --data-free instead, which needs no picture and is less accurate."
        )
    dataset = None if evaluate is None else open_for(Session(source, threads=1), evaluate, progress)
    checked = find_set(verify, offline=offline, progress=progress) if verify is not None else None
    compared: Sequence[Path] = () if checked is None else checked.pictures
    if not compared and dataset is not None:
        compared = [item.path for item in dataset.items][:_MOST_COMPARED]
    if calib is None:
        from mnv2deploy.quantization.generated import write_pictures

        made = write_pictures(folder / "generated", progress=progress)
        if not compared:
            compared = find_set("sample-photos", offline=offline, progress=progress).pictures
        return Pictures(made, CalibrationRecord(name="data-free", sha256=None), compared, dataset)
    found = find_set(calib, offline=offline, progress=progress)
    pictures, warnings = list(found.pictures), list(found.warnings)
    sha256 = found.sha256
    if not compared:
        pictures, compared = _hold_back(found)
        sha256 = hash_pictures(pictures)
    elif both := _shared(pictures, compared):
        warnings.append(
            f"{both} of the pictures to measure on are among those calibrated with, so what is measured flatters."
        )
    record = CalibrationRecord(name=found.name, sha256=sha256)
    return Pictures(pictures, record, compared, dataset, warnings, found.unreadable)


def _hold_back(found: CalibrationSet) -> tuple[list[Path], list[Path]]:
    """Every fifth picture, so that what is measured was not calibrated with."""
    held = list(found.pictures[_EVERY - 1 :: _EVERY])[:_MOST_HELD_BACK]
    apart = set(held)
    return [path for path in found.pictures if path not in apart], held


def _shared(pictures: Sequence[Path], compared: Sequence[Path]) -> int:
    return len({path.resolve() for path in pictures} & {path.resolve() for path in compared})
