"""Which labelled set a folder holds, told from how it is laid out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mnv2deploy.contract import Contract
from mnv2deploy.errors import InputError, UsageError
from mnv2deploy.evaluation.coco import read_coco
from mnv2deploy.evaluation.dataset import Dataset
from mnv2deploy.evaluation.imagenet import LABELS_FILE, class_folders, read_imagenet
from mnv2deploy.evaluation.mask_sets import is_plain, read_masks, voc_folders
from mnv2deploy.evaluation.pictures import picture_files
from mnv2deploy.progress import SILENT, Progress

TASKS = {"imagenet": "classify", "coco": "detect", "voc": "segment", "ade20k": "segment", "cityscapes": "segment"}

_UNDERSTOOD = {
    "imagenet": f"{LABELS_FILE}, or one folder a class",
    "coco": "instances.json or annotations/instances_*.json",
    "voc": "JPEGImages, SegmentationClass and ImageSets; or images and masks",
    "ade20k": "images/validation and annotations/validation",
    "cityscapes": "leftImg8bit/val and gtFine/val",
}
# Folders that hold pictures of all classes, or none.
_NO_CLASSES = {"annotations", "images", "img", "jpegimages", "labels", "masks", "photos", "pictures"}

# More than these are no parts of one set, and would take long to look through.
_MOST_FOLDERS = 20

_SIGNS: dict[str, Callable[[Path], bool]] = {
    "imagenet": lambda path: path.suffix.lower() == ".csv" or (path / LABELS_FILE).is_file(),
    "coco": lambda path: (
        path.suffix.lower() == ".json"
        or (path / "instances.json").is_file()
        or any(path.glob("annotations/instances*.json"))
    ),
    "voc": lambda path: is_plain(path) or bool(voc_folders(path)),
    "ade20k": lambda path: (path / "images/validation").is_dir() and (path / "annotations/validation").is_dir(),
    "cityscapes": lambda path: (path / "leftImg8bit/val").is_dir() and (path / "gtFine/val").is_dir(),
}


def recognise(path: Path) -> str:
    """The format of a data set.

    Args:
        path: A folder, or the file with the labels.

    Returns:
        ``imagenet``, ``coco``, ``voc``, ``ade20k`` or ``cityscapes``.

    Raises:
        InputError: there is no such folder, or it is laid out as none of them.
        UsageError: it could be several.
    """
    _refuse_nowhere(path)
    found = _recognised(path)
    if len(found) > 1:
        raise UsageError(f"{path} could be {' or '.join(found)}; say which with --format.")
    if found:
        return found[0]
    if path.is_file():
        raise InputError(f"{path} is no file of labels, which end in .csv or .json; name the folder of the set.")
    near = _near(path)
    # One folder of pictures says little: it is taken for a class only where no set is near.
    if not near and _class_names(path):
        return "imagenet"
    hint = f"; did you mean {' or '.join(map(str, near))}?" if near else ":"
    understood = [f"{name}: {layout}" for name, layout in _UNDERSTOOD.items()]
    raise InputError("\n  ".join([f"{path} is laid out as none of the labelled sets there are{hint}", *understood]))


def check_layout(path: Path, format_name: str) -> None:
    """Whether a data set is laid out as somebody says.

    Args:
        path: A folder, or the file with the labels.
        format_name: See `recognise`.

    Raises:
        InputError: it is not; the message says as what it is.
    """
    _refuse_nowhere(path)
    if path.is_file() and format_name in ("imagenet", "coco"):  # whatever its name ends in
        wrong_suffix = {"imagenet": ".json", "coco": ".csv"}[format_name]
        fits = path.suffix.lower() != wrong_suffix
    else:
        plain = TASKS[format_name] == "segment" and is_plain(path)
        classes = len(_class_names(path)) if format_name == "imagenet" else 0
        fits = plain or _SIGNS[format_name](path) or classes > 1 or (classes == 1 and not _recognised(path))
    if not fits:
        found = _recognised(path)
        hint = f"; it looks like {' or '.join(found)}: leave --format out." if found else "."
        raise InputError(f"{path} is not laid out as {format_name} ({_UNDERSTOOD[format_name]}){hint}")


def _refuse_nowhere(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path} does not exist; check the spelling.")


def _recognised(path: Path) -> list[str]:
    """What a path is by its signs.

    Any folder of folders of pictures may be one of classes, so it is taken for that only where it is nothing else.
    """
    found = [name for name, is_one in _SIGNS.items() if is_one(path)]
    return found or (["imagenet"] if len(_class_names(path)) > 1 else [])


def _class_names(path: Path) -> list[str]:
    """Of the folders that may be classes."""
    names = [folder.name for folder in class_folders(path)] if path.is_dir() else []
    return [name for name in names if name.casefold() not in _NO_CLASSES]


def _near(path: Path) -> list[Path]:
    """Sets one level down, or the one that this folder of pictures is a part of."""
    try:
        folders = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
        if found := [child for child in folders[:_MOST_FOLDERS] if _recognised(child)]:
            return found
        parent = path.parent if path.name not in ("", "..") else path / ".."
        return [parent] if picture_files(path) and _recognised(parent) else []
    except (InputError, OSError):  # some folder there cannot be listed
        return []


def open_dataset(path: Path, format_name: str, contract: Contract, progress: Progress = SILENT) -> Dataset:
    """Reads which pictures a labelled set has, and what is said of them; opens no picture.

    Args:
        path: A folder, or the file with the labels.
        format_name: See `recognise`.
        contract: Of the model whose classes the labels name.
        progress: Told while pictures are checked.

    Raises:
        InputError: it is not laid out so, or a file of labels cannot be read.
    """
    if format_name == "imagenet":
        return read_imagenet(path, contract, progress)
    if format_name == "coco":
        return read_coco(path, progress)
    return read_masks(path, format_name, contract, progress)
