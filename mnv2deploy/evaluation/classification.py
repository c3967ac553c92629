"""Classification on labelled pictures: top-1, top-5, accuracy by class, confusion and calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.contract import Contract
from mnv2deploy.errors import InputError
from mnv2deploy.evaluation.dataset import Item
from mnv2deploy.evaluation.id_ranges import id_ranges
from mnv2deploy.evaluation.missing import mostly_missing
from mnv2deploy.evaluation.pictures import upright_size
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.runtime.results import ClassificationResult

TOP = 5
CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class ClassificationRecord:
    """What is kept of one answer.

    Attributes:
        truth: Class id.
        answers: Class ids, the likeliest first, at most `TOP`; of equal scores the lower column first.
        probabilities: Of the answers.
    """

    truth: int
    answers: tuple[int, ...]
    probabilities: tuple[float, ...]


@dataclass(slots=True)
class ClassificationDataset:
    """Pictures of one class each. A `Dataset`; for one of fewer pictures replace its ``items``.

    Attributes:
        items: ``truth`` is the class id, or the text that names no class of the model.
        labels: Names of the model's classes by id.
        named: Those of them that the data set told by name: another model must have the same ones there.
        source: The CSV that lists the pictures, if one does.
        progress: Told while the pictures are checked.
        format: ``imagenet``.
        task: ``classify``.
    """

    items: Sequence[Item]
    labels: Mapping[int, str]
    named: Mapping[int, str] = field(default_factory=dict)
    source: Path | None = None
    progress: Progress = SILENT
    format: str = "imagenet"
    task: str = "classify"

    def files(self) -> list[Path]:
        """See `Dataset.files`."""
        return [*([self.source] if self.source else []), *(item.path for item in self.items)]

    def pipeline_options(self) -> dict[str, Any]:
        """See `Dataset.pipeline_options`."""
        return {"top": TOP}

    def problems(self, contract: Contract) -> list[str]:
        """See `Dataset.problems`."""
        return [*self._class_problems(contract), *self._file_problems()]

    def record(self, item: Item, result: ClassificationResult) -> ClassificationRecord:
        """See `Dataset.record`."""
        return ClassificationRecord(
            truth=item.truth,
            answers=tuple(one.class_id for one in result.classes),
            probabilities=tuple(one.score for one in result.classes),
        )

    def metrics(self, records: Sequence[ClassificationRecord]) -> dict[str, float]:
        """``top_1``, ``top_5`` where there are more than five classes, ``expected_calibration_error``."""
        metrics = {name: float(right.mean()) for name, right in self._right(records).items()}
        return {**metrics, "expected_calibration_error": expected_calibration_error(records)}

    def resampled_metrics(
        self, records: Sequence[ClassificationRecord], weights: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """``top_1`` and ``top_5`` of every resample.

        Not the calibration error: it counts the noise in each bin as error, and a resample has that noise twice.
        """
        counts = weights.astype(np.float64)
        return {name: counts @ right / counts.sum(axis=1) for name, right in self._right(records).items()}

    def details(self, records: Sequence[ClassificationRecord]) -> dict[str, Any]:
        """``per_class``: top-1 of the pictures of each class that there are pictures of, by id."""
        pictures = Counter(record.truth for record in records)
        right = Counter(record.truth for record in records if record.answers[0] == record.truth)
        return {
            "per_class": [
                {
                    "class_id": class_id,
                    "label": self.labels[class_id],
                    "pictures": count,
                    "top_1": right[class_id] / count,
                }
                for class_id, count in sorted(pictures.items())
            ]
        }

    def _right(self, records: Sequence[ClassificationRecord]) -> dict[str, NDArray[np.float64]]:
        """1 where a picture is answered rightly and 0 where not, by metric."""
        right = {"top_1": np.array([record.answers[0] == record.truth for record in records], np.float64)}
        if len(self.labels) > TOP:
            right["top_5"] = np.array([record.truth in record.answers for record in records], np.float64)
        return right

    def _class_problems(self, contract: Contract) -> list[str]:
        names = {label.class_id: label.name for label in contract.labels}
        truths = Counter(item.truth for item in self.items)
        unknown = {truth: count for truth, count in truths.items() if truth not in names}
        model, ids = contract.provenance.model, f", whose ids are {id_ranges(names)}"
        renamed = {class_id: name for class_id, name in self.named.items() if names.get(class_id, name) != name}
        return [
            *(
                f"class {truth!r} is no class of the model {model}{ids if isinstance(truth, int) else ''} "
                f"({_pictures(count)})."
                for truth, count in unknown.items()
            ),
            *(
                f"class {one} is {name!r} here and {names[one]!r} in the model {model}."
                for one, name in renamed.items()
            ),
        ]

    def _file_problems(self) -> list[str]:
        if not self.items:
            return ["there are no pictures."]
        belong = f"beside {self.source} or in the folder images there" if self.source else "where they were listed"
        problems, missing = mostly_missing([item.path for item in self.items], belong)
        self.progress.start("Checking the pictures", total=len(self.items))
        for done, item in enumerate(self.items, start=1):
            try:
                if item.path not in missing:
                    upright_size(item.path)
            except InputError as error:
                lost = self.source is not None and not item.path.exists()
                problems.append(f"{item.path} does not exist, but {self.source} lists it." if lost else str(error))
            self.progress.update(done)
        self.progress.stop()
        return problems


def expected_calibration_error(records: Sequence[ClassificationRecord]) -> float:
    """How far the probability of the first answer is from how often it is right, 0..1.

    Pictures are sorted by that probability into 15 bins of equal width, each with its upper edge; the error is the mean
    of ``|right - probability|`` over bins, weighted by their pictures (Guo et al. 2017, arXiv 1706.04599, equation 3).
    """
    confidence = np.array([record.probabilities[0] for record in records])
    right = np.array([record.answers[0] == record.truth for record in records], np.float64)
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    gaps = np.bincount(np.digitize(confidence, edges[1:-1], right=True), right - confidence, CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(records))


def confusion_matrix(records: Sequence[ClassificationRecord], class_ids: Sequence[int]) -> NDArray[np.int64]:
    """How often each class was taken for each.

    Args:
        records: Whose truths and answers are among ``class_ids``.
        class_ids: C of them.

    Returns:
        (C, C); the row is what the picture shows, the column the first answer.
    """
    place = {class_id: index for index, class_id in enumerate(class_ids)}
    matrix = np.zeros((len(class_ids), len(class_ids)), np.int64)
    for record in records:
        matrix[place[record.truth], place[record.answers[0]]] += 1
    return matrix


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"
