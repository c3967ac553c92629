"""A folder is recognised for what it is, or refused; it is never taken for something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_models import RED, save_mask, save_picture

from mnv2deploy.errors import InputError, UsageError
from mnv2deploy.evaluation.layouts import TASKS, check_layout, recognise


def class_folders(path: Path) -> None:
    save_picture(path / "cat/a.png", RED)
    save_picture(path / "dog/a.png", RED)


def csv(path: Path) -> None:
    save_picture(path / "images/a.png", RED)
    (path / "labels.csv").write_text("file,class_index\na.png,1\n")


def instances(path: Path) -> None:
    save_picture(path / "images/a.png", RED)
    (path / "instances.json").write_text("{}")


def annotations(path: Path) -> None:
    save_picture(path / "val2017/a.png", RED)
    (path / "annotations").mkdir()
    (path / "annotations/instances_val2017.json").write_text("{}")


def plain(path: Path) -> None:
    save_picture(path / "images/a.png", RED)
    save_mask(path / "masks/a.png", 0)


def voc(path: Path) -> None:
    save_picture(path / "JPEGImages/a.jpg", RED)
    save_mask(path / "SegmentationClass/a.png", 0)


def ade20k(path: Path) -> None:
    save_picture(path / "images/validation/a.jpg", RED)
    save_mask(path / "annotations/validation/a.png", 0)


def cityscapes(path: Path) -> None:
    save_picture(path / "leftImg8bit/val/bonn/a_leftImg8bit.png", RED)
    save_mask(path / "gtFine/val/bonn/a_gtFine_labelIds.png", 0)


@pytest.mark.parametrize(
    ("make", "format_name"),
    [
        (class_folders, "imagenet"),
        (csv, "imagenet"),
        (instances, "coco"),
        (annotations, "coco"),
        (plain, "voc"),
        (voc, "voc"),
        (lambda path: voc(path / "VOCdevkit/VOC2012"), "voc"),
        (ade20k, "ade20k"),
        (cityscapes, "cityscapes"),
    ],
)
def test_every_layout_is_recognised(make: Callable[[Path], None], format_name: str, tmp_path: Path) -> None:
    make(tmp_path)
    assert recognise(tmp_path) == format_name
    assert format_name in TASKS


def test_files_of_labels_are_recognised(tmp_path: Path) -> None:
    csv(tmp_path)
    instances(tmp_path)
    assert recognise(tmp_path / "labels.csv") == "imagenet"
    assert recognise(tmp_path / "instances.json") == "coco"


@pytest.mark.parametrize(
    ("makes", "says"),
    [((csv, instances), "could be imagenet or coco; say which with --format"), ((csv, plain), "imagenet or voc")],
)
def test_what_could_be_two_things_has_to_be_said(makes, says: str, tmp_path: Path) -> None:
    for make in makes:
        make(tmp_path)
    with pytest.raises(UsageError, match=says):
        recognise(tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: None,
        lambda path: save_picture(path / "a.png", RED),  # pictures and no labels
        lambda path: save_picture(path / "images/a.png", RED),
        lambda path: save_mask(path / "masks/a.png", 0),
    ],
)
def test_what_is_none_of_them_is_refused_with_what_would_be(make, tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(InputError, match="none of the labelled sets") as caught:
        recognise(tmp_path)
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == list(TASKS)


def test_one_class_is_enough_where_nothing_else_fits(tmp_path: Path) -> None:
    save_picture(tmp_path / "n01440764/a.png", RED)
    assert recognise(tmp_path) == "imagenet"


@pytest.mark.parametrize(
    ("make", "named", "meant"),
    [
        (lambda path: class_folders(path / "val"), "", "val"),
        (lambda path: csv(path / "val"), "", "val"),
        (lambda path: (csv(path / "val"), save_picture(path / "calib/images/a.png", RED)), "", "val"),
        (class_folders, "cat", ""),
        (csv, "images", ""),
        (annotations, "val2017", ""),
    ],
)
def test_a_folder_above_or_below_says_which_is_meant(make, named: str, meant: str, tmp_path: Path) -> None:
    make(tmp_path / "set")
    with pytest.raises(InputError) as caught:
        recognise(tmp_path / "set" / named)
    assert f"did you mean {tmp_path / 'set' / meant}?\n" in str(caught.value)


def test_a_file_that_holds_no_labels(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("")
    with pytest.raises(InputError, match=r"labels.txt is no file of labels, which end in .csv or .json"):
        recognise(tmp_path / "labels.txt")


MAKES = {
    "imagenet": [class_folders, csv],
    "coco": [instances, annotations],
    "voc": [plain, voc],
    "ade20k": [plain, ade20k],
    "cityscapes": [plain, cityscapes],
}


@pytest.mark.parametrize("format_name", MAKES)
def test_a_format_that_is_said_has_to_fit(format_name: str, tmp_path: Path) -> None:
    for of, makes in MAKES.items():
        for number, make in enumerate(makes):
            path = tmp_path / f"{of}{number}"
            make(path)
            if make in MAKES[format_name]:
                check_layout(path, format_name)
            else:
                with pytest.raises(InputError, match=rf"{of}{number} is not laid out as {format_name} \(.*looks like "):
                    check_layout(path, format_name)
    csv(tmp_path)
    (tmp_path / "labels.csv").rename(tmp_path / "labels.txt")
    check_layout(tmp_path / "labels.txt", "imagenet")
    with pytest.raises(InputError, match="nowhere does not exist"):
        check_layout(tmp_path / "nowhere", format_name)


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere does not exist"):
        recognise(tmp_path / "nowhere")
