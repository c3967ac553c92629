"""A COCO data set on disk: which file holds the annotations, what is in it, where the pictures are."""

from __future__ import annotations

import json
import os
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mnv2deploy.errors import InputError
from mnv2deploy.evaluation.matching import Objects

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """One entry of ``images``."""

    id: int
    file_name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Annotations:
    """A file of annotations.

    Attributes:
        pictures: In the file's order.
        categories: Names by id.
        objects: The entries of ``annotations`` in the file's order, without their polygons.
    """

    pictures: tuple[Picture, ...]
    categories: dict[int, str]
    objects: Objects


def find_annotations(path: Path) -> Path:
    """The file of annotations a person means: the one named, or the only one of a folder.

    Raises:
        InputError: there is none, or more than one.
    """
    if not path.is_dir():
        return path
    places = [path / "instances.json", *sorted(path.glob("annotations/instances*.json"))]
    found = [place for place in places if place.is_file()]
    if not found:
        raise InputError(
            f"{path} holds neither instances.json nor annotations/instances_*.json; name the JSON file of the "
            "annotations itself."
        )
    if len(found) > 1:
        raise InputError(f"{path} holds several sets, {', '.join(map(str, found))}; name one of these files.")
    return found[0]


def picture_folders(annotations: Path) -> list[Path]:
    """Where the pictures may lie, the likeliest folder first; only folders that exist.

    With ``instances_val2017.json``: ``val2017``, ``images/val2017``, ``images`` and beside it, whereby a folder
    ``annotations`` stands for the one above it; last any other folder there, if it is the only one.
    """
    beside = base = annotations.parent
    if beside.absolute().name == "annotations":
        base = beside.parent if beside.name else Path("..")
    images = base / "images"
    split = annotations.stem.removeprefix("instances").removeprefix("_")
    named = [base / split, images / split] if split else []
    others = [place for place in _subfolders(base) if place.name not in ("annotations", "images")]
    folders = [*named, images, base, beside, *(others if len(others) == 1 else [])]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def locate(file_name: str, folders: list[Path]) -> Path:
    """The picture in the first folder that has it; where it would be in the first, when none has."""
    for folder in folders:
        if is_file(folder / file_name):
            return folder / file_name
    return folders[0] / file_name


def is_file(path: Path) -> bool:
    """Whether there is such a file; no name is too long to ask."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_annotations(path: Path) -> Annotations:
    """Reads a file of annotations in COCO's format for object detection (cocodataset.org, "Data format").

    Only what this program needs has to be there: of ``images`` id, file_name, width and height; of ``annotations`` id,
    image_id, category_id and bbox (area and iscrowd may be left out); of ``categories`` id and name.

    Raises:
        InputError: it cannot be read, is not JSON, or lacks one of these.
    """
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON; get the file again, or name the one with the annotations.") from error
    try:
        return Annotations(_pictures(data), _categories(data), _objects(data))
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path} is not a file of COCO annotations for detection: {error}.") from error


def _pictures(data: Any) -> tuple[Picture, ...]:
    rows = _rows(data, "images")
    names = _column(rows, "images", "file_name", _is_file_name, "a file's name")
    ids, widths, heights = (_whole(rows, "images", key) for key in ("id", "width", "height"))
    return tuple(map(Picture, ids, names, widths, heights))


def _categories(data: Any) -> dict[int, str]:
    rows = _rows(data, "categories")
    ids = _whole(rows, "categories", "id")
    if len(set(ids)) < len(ids):
        raise ValueError("two categories have the same id")
    names = _column(rows, "categories", "name", lambda value: isinstance(value, str), "text")
    return dict(zip(ids, names, strict=True))


def _objects(data: Any) -> Objects:
    table = "annotations"
    rows = _rows(data, table)
    ids, images, categories = (_whole(rows, table, key) for key in ("id", "image_id", "category_id"))
    boxes = np.array(_column(rows, table, "bbox", _is_box, "four numbers"), np.float64).reshape(-1, 4)
    for row, area in zip(rows, (boxes[:, 2] * boxes[:, 3]).tolist(), strict=True):
        row.setdefault("area", area)
        row.setdefault("iscrowd", 0)
    return Objects(
        ids=np.array(ids, np.int64),
        image_ids=np.array(images, np.int64),
        category_ids=np.array(categories, np.int64),
        boxes=boxes,
        areas=np.array(_column(rows, table, "area", _is_number, "a number"), np.float64),
        crowd=np.array(_column(rows, table, "iscrowd", lambda value: value in (0, 1), "0 or 1"), np.bool_),
    )


def _rows(data: Any, table: str) -> list[Row]:
    rows = data.get(table) if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{table} should be a list of objects")
    return rows


def _whole(rows: list[Row], table: str, key: str) -> list[int]:
    return _column(rows, table, key, lambda value: type(value) is int and abs(value) < 2**63, "a whole number")


def _column(rows: list[Row], table: str, key: str, fits: Callable[[Any], bool], what: str) -> list[Any]:
    """The values of one key, each of which must be there and fit."""
    for index, row in enumerate(rows):
        if key not in row:
            raise ValueError(f"{table}[{index}] has no {key}")
        if not fits(row[key]):
            raise ValueError(f"{table}[{index}].{key} should be {what}, not {reprlib.repr(row[key])}")
    return [row[key] for row in rows]


def _is_file_name(value: Any) -> bool:
    return isinstance(value, str) and os.fsencode(value) != b"" and "\0" not in value


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [place for place in folder.iterdir() if place.is_dir() and not place.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror}.") from error
