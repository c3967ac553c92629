"""The names of a network's classes out of whatever file people keep them in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mnv2deploy.catalog.cards import label_set_names, label_set_path, read_label_set
from mnv2deploy.contract import Label
from mnv2deploy.errors import CheckpointError, ModelError, UsageError

NUMBERS = "numbers"
_TENSORFLOW_COLUMNS = 1001  # ImageNet's 1000 classes after a column of background


def read_labels(
    name_or_path: str, columns: int, task: str, where: str, *, background_last: bool = False
) -> tuple[Label, ...]:
    """Names for the columns of the logits.

    Args:
        name_or_path: A label set of the catalog; ``numbers`` for classes that have no names; or a file: one name a
            line, a TOML of the catalog's form (``3 = "bird"``), a JSON list of names, or a JSON object of names by
            number or of numbers by name (Keras's ``class_indices``).
        columns: Of the logits; a detector's first is background.
        task: ``classify``, ``detect`` or ``segment``.
        where: The checkpoint's file, for messages.
        background_last: Whether a detector's last column is background, and its classes have no gaps.

    Raises:
        UsageError: there is no such set or file.
        ModelError: the file holds no names, or one twice.
        CheckpointError: it names another number of classes than there are columns.
    """
    first = 1 if task == "detect" and not background_last else 0
    if name_or_path == NUMBERS:
        return labels_of([str(number) for number in range(first, columns - background_last)], first)
    is_set = name_or_path in label_set_names()
    path = label_set_path(name_or_path) if is_set else Path(name_or_path)
    if not is_set and not path.is_file():
        raise UsageError(
            f"--labels {name_or_path}: there is no such file; the catalog's label sets are "
            f"{', '.join(label_set_names())}, and `--labels {NUMBERS}` leaves the classes without names."
        )
    labels = _sorted(path)
    if doubled := [label.name for label in labels if [other.name for other in labels].count(label.name) > 1]:
        raise ModelError(f"{path} has the name {doubled[0]!r} twice; answers could not be told apart.")
    contradiction = f"{name_or_path} names {len(labels)} classes, but {where} has"
    if not background_last:
        return _placed(labels, columns, task, contradiction)
    if len(labels) != columns - 1:
        raise CheckpointError(f"{contradiction} {columns - 1} and background.")
    return tuple(replace(label, column=column) for column, label in enumerate(labels))


def labels_of(names: Sequence[str], first: int = 0) -> tuple[Label, ...]:
    """One label a name, with the class ids and columns that follow ``first``."""
    return tuple(Label(column=first + index, class_id=first + index, name=name) for index, name in enumerate(names))


def _sorted(path: Path) -> list[Label]:
    """The labels of a file by class id; the column is the id still."""
    if path.suffix == ".toml":
        return sorted(read_label_set(path, 0), key=lambda label: label.class_id)
    try:
        text = path.read_text(encoding="utf-8-sig")
        entries = json.loads(text) if path.suffix == ".json" else [line.strip() for line in text.rstrip().splitlines()]
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is no file of names: it is not text in UTF-8.") from error
    except (ValueError, RecursionError) as error:
        where = f" from line {error.lineno} on" if isinstance(error, json.JSONDecodeError) else ""
        raise ModelError(f"{path} is no file of names: it is not JSON{where}.") from error
    names = _by_number(entries)
    if not names or not all(isinstance(name, str) and name for name in names.values()):
        raise ModelError(
            f"{path} should hold a name a line, or as JSON a list of names or an object of name and number."
        )
    return [Label(column=number, class_id=number, name=names[number]) for number in sorted(names)]


def _by_number(entries: Any) -> dict[int, Any]:
    if isinstance(entries, list):
        return dict(enumerate(entries))
    if not isinstance(entries, dict):
        return {}
    if all(str(key).isdecimal() for key in entries):
        return {int(key): name for key, name in entries.items()}
    if all(type(number) is int and number >= 0 for number in entries.values()):
        return {number: name for name, number in entries.items()}
    return {}


def _placed(labels: list[Label], columns: int, task: str, contradiction: str) -> tuple[Label, ...]:
    """Gives each label its column: ids count from 0 or from 1, and background may have a column of its own."""
    ids = [label.class_id for label in labels]
    if task == "detect":
        if ids[0] == 0 and ids == list(range(columns - 1)):  # a plain list of names
            return tuple(replace(label, column=label.class_id + 1, class_id=label.class_id + 1) for label in labels)
        if ids[0] >= 1 and ids[-1] == columns - 1:
            return tuple(labels)
        raise CheckpointError(f"{contradiction} {columns - 1} and background.")
    has_background = task == "classify" and columns == _TENSORFLOW_COLUMNS and len(ids) == columns - 1
    if ids != list(range(ids[0], ids[0] + len(ids))) or len(ids) != columns - has_background:
        raise CheckpointError(f"{contradiction} {columns}.")
    return tuple(replace(label, column=label.class_id - ids[0] + has_background) for label in labels)
