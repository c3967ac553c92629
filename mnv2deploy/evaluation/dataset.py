"""What a labelled set of pictures is, whatever its task: items, a record of each answer, and metrics over records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.contract import Contract


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled picture.

    Attributes:
        name: What the data set calls it.
        path: Of the picture.
        truth: What is in it, in the data set's own form, or where to read that; small, never pixels.
    """

    name: str
    path: Path
    truth: Any


def evenly_spaced(items: Sequence[Item], count: int | None) -> Sequence[Item]:
    """So many items at equal distances, the first one among them: sets are often sorted by class. None takes all."""
    if count is None or count >= len(items):
        return items
    return [items[index * len(items) // count] for index in range(count)]


class Dataset(Protocol):
    """Labelled pictures of one task and what their answers are worth.

    A record is all that is kept of one answered picture: a few numbers, so that memory does not grow with pictures.

    Attributes:
        format: ``imagenet``, ``coco``, ``voc``, ``ade20k`` or ``cityscapes``.
        task: ``classify``, ``detect`` or ``segment``.
        items: The pictures, in a fixed order. To measure fewer, replace them before anything else is asked.
    """

    format: str
    task: str
    items: Sequence[Item]

    def files(self) -> Iterable[Path]:
        """Every file it consists of, whether it is there or not: labels, pictures, masks."""

    def pipeline_options(self) -> dict[str, Any]:
        """What `open_pipeline` is given so that the answers are what the metric wants, not what a person wants."""

    def problems(self, contract: Contract) -> list[str]:
        """Sentences on all that keeps this model from being measured on these pictures; empty when nothing does.

        Looks at every item's files without running the model.
        """

    def record(self, item: Item, result: Any) -> Any:
        """What is kept of one answer. Called from several threads at once.

        Raises:
            InputError: what is true of the picture cannot be read, though it could be before.
        """

    def metrics(self, records: Sequence[Any]) -> dict[str, float]:
        """Every metric's value by its name, the most important first. Fractions of 1, not percent."""

    def resampled_metrics(self, records: Sequence[Any], weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """The metrics that confidence intervals are shown for, once a resample.

        Args:
            records: N of them.
            weights: (B, N): how often each picture stands in each of B resamples.

        Returns:
            (B,) values by metric name; with weights of 1 they equal those of `metrics`.
        """

    def details(self, records: Sequence[Any]) -> dict[str, Any]:
        """More than one number a metric, ready for JSON: ``per_class`` and the like."""
