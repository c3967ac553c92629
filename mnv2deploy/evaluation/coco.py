"""COCO: pictures with labelled boxes, and what detections in them are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.contract import Contract
from mnv2deploy.evaluation.average_precision import average_precision
from mnv2deploy.evaluation.coco_files import (
    Annotations,
    find_annotations,
    locate,
    picture_folders,
    read_annotations,
)
from mnv2deploy.evaluation.coco_numbers import load_evaluator, twelve_numbers
from mnv2deploy.evaluation.coco_problems import find_problems
from mnv2deploy.evaluation.coco_records import CocoRecord, make_record, stack, write_predictions
from mnv2deploy.evaluation.dataset import Item
from mnv2deploy.evaluation.matching import MAX_DETECTIONS, Objects, match
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.runtime.results import DetectionResult

# What intervals are shown for, by its places in IOU_THRESHOLDS.
_RESAMPLED = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}


@dataclass(slots=True, eq=False)
class CocoDataset:
    """Pictures with labelled boxes. A `Dataset`; for one of fewer pictures replace its ``items``.

    Metrics are of the pictures the records are of, and of the categories that have an object in these.

    Attributes:
        source: The file of annotations.
        annotations: All of it.
        items: The pictures in the file's order; ``truth`` is the picture's id.
        progress: Told while the pictures are checked.
        format: ``coco``.
        task: ``detect``.
    """

    source: Path
    annotations: Annotations
    items: Sequence[Item]
    progress: Progress = SILENT
    format: str = "coco"
    task: str = "detect"

    def files(self) -> list[Path]:
        """See `Dataset.files`."""
        return [self.source, *(item.path for item in self.items)]

    def pipeline_options(self) -> dict[str, Any]:
        """COCO's protocol: the 100 best boxes of a picture, however low their scores.

        The threshold only saves time. Of the catalog's 80-class model, 0.02 and all below give the same AP to four
        digits: over 100 boxes pass. Of its one-class model, 0.01 costs 0.003 of AP and 0.001 costs 0.0001 against
        TensorFlow's 1e-8. To decode a picture takes 13 ms at 0.001 with 80 classes, and 170 ms at 1e-8.
        """
        return {"score": 0.001, "max_detections": MAX_DETECTIONS}

    def problems(self, contract: Contract) -> list[str]:
        """See `Dataset.problems`."""
        model = {label.class_id: label.name for label in contract.labels}
        return find_problems(self.source, self.annotations, self.items, model, self.progress)

    def record(self, item: Item, result: DetectionResult) -> CocoRecord:
        """See `Dataset.record`."""
        return make_record(item.truth, result)

    def metrics(self, records: Sequence[CocoRecord]) -> dict[str, float]:
        """The twelve numbers of COCO, as faster-coco-eval has them.

        AP and AR are means over IoU thresholds 0.5 to 0.95; s, m and l are of objects up to 32 x 32 pixels, up to
        96 x 96, and beyond. A number that no object of these pictures counts for is left out (``APs`` where none is
        small): COCO's evaluation gives -1 for it, which is no value, and JSON knows no NaN.
        """
        return twelve_numbers(stack(records), self._objects(records))

    def resampled_metrics(
        self, records: Sequence[CocoRecord], weights: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """``AP``, ``AP50`` and ``AP75`` of each resample, NaN where it has no object; see `average_precision`."""
        _, values = self._average_precision(records, weights)
        return {name: _mean(values[:, :, thresholds]) for name, thresholds in _RESAMPLED.items()}

    def details(self, records: Sequence[CocoRecord]) -> dict[str, Any]:
        """``per_class``: AP and AP50 of each category that has an object in these pictures, by id."""
        objects = self._objects(records)
        _, counts = np.unique(objects.category_ids[~objects.crowd], return_counts=True)
        categories, values = self._average_precision(records, np.ones((1, len(records)), np.int64))
        return {
            "per_class": [
                {
                    "class_id": category,
                    "label": self.annotations.categories[category],
                    "objects": count,
                    "AP": float(by_threshold.mean()),
                    "AP50": float(by_threshold[0]),
                }
                for category, count, by_threshold in zip(categories.tolist(), counts.tolist(), values[0], strict=True)
            ]
        }

    def write_predictions(self, records: Sequence[CocoRecord], path: Path) -> None:
        """Writes all detections in COCO's results format; the same bytes for the same records.

        Raises:
            UsageError: the file cannot be written.
        """
        write_predictions(records, path)

    def _objects(self, records: Sequence[CocoRecord]) -> Objects:
        objects = self.annotations.objects
        return objects.at(np.isin(objects.image_ids, [record.image_id for record in records]))

    def _average_precision(
        self, records: Sequence[CocoRecord], weights: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        objects = self._objects(records)
        image_ids = np.array([record.image_id for record in records], np.int64)
        return average_precision(match(stack(records), objects), objects, image_ids, weights)


def read_coco(path: Path, progress: Progress = SILENT) -> CocoDataset:
    """Opens a COCO data set: its annotations are read, its pictures are looked for and not opened.

    Args:
        path: A folder with ``instances.json`` or ``annotations/instances_*.json`` in it, or such a file. For where the
            pictures may be see `picture_folders`.
        progress: Told while the pictures are checked.

    Raises:
        InputError: there is no file of annotations, more than one, or it is not one.
        MissingDependencyError: faster-coco-eval is not installed, which is better known before the pictures are run.
    """
    load_evaluator()
    source = find_annotations(path)
    annotations = read_annotations(source)
    folders = picture_folders(source)
    items = [
        Item(picture.file_name, locate(picture.file_name, folders), picture.id) for picture in annotations.pictures
    ]
    return CocoDataset(source, annotations, items, progress)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B, K, T) -> (B,): the mean over classes and thresholds that have a value, NaN where none has."""
    known = ~np.isnan(values)
    count = known.sum(axis=(1, 2))
    total = np.where(known, values, 0).sum(axis=(1, 2))
    mean: NDArray[np.float64] = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return mean
