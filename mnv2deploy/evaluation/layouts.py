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
from mnv2deploy.progress import SILENT, Progress

TASKS = {"imagenet": "classify", "coco": "detect", "voc": "segment", "ade20k": "segment", "cityscapes": "segment"}

_UNDERSTOOD = (
    f"imagenet: {LABELS_FILE}, or one folder a class",
    "coco: instances.json or annotations/instances_*.json",
    "voc: JPEGImages, SegmentationClass and ImageSets; or images and masks",
    "ade20k: images/validation and annotations/validation",
    "cityscapes: leftImg8bit/val and gtFine/val",
)

_SIGNS: dict[str, Callable[[Path], bool]] = {
    "imagenet": lambda path: path.suffix.lower() == ".csv" or (path / LABELS_FILE).is_file(),
    "coco": lambda path: (
        path.suffix.lower() == ".json"
        or (path / "instances.json").is_file()
        or any(path.glob("annotations/instances_*.json"))
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
    if not path.exists():
        raise InputError(f"{path} does not exist; check the spelling.")
    found = [name for name, is_one in _SIGNS.items() if is_one(path)]
    # Any folder of folders of pictures may be one of classes, so it is taken for that only where it is nothing else.
    if not found and path.is_dir() and len(class_folders(path)) > 1:
        found = ["imagenet"]
    if not found:
        raise InputError("\n  ".join([f"{path} is laid out as none of the labelled sets there are:", *_UNDERSTOOD]))
    if len(found) > 1:
        raise UsageError(f"{path} could be {' or '.join(found)}; say which with --format.")
    return found[0]


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
