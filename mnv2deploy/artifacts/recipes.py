"""Build recipes (``models/*.toml``): what to build a release from, what to measure of it and what it must reach.

docs/recipes.md lists every key. A mistake is refused with the line it stands in.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mnv2deploy.artifacts.toml_lines import line_of
from mnv2deploy.catalog.cards import read_toml
from mnv2deploy.errors import ModelError, UsageError
from mnv2deploy.structure import StructureError, build

# Also the names of files and folders.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class RecipeError(ModelError):
    """A recipe is malformed.

    Attributes:
        line: In which the mistake stands.
    """

    def __init__(self, path: Path, line: int, what: str) -> None:
        super().__init__(f"{path}, line {line}: {what}.")
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """``[export]``: of the first artifact.

    Attributes:
        opset: Of the graph; None for the exporter's default.
        simplify: Whether onnxsim is run.
        size: Of the input, ``HEIGHTxWIDTH``, where the card has several; None for its first.
    """

    opset: int | None = None
    simplify: bool = True
    size: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointOptions:
    """``[checkpoint]``: what to build from instead of a ``model``; the options of ``mnv2deploy export --from``.

    Attributes:
        path: Of its main file or folder.
        origin: Where it comes from, instead of what its names show.
        task: Refuse it unless it is for this.
        head: Refuse it unless it has this.
        labels: A file of names, a label set of the catalog, or ``numbers``.
        preprocessing: A convention's name, or a file.
        resize: Instead of the preprocessing's.
        interpolation: Instead of the preprocessing's.
        output_stride: Of a segmenter's backbone.
        activation: Of a classifier's logits.
    """

    path: str
    origin: str | None = None
    task: Literal["classify", "detect", "segment"] | None = None
    head: Literal["deeplabv3", "deeplabv3plus", "fcn", "pspnet"] | None = None
    labels: str | None = None
    preprocessing: str | None = None
    resize: Literal["stretch", "centre_crop", "pad"] | None = None
    interpolation: Literal["bilinear", "antialias", "bicubic"] | None = None
    output_stride: int | None = None
    activation: Literal["softmax", "sigmoid"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationOptions:
    """``[quantization]``: the options of ``mnv2deploy quantize``; never ``auto``, lest machines build different files.

    Attributes:
        calibration: A folder of pictures, a recipe of them, or a photo set of the catalog.
        target: What it is to run on.
        method: How ranges are chosen.
        profile: How much work is put into accuracy.
        format: How the graph writes quantized operators.
        exclude: Patterns of layers that stay in float32.
        seed: Of everything drawn at random.
    """

    calibration: str
    target: Literal["x86-vnni", "x86-avx2", "arm", "openvino", "tensorrt", "qnn", "generic"] = "x86-vnni"
    method: Literal["minmax", "percentile", "entropy", "mse"] = "mse"
    profile: Literal["fast", "balanced", "best"] = "balanced"
    format: Literal["qdq", "qoperator"] = "qdq"
    exclude: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise StructureError(f"quantization.seed should be 0 or more, not {self.seed}", "seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """``[measure]``: on what.

    Attributes:
        pictures: To compare answers on; a folder, a recipe or a photo set. None may be calibrated with.
        dataset: Labelled pictures, as `mnv2deploy evaluate` takes them.
        speed: Whether artifacts are timed. Times differ from run to run, and so does the manifest they stand in.
    """

    pictures: str = "imagenet-20"
    dataset: str | None = None
    speed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """``[artifacts.checks]``: what an artifact must reach; a check that fails publishes nothing.

    Attributes:
        max_parity_error: Against torch, as a part of the output's range; of the first artifact.
        max_megabytes: Of the file, 10^6 bytes.
        min_agreement: Percent of the answers that are the first artifact's.
        min_accuracy: Percent, of the metric of ``measure.dataset``.
        max_drop: Percentage points of that metric, against the first artifact.
        min_speedup: Times as fast as the first artifact.
    """

    max_parity_error: float | None = None
    max_megabytes: float | None = None
    min_agreement: float | None = None
    min_accuracy: float | None = None
    max_drop: float | None = None
    min_speedup: float | None = None

    def given(self) -> dict[str, float]:
        """Those that are asked, by name."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}

    def __post_init__(self) -> None:
        for name, value in self.given().items():
            most = 100.0 if name in ("min_agreement", "min_accuracy", "max_drop") else float("inf")
            if not 0 <= value <= most:
                raise StructureError(f"{name} should be 0 to {most:g}, not {value:g}", name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactOptions:
    """``[[artifacts]]``: one file to publish.

    Attributes:
        name: The file is called ``RECIPE-NAME.onnx``.
        quantized: Whether it computes in eight bits, as ``[quantization]`` says.
        input: ``uint8``: the graph takes the resized picture's bytes and normalises itself; ``float32``: as exported.
            None for the one that is usual: bytes where the target's graphs take them, else numbers.
        end_to_end: Whether the graph decodes its outputs to classes, boxes or a mask itself.
        checks: What it must reach.
    """

    name: str
    quantized: bool = False
    input: Literal["uint8"] | None = None
    end_to_end: bool = False
    checks: Checks = field(default_factory=Checks)

    @property
    def is_plain(self) -> bool:
        """Whether it is what export makes, with nothing done to it."""
        return not (self.quantized or self.input or self.end_to_end)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise StructureError(f"name should be letters, digits, '.', '_' and '-', not {self.name!r}", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineOptions:
    """``[baseline]``: how much worse than the release of ``--baseline`` this one may be; nothing is asked by default.

    Attributes:
        max_size_growth: Percent, of a file.
        max_drop: Percentage points, of the accuracy, or else of the agreement.
        max_slowdown: Percent: of the speed-up over the first artifact, which machines share more than milliseconds.
    """

    max_size_growth: float | None = None
    max_drop: float | None = None
    max_slowdown: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishOptions:
    """``[publish]``: what else lies in the release.

    Attributes:
        triton: Whether there is a model repository for Triton.
    """

    triton: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecipeFile:
    """The file."""

    model: str | None = None
    weights: str | None = None
    checkpoint: CheckpointOptions | None = None
    export: ExportOptions = field(default_factory=ExportOptions)
    quantization: QuantizationOptions | None = None
    measure: MeasureOptions = field(default_factory=MeasureOptions)
    artifacts: tuple[ArtifactOptions, ...] = (ArtifactOptions(name="fp32"),)
    baseline: BaselineOptions = field(default_factory=BaselineOptions)
    publish: PublishOptions = field(default_factory=PublishOptions)

    def __post_init__(self) -> None:
        if (self.model is None) == (self.checkpoint is None):
            raise StructureError("give model, a name of the catalog or a card's path, or else [checkpoint]", "model")
        if self.weights is not None and self.model is None:
            raise StructureError("weights fill the network of a model, and there is none", "weights")
        if not self.artifacts or not self.artifacts[0].is_plain:
            raise StructureError(
                "the first of [[artifacts]] is the one others are compared with: neither quantized, nor of other input",
                "artifacts[0]",
            )
        if self.quantization is not None and self.quantization.calibration == self.measure.pictures:
            raise StructureError(
                f"{self.measure.pictures} is measured on, so it cannot be calibrated with", "quantization.calibration"
            )
        names = [artifact.name for artifact in self.artifacts]
        for index, artifact in enumerate(self.artifacts):
            place = f"artifacts[{index}]"
            if artifact.name in names[:index]:
                raise StructureError(f"there are two artifacts of the name {artifact.name}", f"{place}.name")
            if artifact.quantized and self.quantization is None:
                raise StructureError(f"{artifact.name} is quantized, and there is no [quantization]", place)
            self._check_checks(artifact, index)

    def _check_checks(self, artifact: ArtifactOptions, index: int) -> None:
        """Refuses checks of what is not measured."""
        for name in artifact.checks.given():
            place = f"artifacts[{index}].checks.{name}"
            if name in ("min_accuracy", "max_drop") and self.measure.dataset is None:
                raise StructureError(f"{name} is measured on labelled pictures; name them in measure.dataset", place)
            if name == "min_speedup" and not self.measure.speed:
                raise StructureError("min_speedup needs measure.speed", place)
            if name == "max_parity_error" and index:
                raise StructureError("max_parity_error is of the first artifact, which is compared with torch", place)
            if name in ("min_agreement", "max_drop", "min_speedup") and not index:
                raise StructureError(f"{name} compares with the first artifact, which this is", place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One release to build; paths in it are found from the recipe's folder.

    Attributes:
        name: Of the file, without its ending: the release's name.
        path: Of the file.
        text: Of the file, as it is.
        model: Name of a catalog card, or path of one of your own; None where it is built from a checkpoint.
        weights: A checkpoint of the card's format instead of the card's own.
        checkpoint: See `CheckpointOptions`.
        export: See `ExportOptions`.
        quantization: See `QuantizationOptions`.
        measure: See `MeasureOptions`.
        artifacts: See `ArtifactOptions`; the first is the one others are made from and compared with.
        baseline: See `BaselineOptions`.
        publish: See `PublishOptions`.
    """

    name: str
    path: Path
    text: str
    model: str | None
    weights: Path | None
    checkpoint: CheckpointOptions | None
    export: ExportOptions
    quantization: QuantizationOptions | None
    measure: MeasureOptions
    artifacts: tuple[ArtifactOptions, ...]
    baseline: BaselineOptions
    publish: PublishOptions

    def find(self, name_or_path: str) -> str:
        """A path as the recipe means it; a name that stands for no file beside the recipe as it is.

        ``${NAME}`` stands for an environment variable.

        Raises:
            UsageError: there is no such variable.
        """
        given = re.sub(r"\$\{(\w+)\}", self._variable, name_or_path)
        path = self.path.parent / Path(given).expanduser()
        return str(path) if path.exists() or "/" in given or given.endswith(".toml") else given

    def _variable(self, match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            line = next(number for number, line in enumerate(self.text.splitlines(), 1) if match[0] in line)
            raise UsageError(f"{self.path}, line {line}: the environment variable {match[1]} is not set.")
        return os.environ[match[1]]


def is_recipe(path: Path) -> bool:
    """Whether a file is a recipe, and not a card, which is TOML too.

    Raises:
        UsageError: it cannot be opened.
        ModelError: it is not TOML.
    """
    return path.suffix == ".toml" and bool({"model", "checkpoint"} & set(read_toml(path)))


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe.

    Raises:
        UsageError: it cannot be opened, or its name is no release's.
        ModelError: it is malformed; a `RecipeError` says in which line.
    """
    table = read_toml(path)
    text = path.read_text(encoding="utf-8")
    if not _NAME.fullmatch(path.stem):
        raise UsageError(f"{path}: the recipe's name is the release's; use letters, digits, '.', '_' and '-'.")
    try:
        file = build(_RecipeFile, table)
    except StructureError as error:
        raise RecipeError(path, line_of(text, error.path), str(error)) from error
    return Recipe(
        name=path.stem,
        path=path,
        text=text,
        model=file.model,
        weights=None if file.weights is None else path.parent / file.weights,
        checkpoint=file.checkpoint,
        export=file.export,
        quantization=file.quantization,
        measure=file.measure,
        artifacts=file.artifacts,
        baseline=file.baseline,
        publish=file.publish,
    )
