"""The manifest of a release: every file of it, what was measured, and where all of it came from.

``manifest.json`` is what a program reads of a release; docs/manifest.md says what each field means to whoever
downloads one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mnv2deploy.contract import Contract
from mnv2deploy.errors import ModelError, UsageError
from mnv2deploy.structure import build, plain

MANIFEST = "manifest.json"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedFile:
    """One file.

    Attributes:
        name: Path inside the release, with ``/``.
        sha256: Hex digest.
        size: Bytes.
    """

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSet:
    """Pictures something was calibrated or measured with.

    Attributes:
        name: Of the set.
        pictures: How many.
        sha256: Of their names and bytes, see `calibration.sets.hash_pictures`.
    """

    name: str
    pictures: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far an output in onnxruntime is from torch's, on real pictures.

    Attributes:
        output: Its name.
        batch: Pictures at once.
        max_error: Greatest absolute difference.
        mean_error: Mean absolute difference.
        relative_error: The greatest, as a part of the output's range.
    """

    output: str
    batch: int
    max_error: float
    mean_error: float
    relative_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputNoise:
    """How much of an output is noise against the float artifact's.

    Attributes:
        output: Its name.
        sqnr_db: Signal to quantization noise, dB; None where nothing differs.
    """

    output: str
    sqnr_db: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How often an artifact answers as the first of its release.

    Attributes:
        against: Name of that artifact.
        pictures: Both answered these.
        of: What is counted.
        share: 0..1.
        interval: 95 % of it; None of too few pictures.
        outputs: None of those that the other does not have.
        differing: Names of the pictures answered differently, the least alike first.
    """

    against: str
    pictures: PictureSet
    of: str
    share: float
    interval: tuple[float, float] | None
    outputs: tuple[OutputNoise, ...]
    differing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How often an artifact is right on labelled pictures.

    Attributes:
        dataset: The pictures and their labels.
        metric: ``top_1``, ``AP``, ``mean_iou``: as `mnv2deploy evaluate` has it.
        value: 0..1.
        interval: 95 % of it; None where it has none.
        drop: Percentage points less than the first artifact of the release; None of the first.
    """

    dataset: PictureSet
    metric: str
    value: float
    interval: tuple[float, float] | None
    drop: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """A run of the network alone: one picture, one thread, taking turns with the first artifact.

    Attributes:
        milliseconds: Median.
        speedup: How many times as fast as the first artifact of the release: the median of the rounds; None of the
            first itself.
        quartiles: Of the rounds; None of the first.
        machine: On which, in words.
        disturbed: Whether other programs had the processors meanwhile; None where the system does not tell.
    """

    milliseconds: float
    speedup: float | None
    quartiles: tuple[float, float] | None
    machine: str
    disturbed: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of a quantized artifact.

    Attributes:
        name: Of the node.
        op: Operator.
        quantized: Whether it computes in eight bits.
        sqnr_db: Of its output, with the noise of all before it; None where nothing differs.
    """

    name: str
    op: str
    quantized: bool
    sqnr_db: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenOutput:
    """Some values of an output for the golden picture.

    Attributes:
        name: Of the output.
        shape: Without the batch.
        low: The least value.
        high: The greatest value.
        values: Evenly spaced over the flattened output, the first included.
    """

    name: str
    shape: tuple[int, ...]
    low: float
    high: float
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One class, object or segment.

    Attributes:
        label: Its name.
        class_id: The data set's own id.
        score: 0..1; of a class or an object.
        box: ``(x1, y1, x2, y2)`` in pixels; of an object.
        share: Of the picture, 0..1; of a segment.
    """

    label: str
    class_id: int
    score: float | None = None
    box: tuple[float, float, float, float] | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """What an artifact answers to the golden picture, which lies in the release.

    Attributes:
        picture: Its name in the release.
        tolerance: Another machine may compute values that are so far off, as a part of the output's range.
        outputs: As the graph gives them.
        answers: As `mnv2deploy` gives them.
    """

    picture: str
    tolerance: float
    outputs: tuple[GoldenOutput, ...]
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A gate of the recipe.

    Attributes:
        name: As in the recipe, such as ``min_agreement``.
        wanted: The limit.
        got: What was measured; None where it could not be.
        passed: Whether it is inside the limit.
    """

    name: str
    wanted: float
    got: float | None
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One ``.onnx`` file of the release.

    Attributes:
        name: In the recipe.
        file: The file.
        made_from: The artifact of the release it was made from; None of the first.
        contract: As it carries it.
        parameters: Of convolutions and linear layers.
        multiply_adds: For one picture.
        parity: Against torch; of the first alone.
        agreement: With the first; None of the first, and where no pictures are named.
        accuracy: None where no labelled set is named.
        speed: None where it was not measured.
        layers: Of the first quantized artifact; the others have the same.
        golden: What it answers to the golden picture.
        checks: Those of the recipe.
    """

    name: str
    file: ReleasedFile
    made_from: str | None
    contract: Contract
    parameters: int
    multiply_adds: int
    parity: tuple[Parity, ...]
    agreement: Agreement | None
    accuracy: Accuracy | None
    speed: Speed | None
    layers: tuple[Layer, ...]
    golden: Golden
    checks: tuple[Check, ...]

    @property
    def is_quantized(self) -> bool:
        """Whether it computes in eight bits."""
        return self.contract.provenance.quantization is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Where the weights came from.

    Attributes:
        source: Address.
        licence: SPDX identifier.
        files: Name and sha256 of each.
    """

    source: str
    licence: str
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A release.

    Attributes:
        name: Of the recipe.
        title: Of the model, for people.
        description: Of the model.
        paper: Its source.
        task: ``classify``, ``detect`` or ``segment``.
        recipe: The recipe it was built from, which lies in the release.
        weights: Where they came from.
        calibration: What the quantized artifacts were calibrated with; None without such.
        artifacts: In the recipe's order; the first is what the others are compared with.
        files: All other files of the release but this one and the sums.
        tools: Name and version of each program that shaped the artifacts.
        version: Of this format.
    """

    name: str
    title: str
    description: str
    paper: str
    task: str
    recipe: ReleasedFile
    weights: Weights
    calibration: PictureSet | None
    artifacts: tuple[Artifact, ...]
    files: tuple[ReleasedFile, ...]
    tools: tuple[tuple[str, str], ...]
    version: int = VERSION

    def to_json(self) -> str:
        """The file's text: sorted keys, the same bytes for the same manifest."""
        return json.dumps(plain(self), sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n"

    @property
    def minimum_onnxruntime(self) -> str:
        """The first release that loads every artifact."""
        needed = [artifact.contract.provenance.minimum_onnxruntime for artifact in self.artifacts]
        return max(needed, key=lambda version: [int(part) for part in version.split(".")])


def read_manifest(path: Path) -> Manifest:
    """Reads a manifest.

    Args:
        path: The file, or the folder of its release.

    Raises:
        UsageError: there is no such file.
        ModelError: it is no manifest, or of a version this program does not know.
    """
    path = path / MANIFEST if path.is_dir() else path
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        version = table["version"]
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; give the folder of a release, or its {MANIFEST}.") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelError(f"{path} is not the manifest of a release.") from error
    if version != VERSION:
        raise ModelError(f"{path} is a manifest of version {version}; this mnv2deploy reads version {VERSION}.")
    try:
        return build(Manifest, table)
    except ValueError as error:
        raise ModelError(f"{path} is not a manifest this mnv2deploy can read ({error}).") from error
