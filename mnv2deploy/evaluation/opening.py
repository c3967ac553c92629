"""Opening a labelled set for models: it must be for their task, and have nothing wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnv2deploy.errors import InputError, ModelError
from mnv2deploy.evaluation.dataset import Dataset
from mnv2deploy.evaluation.layouts import TASKS, open_dataset, recognise
from mnv2deploy.evaluation.measuring import find_problems
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.runtime.session import Session

_SHOWN_PROBLEMS = 20


def open_for(session: Session, path: Path, progress: Progress = SILENT) -> Dataset:
    """Opens a labelled set to measure a model on.

    Args:
        session: The model.
        path: A folder, or the file with the labels.
        progress: Told while pictures are checked.

    Raises:
        InputError: it is no such set, or has problems.
        UsageError: it could be of several formats.
        ModelError: it is labelled for another task.
    """
    format_name = recognise(path)
    check_tasks([session], path, format_name, TASKS[format_name])
    dataset = open_dataset(path, format_name, session.contract, progress)
    check_problems([session], dataset, path)
    return dataset


def check_tasks(sessions: Sequence[Session], path: Path, format_name: str, task: str) -> None:
    """Raises ModelError where the labels are for another task than a model's."""
    for session in sessions:
        if session.contract.task != task:
            raise ModelError(
                f"{session.name} is a model to {session.contract.task} with, and {path} ({format_name}) is labelled "
                f"for one to {task} with."
            )


def check_problems(sessions: Sequence[Session], dataset: Dataset, path: Path) -> None:
    """Raises InputError where something is wrong with the data set: before the run, and all of it at once."""
    if found := find_problems(sessions, dataset):
        shown = found[:_SHOWN_PROBLEMS]
        if len(found) > len(shown):
            shown.append(f"and {len(found) - len(shown)} more")
        count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
        raise InputError("\n  ".join([f"{path} cannot be measured on as it is ({dataset.format}), {count}:", *shown]))
