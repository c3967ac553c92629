"""Segmentation on labelled masks: mean intersection over union and accuracies of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.contract import Contract
from mnv2deploy.errors import InputError
from mnv2deploy.evaluation.dataset import Item
from mnv2deploy.evaluation.id_ranges import id_ranges
from mnv2deploy.evaluation.mask_png import read_mask
from mnv2deploy.evaluation.missing import mostly_missing
from mnv2deploy.evaluation.pictures import upright_size
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.runtime.results import SegmentationResult

Floats = NDArray[np.float64]
# Pixels of each class in one picture, (3, C): where truth and answer have it, the answer's, the truth's.
SegmentationRecord = NDArray[np.int64]

_VALUES = 2**16


@dataclass(slots=True)
class SegmentationDataset:
    """Pictures with a mask of the same size. A `Dataset`; for one of fewer pictures replace its ``items``.

    Attributes:
        items: ``truth`` is the path of the mask.
        format: ``voc``, ``ade20k`` or ``cityscapes``.
        labels: Names of the model's classes by id.
        meanings: The class id of each value a mask may hold, None for pixels that are not counted.
        source: The file that lists the pictures, if one does.
        progress: Told while the masks are checked.
        task: ``segment``.
    """

    items: Sequence[Item]
    format: str
    labels: Mapping[int, str]
    meanings: Mapping[int, int | None]
    source: Path | None = None
    progress: Progress = SILENT
    task: str = "segment"

    def files(self) -> list[Path]:
        """See `Dataset.files`."""
        pairs = [path for item in self.items for path in (item.path, item.truth)]
        return [*([self.source] if self.source else []), *pairs]

    def pipeline_options(self) -> dict[str, Any]:
        """See `Dataset.pipeline_options`."""
        return {}

    def problems(self, contract: Contract) -> list[str]:
        """See `Dataset.problems`."""
        ids = {label.class_id for label in contract.labels}
        classes = {class_id for class_id in self.meanings.values() if class_id is not None}
        if ids != classes:
            of_model = f"{id_ranges(ids)} in the model {contract.provenance.model}"
            return [f"the classes have the ids {id_ranges(classes)} in the data set and {of_model}."]
        return self._file_problems()

    def record(self, item: Item, result: SegmentationResult) -> SegmentationRecord:
        """See `Dataset.record`. Pixels whose truth is not counted count nowhere, as in all benchmarks."""
        truth = read_mask(item.truth)
        if truth.shape != result.mask.shape:
            raise InputError(f"{item.truth} is not as large as {item.path}.")
        columns = {class_id: index for index, class_id in enumerate(self.labels)}
        rows = {value: columns[class_id] for value, class_id in self.meanings.items() if class_id is not None}
        classes = len(columns)
        # Confusion of true and answered class; all that is not counted goes into one row more.
        pairs = _table(rows, classes)[truth] * classes + _table(columns, 0)[result.mask]
        confusion = np.bincount(pairs.ravel(), minlength=(classes + 1) * classes).reshape(-1, classes)[:classes]
        return np.stack([np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)])

    def metrics(self, records: Sequence[SegmentationRecord]) -> dict[str, float]:
        """``mean_iou``, ``pixel_accuracy`` and ``mean_accuracy``: mmseg's mIoU, aAcc and mAcc.

        The mean IoU is over the classes that truth or answers have somewhere: a class that is answered and nowhere
        true counts with 0. The mean accuracy is over the classes that are somewhere true.
        """
        return {name: float(value[0]) for name, value in _metrics(np.sum(records, axis=0)[None]).items()}

    def resampled_metrics(self, records: Sequence[SegmentationRecord], weights: NDArray[np.int64]) -> dict[str, Floats]:
        """All three metrics of every resample.

        A class whose pictures a resample happens to lack has no IoU in it: the 0 it would get for a stray answer in
        another picture would say that the model fails on it.
        """
        counts = np.reshape(records, (len(records), -1)).astype(np.float64)
        never_true = np.sum(records, axis=0)[2] == 0
        return _metrics((weights.astype(np.float64) @ counts).reshape(len(weights), 3, -1), never_true)

    def details(self, records: Sequence[SegmentationRecord]) -> dict[str, Any]:
        """``per_class``: IoU and accuracy of each class, None where it has none, and its true pixels."""
        both, answered, true = np.sum(records, axis=0)
        columns = zip(self.labels.items(), both.tolist(), answered.tolist(), true.tolist(), strict=True)
        return {
            "per_class": [
                {
                    "class_id": class_id,
                    "label": label,
                    "iou": hits / (found + pixels - hits) if found + pixels else None,
                    "accuracy": hits / pixels if pixels else None,
                    "pixels": pixels,
                }
                for (class_id, label), hits, found, pixels in columns
            ]
        }

    def _file_problems(self) -> list[str]:
        if not self.items:
            return ["there are no pictures."]
        pictures, masks = [item.path for item in self.items], [item.truth for item in self.items]
        problems, missing = mostly_missing(pictures, f"in {pictures[0].parent}")
        more, missing_masks = mostly_missing(masks, f"in {masks[0].parent}", "masks")
        problems += more
        self.progress.start("Checking the masks", total=len(self.items))
        for done, item in enumerate(self.items, start=1):
            problems += self._check(item, missing | missing_masks)
            self.progress.update(done)
        self.progress.stop()
        if self.format == "voc" and any("stand for no class" in problem for problem in problems):
            problems.insert(
                0, "the masks are taken for VOC's; if they are ADE20K's or Cityscapes', say so with --format."
            )
        return problems

    def _check(self, item: Item, missing: Set[Path]) -> list[str]:
        """All that is wrong with one picture, but for the files that are known to be missing."""
        problems, size, mask = [], None, None
        try:
            if item.path not in missing:
                size = upright_size(item.path)
        except InputError as error:
            problems.append(str(error))
        try:
            if item.truth not in missing:
                mask = read_mask(item.truth)
        except InputError as error:
            problems.append(str(error))
        if mask is None:
            return problems
        if size is not None and size != mask.shape:
            height, width = mask.shape
            problems.append(f"{item.truth} is {width} x {height} and its picture {size[1]} x {size[0]}.")
        if strange := sorted(set(np.flatnonzero(np.bincount(mask.ravel())).tolist()) - set(self.meanings)):
            problems.append(f"{item.truth} has pixels of value {id_ranges(strange)}, which stand for no class.")
        return problems


def _metrics(counts: NDArray[Any], may_be_untrue: bool | NDArray[np.bool_] = True) -> dict[str, Floats]:
    """(B, 3, C) counts -> (B,) of each metric.

    Args:
        counts: See `SegmentationRecord`.
        may_be_untrue: (C,): whether a class counts, with an IoU of 0, where it is only answered.
    """
    both, answered, true = counts[:, 0], counts[:, 1], counts[:, 2]
    union = answered + true - both
    return {
        "mean_iou": _mean_ratio(both, union, (union > 0) & ((true > 0) | may_be_untrue)),
        "pixel_accuracy": both.sum(axis=1) / np.maximum(true.sum(axis=1), 1),
        "mean_accuracy": _mean_ratio(both, true, true > 0),
    }


def _mean_ratio(part: NDArray[Any], whole: NDArray[Any], counts: NDArray[np.bool_]) -> Floats:
    """The mean of part / whole over the classes that count, of each row."""
    ratios = np.divide(part, whole, out=np.zeros(part.shape), where=counts)
    mean: Floats = ratios.sum(axis=1) / np.maximum(counts.sum(axis=1), 1)
    return mean


def _table(entries: Mapping[int, int], default: int) -> NDArray[np.intp]:
    """What each pixel value stands for."""
    table = np.full(_VALUES, default, np.intp)
    table[list(entries)] = list(entries.values())
    return table
