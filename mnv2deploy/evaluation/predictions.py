"""Answers written in the form other programs for the task read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnv2deploy.contract import Contract
from mnv2deploy.errors import UsageError
from mnv2deploy.evaluation.classification import ClassificationRecord
from mnv2deploy.evaluation.dataset import Item
from mnv2deploy.files import write_atomically
from mnv2deploy.media.drawing import mask_colour
from mnv2deploy.media.sinks import save_mask
from mnv2deploy.runtime.results import SegmentationResult


def write_classifications(
    items: Sequence[Item], records: Sequence[ClassificationRecord], labels: Mapping[int, str], path: Path
) -> None:
    """Writes JSON Lines: of each picture its file, its true class and the likeliest classes.

    Raises:
        UsageError: the file cannot be written.
    """
    lines = [json.dumps(_classification(*one, labels)) for one in zip(items, records, strict=True)]
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())


def _classification(item: Item, record: ClassificationRecord, labels: Mapping[int, str]) -> dict[str, Any]:
    answers = zip(record.answers, record.probabilities, strict=True)
    return {
        "file": str(item.path),
        "true_class_id": record.truth,
        "classes": [
            {"label": labels.get(class_id), "class_id": class_id, "score": round(score, 6)}
            for class_id, score in answers
        ],
    }


class MaskFolder:
    """Writes masks as they come, each as an indexed PNG with the picture's name, so that none waits in memory.

    Args:
        folder: Is made; must be empty, so that no mask of anybody's is overwritten.
        contract: Of the model; has the colours.

    Raises:
        UsageError: it is not an empty folder.
    """

    def __init__(self, folder: Path, contract: Contract) -> None:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--save-predictions {folder} is a file; name a new folder, into which masks are written.")
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not an empty folder; name a new one, into which the masks are written.")
        self._folder = folder
        self._palette = {one.class_id: mask_colour(one.name, one.class_id, one.colour) for one in contract.labels}

    def __call__(self, item: Item, result: SegmentationResult) -> None:
        """Writes one mask; called from several threads at once."""
        save_mask(self._folder / f"{item.name}.png", result.mask, self._palette)
