"""Where VOC, ADE20K and Cityscapes keep their pictures and masks, and what the masks' values mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mnv2deploy.contract import Contract
from mnv2deploy.errors import InputError
from mnv2deploy.evaluation.dataset import Item
from mnv2deploy.evaluation.pictures import picture_files
from mnv2deploy.evaluation.segmentation import SegmentationDataset
from mnv2deploy.progress import SILENT, Progress

_UNCOUNTED = 255
# Cityscapes' label ids 0 to 33: those of the 19 classes in the order they are trained in; the others are not counted
# (mcordts/cityscapesScripts, cityscapesscripts/helpers/labels.py, columns id and trainId).
_CITYSCAPES_CLASSES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_CITYSCAPES_LABELS = 34
_ADE20K_CLASSES = 150  # with the ids 1 to 150; 0 is all else


def read_masks(path: Path, format_name: str, contract: Contract, progress: Progress = SILENT) -> SegmentationDataset:
    """Reads the validation part of a set of pictures and masks.

    Args:
        path: The set's folder as it is downloaded, or one with ``images`` and ``masks``.
        format_name: ``voc``, ``ade20k`` or ``cityscapes``.
        contract: Of the model whose classes these are.
        progress: Told while the masks are checked.

    Raises:
        InputError: the folder is not laid out so, or cannot be listed.
    """
    source = None
    if is_plain(path):
        items = _pair(path / "images", path / "masks")
    elif format_name == "voc":
        source, items = _voc(path)
    elif format_name == "ade20k":
        items = _pair(path / "images" / "validation", path / "annotations" / "validation")
    else:
        items = _cityscapes(path)
    return SegmentationDataset(
        items=items,
        format=format_name,
        labels={label.class_id: label.name for label in contract.labels},
        meanings=_meanings(path, format_name, contract),
        source=source,
        progress=progress,
    )


def _meanings(path: Path, format_name: str, contract: Contract) -> dict[int, int | None]:
    """The class each pixel value stands for. VOC's form is that of anybody's own set: its classes are the model's."""
    meanings: dict[int, int | None] = {_UNCOUNTED: None}
    if format_name == "ade20k":
        return meanings | {0: None} | {value: value for value in range(1, _ADE20K_CLASSES + 1)}
    if format_name == "voc":
        return meanings | {label.class_id: label.class_id for label in contract.labels}
    if _cityscapes_kind(path) == "labelIds":
        meanings |= dict.fromkeys(range(_CITYSCAPES_LABELS))
        return meanings | {value: class_id for class_id, value in enumerate(_CITYSCAPES_CLASSES)}
    return meanings | {class_id: class_id for class_id in range(len(_CITYSCAPES_CLASSES))}


def is_plain(path: Path) -> bool:
    """Whether there are ``images`` and ``masks``."""
    return (path / "images").is_dir() and (path / "masks").is_dir()


def voc_folders(path: Path) -> list[Path]:
    """This folder, or those of it and its VOCdevkit, that have VOC's pictures and masks."""
    places = [path, *sorted(path.glob("VOC[0-9]*")), *sorted(path.glob("VOCdevkit/VOC[0-9]*"))]
    return [place for place in places if (place / "JPEGImages").is_dir() and (place / "SegmentationClass").is_dir()]


def _voc(path: Path) -> tuple[Path, list[Item]]:
    """VOC's own list, and its pictures (The PASCAL VOC 2012 development kit, section 5)."""
    found = voc_folders(path)
    if len(found) != 1:
        what = f"{len(found)} sets, {', '.join(map(str, found))}; name one" if found else "no JPEGImages"
        raise InputError(f"{path} has {what}.")
    folder = found[0]
    split = folder / "ImageSets" / "Segmentation" / "val.txt"
    try:
        names = split.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{split}, the list of the pictures, cannot be read.") from error
    pictures, masks = folder / "JPEGImages", folder / "SegmentationClass"
    return split, [Item(name, pictures / f"{name}.jpg", masks / f"{name}.png") for name in names]


def _pair(images: Path, masks: Path) -> list[Item]:
    """Pictures and masks of the same name. One without the other is an item with a path that leads nowhere."""
    pictures = picture_files(images)
    _refuse_doubles(pictures)
    found = {picture.stem: picture for picture in pictures}
    names = sorted({*found, *(mask.stem for mask in picture_files(masks) if mask.suffix.lower() == ".png")})
    return [Item(name, found.get(name, images / f"{name}.jpg"), masks / f"{name}.png") for name in names]


def _refuse_doubles(pictures: Sequence[Path]) -> None:
    stem, count = max(Counter(picture.stem for picture in pictures).items(), key=lambda one: one[1], default=("", 0))
    if count > 1:
        raise InputError(f"{pictures[0].parent} has {count} pictures named {stem}; a mask belongs to one.")


def _cityscapes_kind(path: Path) -> str:
    """``labelIds``, which the set comes with, or else ``labelTrainIds``, which its scripts make."""
    return "labelIds" if any(path.glob("gtFine/val/*/*_gtFine_labelIds.png")) else "labelTrainIds"


def _cityscapes(path: Path) -> list[Item]:
    """``leftImg8bit/val/CITY/NAME_leftImg8bit.png`` and ``gtFine/val/CITY/NAME_gtFine_KIND.png``."""
    images, masks = path / "leftImg8bit" / "val", path / "gtFine" / "val"
    if not images.is_dir() or not masks.is_dir():
        raise InputError(f"{path} does not have both leftImg8bit/val and gtFine/val.")
    ending, mask_ending = "_leftImg8bit.png", f"_gtFine_{_cityscapes_kind(path)}.png"
    names = {
        f"{file.parent.name}/{file.name.removesuffix(end)}"
        for folder, end in ((images, ending), (masks, mask_ending))
        for file in folder.glob(f"*/*{end}")
    }
    return [Item(name, images / (name + ending), masks / (name + mask_ending)) for name in sorted(names)]
