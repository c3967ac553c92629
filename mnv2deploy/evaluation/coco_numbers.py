"""The twelve numbers of COCO, by faster-coco-eval."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.errors import MissingDependencyError
from mnv2deploy.evaluation.matching import Detections, Objects

# In the order of pycocotools' COCOeval.stats.
METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def twelve_numbers(detections: Detections, objects: Objects) -> dict[str, float]:
    """The values of `METRICS`, without those no object counts for.

    Categories do not touch each other, so they are evaluated one by one: all of COCO's val2017 at once takes 1.1 GB.

    Raises:
        MissingDependencyError: faster-coco-eval is not installed.
    """
    evaluation: Any = None
    precisions, recalls = [], []
    for category in np.unique(objects.category_ids).tolist():
        evaluation = _evaluate(detections, objects, category)
        precisions.append(evaluation.eval["precision"])  # (thresholds, recalls, categories, areas, limits)
        recalls.append(evaluation.eval["recall"])  # (thresholds, categories, areas, limits)
    if evaluation is None:
        return {}
    evaluation.eval["precision"] = np.concatenate(precisions, axis=2)
    evaluation.eval["recall"] = np.concatenate(recalls, axis=1)
    evaluation.summarize()
    return {name: float(value) for name, value in zip(METRICS, evaluation.stats, strict=True) if value > -1}


def load_evaluator() -> tuple[Any, Any]:
    """faster-coco-eval's ``COCO`` and ``COCOeval_faster``.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise MissingDependencyError(
            "Measuring on COCO needs faster-coco-eval; install with: pip install 'mnv2deploy[eval]'"
        ) from error
    return COCO, COCOeval_faster


def _evaluate(detections: Detections, objects: Objects, category: int) -> Any:
    """Evaluates one category, up to what `COCOeval_faster` sums up."""
    coco, coco_eval = load_evaluator()
    made, there = np.flatnonzero(detections.category_ids == category), np.flatnonzero(objects.category_ids == category)
    found = {
        "image_id": detections.image_ids[made],
        "bbox": detections.boxes[made],
        "score": detections.scores[made],
        "area": detections.boxes[made, 2] * detections.boxes[made, 3],
        "iscrowd": np.zeros(len(made), np.int64),
    }
    truth = {
        "image_id": objects.image_ids[there],
        "bbox": objects.boxes[there],
        "area": objects.areas[there],
        "iscrowd": objects.crowd[there].astype(np.int64),
    }
    images = [{"id": image} for image in np.union1d(found["image_id"], truth["image_id"]).tolist()]
    tables = [
        coco(
            {"images": images, "categories": [{"id": category}], "annotations": _annotations(columns, category)},
            print_function=_ignore,
        )
        for columns in (truth, found)
    ]
    evaluation = coco_eval(*tables, "bbox", print_function=_ignore)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def _annotations(columns: dict[str, NDArray[Any]], category: int) -> list[dict[str, Any]]:
    """One dict a row, numbered from 1 whatever their ids were: COCO's code takes a match with id 0 for none."""
    rows = zip(*[column.tolist() for column in columns.values()], strict=True)
    return [
        {"id": number, "category_id": category, **dict(zip(columns, row, strict=True))}
        for number, row in enumerate(rows, start=1)
    ]


def _ignore(*_: object) -> None:
    """What faster-coco-eval is given to print with."""
