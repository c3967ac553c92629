"""A confusion matrix in a file: all of it as CSV, or what there is in it as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mnv2deploy import figures
from mnv2deploy.evaluation.classification import ClassificationRecord, confusion_matrix
from mnv2deploy.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# More names than this cannot be read beside the matrix.
_MOST_NAMES = 60


def check_confusion_file(path: Path) -> None:
    """Says what would keep `write_confusion` from writing, before anything is measured.

    Raises:
        UsageError: another ending than .csv, .svg and .png, or no such folder.
        MissingDependencyError: it is to be drawn and matplotlib is not installed.
    """
    figures.check_figure(path, "--confusion", (".csv", *figures.SUFFIXES))


def write_confusion(records: Sequence[ClassificationRecord], labels: Mapping[int, str], path: Path) -> None:
    """Writes how often each class was taken for each: a line is what pictures show, a column what they were taken for.

    Args:
        records: Of pictures whose classes are among ``labels``.
        labels: Names by class id.
        path: CSV has all classes by id; SVG and PNG those that occur. The same bytes for the same records.

    Raises:
        UsageError: the file cannot be written.
        MissingDependencyError: it is to be drawn and matplotlib is not installed.
    """
    check_confusion_file(path)
    if path.suffix == ".csv":
        write_atomically(path, _to_csv(records, labels))
    else:
        figures.write_figure(lambda: _draw(records, labels), path)


def _to_csv(records: Sequence[ClassificationRecord], labels: Mapping[int, str]) -> bytes:
    class_ids = sorted(labels)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class_id", "label", *class_ids])
    for class_id, row in zip(class_ids, confusion_matrix(records, class_ids).tolist(), strict=True):
        writer.writerow([class_id, labels[class_id], *row])
    return text.getvalue().encode()


def _draw(records: Sequence[ClassificationRecord], labels: Mapping[int, str]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    class_ids = sorted({record.truth for record in records} | {record.answers[0] for record in records})
    matrix = confusion_matrix(records, class_ids)
    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(np.ma.masked_equal(matrix, 0), cmap="viridis", vmin=0, interpolation="nearest")
    figure.colorbar(image, label="pictures", shrink=0.8, ticks=MaxNLocator(integer=True))
    axes.set_xlabel("taken for")
    axes.set_ylabel("true class")
    if len(class_ids) <= _MOST_NAMES:
        names = [labels[class_id] for class_id in class_ids]
        size = max(4, min(10, 360 / len(names)))
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)
    else:
        axes.set_title(f"{len(class_ids)} classes, in the order of their ids")
        axes.set_xticks([])
        axes.set_yticks([])
    return figure
