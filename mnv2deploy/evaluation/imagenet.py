"""Where classification sets keep their labels: one folder a class, as ImageNet has it, or a CSV."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mnv2deploy.catalog.synsets import imagenet_synsets
from mnv2deploy.contract import Contract
from mnv2deploy.errors import InputError
from mnv2deploy.evaluation.classification import ClassificationDataset
from mnv2deploy.evaluation.coco_files import is_file
from mnv2deploy.evaluation.dataset import Item
from mnv2deploy.evaluation.pictures import picture_files
from mnv2deploy.progress import SILENT, Progress

LABELS_FILE = "labels.csv"
_FILE_COLUMNS = ("file", "filename", "file_name", "path", "image", "picture", "name")
_CLASS_COLUMNS = ("class_index", "class_id", "class", "label", "index", "target", "synset", "wnid")
_SHOWN_ROWS = 20
_SYNSET = re.compile(r"n\d{8}")


def class_folders(folder: Path) -> list[Path]:
    """The folders directly in this one that have pictures directly in them, sorted; hidden ones are left out."""
    try:
        folders = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror}.") from error
    return [path for path in sorted(folders) if picture_files(path)]


def read_imagenet(path: Path, contract: Contract, progress: Progress = SILENT) -> ClassificationDataset:
    """Reads a folder of class folders, a folder with ``labels.csv``, or such a CSV.

    A class is told by its WordNet id (for models of ImageNet's 1000 classes), its id, or its name in the model. The
    CSV's files are beside it or in ``images`` beside it.

    Args:
        path: A folder, or a CSV file.
        contract: Of the model whose classes these are.
        progress: Told while the pictures are checked.

    Raises:
        InputError: there is no such thing, or the CSV cannot be understood.
    """
    table = path if path.is_file() else path / LABELS_FILE
    if table.is_file():
        found = [(file, _beside(table.parent, file), name) for file, name in _read_csv(table)]
    else:
        folders = class_folders(path)
        if not folders:
            raise InputError(f"{path} has neither {LABELS_FILE} nor folders with pictures, one a class.")
        found = [
            (f"{folder.name}/{file.name}", file, folder.name) for folder in folders for file in picture_files(folder)
        ]
    classes = _Classes(contract)
    return ClassificationDataset(
        items=[Item(name, file, classes(class_name)) for name, file, class_name in found],
        labels=classes.names,
        named=classes.told_by_name,
        source=table if table.is_file() else None,
        progress=progress,
    )


class _Classes:
    """Finds the class ids that texts stand for.

    Attributes:
        names: Of all classes of the model, by id.
        told_by_name: Those that were found by their name.
    """

    def __init__(self, contract: Contract) -> None:
        self.names = {label.class_id: label.name for label in contract.labels}
        self.told_by_name: dict[int, str] = {}
        self._synsets: Mapping[str, int] = {}
        if sorted(self.names) == list(range(1000)):
            self._synsets = imagenet_synsets()
        counts = Counter(map(_key, self.names.values()))
        self._ids = {_key(name): class_id for class_id, name in self.names.items() if counts[_key(name)] == 1}

    def __call__(self, text: str) -> int | str:
        """The class id, or the text itself if the model has no such class."""
        if text.isdecimal():
            return int(text)
        if _SYNSET.fullmatch(text):
            return self._synsets.get(text, text)
        class_id = self._ids.get(_key(text))
        if class_id is None:
            return text
        self.told_by_name[class_id] = self.names[class_id]
        return class_id


def _key(name: str) -> str:
    """Folders have underscores for blanks, and any letter case."""
    return name.replace("_", " ").casefold().strip()


def _beside(folder: Path, file: str) -> Path:
    beside = folder / file
    return beside if is_file(beside) or not (folder / "images").is_dir() else folder / "images" / file


def _read_csv(path: Path) -> list[tuple[str, str]]:
    """File and class of each row."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [[cell.strip() for cell in row] for row in csv.reader(stream) if row]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is not a CSV in UTF-8: {error}.") from error
    if not rows:
        raise InputError(f"{path} is empty; its first line should name the columns, as in file,class_index.")
    header = [cell.casefold() for cell in rows[0]]
    file, class_name = _column(path, header, _FILE_COLUMNS), _column(path, header, _CLASS_COLUMNS)
    found: dict[str, str] = {}
    wrong = []
    for row in rows[1:]:
        if len(row) <= max(file, class_name) or not (row[file] and row[class_name]):
            wrong.append(f"the row {','.join(row)!r} lacks a file or a class.")
        elif row[file] in found:
            wrong.append(f"it names {row[file]} twice; a picture counts once.")
        else:
            found[row[file]] = row[class_name]
    if wrong:
        more = [f"and {len(wrong) - _SHOWN_ROWS} more"] if len(wrong) > _SHOWN_ROWS else []
        raise InputError("\n  ".join([f"{path} has rows that cannot be used:", *wrong[:_SHOWN_ROWS], *more]))
    return list(found.items())


def _column(path: Path, header: Sequence[str], names: Sequence[str]) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    cause = "its first line should name the columns"
    if len(header) == 1 and (other := next((one for one in ";\t" if one in header[0]), None)):
        cause = f"its columns are divided by {'semicolons' if other == ';' else 'tabs'}, and should be by commas"
    raise InputError(f"{path} has no column {' or '.join(names[:3])}: {cause}.")
