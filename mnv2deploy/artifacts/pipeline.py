"""One recipe's artifacts, made and measured: the steps in their order, each found in the store or made.

export -> quantize -> finish (each variant) -> measure (each artifact) -> time (all of them, taking turns)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnv2deploy.artifacts import steps
from mnv2deploy.artifacts.identity import made_by, measured_on
from mnv2deploy.artifacts.manifest import PictureSet, Speed
from mnv2deploy.artifacts.recipes import ArtifactOptions, Recipe
from mnv2deploy.artifacts.source import Source, find_source
from mnv2deploy.artifacts.store import Store
from mnv2deploy.artifacts.watching import StepProgress, Watcher
from mnv2deploy.calibration.find import find_set
from mnv2deploy.calibration.recipe import recipe_for
from mnv2deploy.calibration.sets import CalibrationSet
from mnv2deploy.evaluation.opening import open_for
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.runtime.session import Session
from mnv2deploy.structure import plain
from mnv2deploy.weights.verified import sha256_of

_RUNTIME = ("numpy", "onnxruntime", "opencv-python")
_MEASURING = ("calibration", "catalog", "evaluation", "media", "quantization", "runtime")
_EXPORTERS = ("onnx", "onnxscript", "onnxsim", "torch", *_RUNTIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for every recipe of a build.

    Attributes:
        store: Where steps are kept.
        offline: Open no connection.
        progress: Told what a step does.
        watcher: Told of the steps.
        dry: Make nothing: `NotMadeError` where a step would have to be made.
    """

    store: Store
    offline: bool = False
    progress: Progress = SILENT
    watcher: Watcher = field(default_factory=Watcher)
    dry: bool = False


class NotMadeError(Exception):
    """A step would have to be made, and nothing is to be made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A recipe's artifacts, measured.

    Attributes:
        recipe: The recipe.
        source: What was built from.
        artifacts: The file of each artifact by its name, in the recipe's order.
        exported: Of the first.
        golden: The golden picture.
        quantized: Of the quantized ones; None without such.
        measured: By name.
        times: By name; empty where nothing was timed.
        pictures: What answers were compared on.
    """

    recipe: Recipe
    source: Source
    artifacts: Mapping[str, Path]
    exported: steps.ExportResult
    golden: Path
    quantized: steps.QuantizationResult | None
    measured: Mapping[str, steps.Measured]
    times: Mapping[str, Speed]
    pictures: Callable[[], Sequence[Path]]


def step_names(recipe: Recipe) -> list[str]:
    """Of the steps of a recipe, in order."""
    return [
        "export",
        *(["quantize"] if any(artifact.quantized for artifact in recipe.artifacts) else []),
        *(f"finish {artifact.name}" for artifact in recipe.artifacts if _is_finished(artifact)),
        *(f"measure {artifact.name}" for artifact in recipe.artifacts),
        *(["time"] if recipe.measure.speed else []),
    ]


def build_artifacts(recipe: Recipe, settings: Settings, *, timed: bool = True) -> Built:
    """Makes and measures what a recipe asks for.

    Args:
        recipe: What to build.
        settings: Of the build.
        timed: Whether the artifacts are timed too, if the recipe says so; other work spoils times.

    Raises:
        UsageError: the recipe names what is not there.
        InputError: pictures cannot be read, or are calibrated and measured with.
        ModelError: the card or checkpoint is invalid.
        VerificationError: onnxruntime and torch differ.
        DownloadError: weights or pictures cannot be had.
        NotMadeError: ``settings.dry`` and a step is not there.
    """
    build = _Build(recipe, settings)
    exported = build.export()
    export_result = steps.read_result(exported, steps.ExportResult)
    if export_result.not_simplified is not None:
        settings.watcher.warns(recipe.name, f"the graph was not simplified: {export_result.not_simplified}")
    quantized = build.quantize(exported / steps.MODEL) if "quantize" in step_names(recipe) else None
    artifacts: dict[str, Path] = {}
    for artifact in recipe.artifacts:
        made_of = quantized if artifact.quantized and quantized is not None else exported
        artifacts[artifact.name] = build.finish(artifact, made_of / steps.MODEL)
    dataset = build.dataset(exported / steps.MODEL)
    measured = {name: build.measure(name, artifacts, dataset, exported / steps.GOLDEN) for name in artifacts}
    times = build.time(artifacts) if timed and recipe.measure.speed else {}
    return Built(
        recipe=recipe,
        source=build.source,
        artifacts=artifacts,
        exported=export_result,
        golden=exported / steps.GOLDEN,
        quantized=None if quantized is None else steps.read_result(quantized, steps.QuantizationResult),
        measured=measured,
        times=times,
        pictures=lambda: build.pictures().pictures,
    )


class _Build:
    """The steps: what each depends on, and who makes it."""

    def __init__(self, recipe: Recipe, settings: Settings) -> None:
        self.source = find_source(recipe)
        self._recipe = recipe
        self._settings = settings
        self._names = step_names(recipe)
        self._pictures = recipe.find(recipe.measure.pictures)
        self._progress = StepProgress(settings.progress)

    def export(self) -> Path:
        offline, progress = self._settings.offline, self._progress
        inputs = {
            **self.source.identity,
            "options": plain(self._recipe.export),
            "photos": recipe_for(steps.PHOTOS).key(),
            "by": made_by(_EXPORTERS, ("catalog", "export", "networks", "runtime", "weights")),
        }
        return self._step(
            "export",
            inputs,
            lambda folder: steps.make_export(
                folder, self.source, self._recipe.export, offline=offline, progress=progress
            ),
        )

    def quantize(self, floats: Path) -> Path:
        options = self._recipe.quantization
        assert options is not None  # noqa: S101 - the recipe was checked
        calibration = self._recipe.find(options.calibration)
        named = {"calibration": None}  # which is known by its pictures, wherever it lies
        inputs = {
            "floats": sha256_of(floats),
            "options": plain(options) | named,
            "calibration": [recipe_for(calibration).name, recipe_for(calibration).key()],
            "pictures": recipe_for(self._pictures).key(),
            "by": made_by(("onnx", "torch", *_RUNTIME), ("calibration", "evaluation", "quantization", "runtime")),
        }

        def make(folder: Path) -> None:
            offline, progress = self._settings.offline, self._progress
            calibrated = find_set(calibration, offline=offline, progress=progress)
            measured = self.pictures()
            for warning in (*calibrated.warnings, *measured.warnings):
                self._settings.watcher.warns(self._recipe.name, warning)
            steps.refuse_shared(calibrated, measured)
            steps.make_quantized(folder, floats, options, calibrated, measured.pictures, progress)

        return self._step("quantize", inputs, make)

    def finish(self, artifact: ArtifactOptions, model: Path) -> Path:
        """The file of an artifact, which is the model itself where nothing is to be done to it."""
        if not _is_finished(artifact):
            return model
        inputs = {
            "model": sha256_of(model),
            "input": artifact.input,
            "end_to_end": artifact.end_to_end,
            "by": made_by(("onnx", *_RUNTIME), ("export", "finishing", "quantization", "runtime")),
        }
        made = self._step(f"finish {artifact.name}", inputs, lambda to: steps.make_finished(to, model, artifact))
        return made / steps.MODEL

    def measure(
        self, name: str, artifacts: Mapping[str, Path], dataset: tuple[Path, PictureSet] | None, golden: Path
    ) -> steps.Measured:
        first = next(iter(artifacts))
        floats = None if name == first else (first, artifacts[first])
        inputs = {
            "model": sha256_of(artifacts[name]),
            "floats": None if floats is None else [first, sha256_of(floats[1])],
            "pictures": None if floats is None else recipe_for(self._pictures).key(),
            "dataset": None if dataset is None else plain(dataset[1]),
            "golden": sha256_of(golden),
            "by": made_by(("faster-coco-eval", *_RUNTIME), _MEASURING),
            "on": measured_on(),
        }

        def make(folder: Path) -> None:
            pictures = None if floats is None else self.pictures()
            steps.make_measurements(folder, artifacts[name], floats, pictures, dataset, golden, self._progress)

        return steps.read_result(self._step(f"measure {name}", inputs, make), steps.Measured)

    def time(self, artifacts: Mapping[str, Path]) -> dict[str, Speed]:
        inputs = {
            "artifacts": {name: sha256_of(path) for name, path in artifacts.items()},
            "by": made_by(_RUNTIME, ("benchmark", "runtime")),
            "on": measured_on(),
        }
        made = self._step("time", inputs, lambda to: steps.make_times(to, artifacts, self._progress))
        return dict(zip(artifacts, steps.read_result(made, steps.Times).artifacts, strict=True))

    def pictures(self) -> CalibrationSet:
        """To compare answers on."""
        return find_set(self._pictures, offline=self._settings.offline, progress=self._progress)

    def dataset(self, floats: Path) -> tuple[Path, PictureSet] | None:
        """The labelled set and what it is called; its digest is of every file of it, and where in it that is.

        Folders may be the names of classes.
        """
        if self._recipe.measure.dataset is None:
            return None
        path = Path(self._recipe.find(self._recipe.measure.dataset))
        dataset = open_for(Session(floats, threads=1, name=self._recipe.name), path)
        home, digest = path if path.is_dir() else path.parent, hashlib.sha256()
        for file in sorted(set(dataset.files())):
            place = Path(os.path.relpath(file, home)).as_posix()
            digest.update(f"{sha256_of(file)}  {place}\n".encode())
        name = path.resolve().name
        return path, PictureSet(name=name, pictures=len(dataset.items), sha256=digest.hexdigest())

    def _step(self, name: str, inputs: Mapping[str, Any], make: Callable[[Path], None]) -> Path:
        """The folder of a step, found or made."""
        store, watcher, recipe = self._settings.store, self._settings.watcher, self._recipe.name
        kind = name.partition(" ")[0]
        if self._settings.dry and store.find(kind, inputs) is None:
            raise NotMadeError(name)
        place = f"{self._names.index(name) + 1}/{len(self._names)}"

        def watched(folder: Path) -> None:
            watcher.makes(recipe, name, place)
            self._progress.step = f"{recipe} {place} {name}"
            make(folder)

        try:
            kept = store.run(kind, inputs, watched, lambda: watcher.waits(recipe, name, place))
        finally:
            self._progress.stop()
        watcher.done(recipe, name, place, kept)
        return kept.folder


def _is_finished(artifact: ArtifactOptions) -> bool:
    return artifact.input is not None or artifact.end_to_end
