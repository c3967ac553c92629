"""The files ``mnv2deploy evaluate`` writes beside its table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnv2deploy.errors import UsageError

if TYPE_CHECKING:
    from mnv2deploy.contract import Contract
    from mnv2deploy.evaluation.answers import Keep
    from mnv2deploy.evaluation.measuring import Evaluation


class Outputs:
    """A confusion matrix and predictions, where they are wanted.

    Args:
        task: Of the data set.
        models: How many are measured.
        confusion: File of the confusion matrix.
        predictions: File or folder of the predictions.

    Raises:
        UsageError: the task has no such file, or it could not be written.
        MissingDependencyError: the confusion matrix is to be drawn and matplotlib is not installed.
    """

    def __init__(self, task: str, models: int, *, confusion: Path | None, predictions: Path | None) -> None:
        self._task = task
        self._confusion = confusion
        self._predictions = predictions
        wanted = {"--confusion": confusion, "--save-predictions": predictions}
        for option, path in wanted.items():
            if path is not None and models > 1:
                raise UsageError(f"{option} {path} is for the answers of one model; name one.")
        if confusion is not None:
            from mnv2deploy.evaluation.confusion import check_confusion_file

            if task != "classify":
                raise UsageError(f"--confusion is for models to classify with; this set is for models to {task} with.")
            _check_file("--confusion", confusion)
            check_confusion_file(confusion)
        if predictions is not None and task != "segment":
            _check_file("--save-predictions", predictions)
        if predictions is not None and confusion is not None and predictions.resolve() == confusion.resolve():
            raise UsageError(f"--save-predictions and --confusion are both {predictions}; name two files.")

    def spare(self, files: Iterable[Path]) -> None:
        """Makes sure that nothing measured, or measured with, is overwritten.

        Args:
            files: The data set's and the models'. Links to them are told too, whatever their names.

        Raises:
            UsageError: an output is one of them.
        """
        outputs = [("--confusion", self._confusion), ("--save-predictions", self._predictions)]
        there = {_identity(path): f"{option} {path}" for option, path in outputs if path is not None}
        there.pop(None, None)  # new ones
        for file in files if there else ():
            if (output := there.get(_identity(file))) is not None:
                raise UsageError(f"{output} would overwrite {file}, which is what is measured; name another file.")

    def open(self, contract: Contract) -> Keep | None:
        """What is to be given every answer while it is whole."""
        if self._predictions is None or self._task != "segment":
            return None
        from mnv2deploy.evaluation.predictions import MaskFolder

        return MaskFolder(self._predictions, contract)

    def write(self, dataset: Any, evaluation: Evaluation) -> None:
        """Writes what is known only at the end."""
        records = evaluation.models[0].records
        if self._confusion is not None:
            from mnv2deploy.evaluation.confusion import write_confusion

            write_confusion(records, dataset.labels, self._confusion)
        if self._predictions is not None and self._task == "classify":
            from mnv2deploy.evaluation.predictions import write_classifications

            write_classifications(evaluation.items, records, dataset.labels, self._predictions)
        if self._predictions is not None and self._task == "detect":
            dataset.write_predictions(records, self._predictions)


def _check_file(option: str, path: Path) -> None:
    """Says now what would be said after the run."""
    if path.is_dir():
        raise UsageError(f"{option} {path}: that is a folder; name a file.")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no folder {path.parent}; make it first.")


def _identity(path: Path) -> tuple[int, int] | None:
    """Tells a file from all others under any of its names; None where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
