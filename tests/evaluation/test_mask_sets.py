"""Pictures and masks are found where VOC, ADE20K and Cityscapes have them, and values mean what they mean there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import RED, save_mask, save_picture, tiny_segmenter

from mnv2deploy.contract import Contract
from mnv2deploy.errors import InputError
from mnv2deploy.evaluation.mask_sets import read_masks
from mnv2deploy.runtime.session import Session

# cityscapesscripts/helpers/labels.py: id and trainId of each label with a name that is trained.
CITYSCAPES = {
    **{7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9},
    **{23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18},
}


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    return Session(tiny_segmenter(tmp_path / "a.onnx", {0: "r", 1: "g", 2: "b"})).contract


def found(path: Path, format_name: str, contract: Contract) -> list[tuple[str, str, str]]:
    dataset = read_masks(path, format_name, contract)
    return [(item.name, str(item.path.relative_to(path)), str(item.truth.relative_to(path))) for item in dataset.items]


def test_pictures_and_masks_of_the_same_name(contract: Contract, tmp_path: Path) -> None:
    save_picture(tmp_path / "images/b.png", RED)
    save_picture(tmp_path / "images/a.bmp", RED)
    save_picture(tmp_path / "images/.hidden.png", RED)
    save_mask(tmp_path / "masks/b.png", 0)
    save_mask(tmp_path / "masks/c.png", 0)
    for format_name in ("voc", "ade20k", "cityscapes"):
        assert found(tmp_path, format_name, contract) == [
            ("a", "images/a.bmp", "masks/a.png"),
            ("b", "images/b.png", "masks/b.png"),
            ("c", "images/c.jpg", "masks/c.png"),  # is not there, which the check says
        ]


def test_two_pictures_for_one_mask_are_refused(contract: Contract, tmp_path: Path) -> None:
    save_picture(tmp_path / "images/a.png", RED)
    save_picture(tmp_path / "images/a.bmp", RED)
    save_mask(tmp_path / "masks/a.png", 0)
    with pytest.raises(InputError, match="2 pictures named a"):
        read_masks(tmp_path, "voc", contract)


@pytest.mark.parametrize("inside", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_vocs_own_list_of_pictures(inside: str, contract: Contract, tmp_path: Path) -> None:
    folder = tmp_path / "set" / inside
    save_picture(folder / "JPEGImages/2007_000033.jpg", RED)
    save_picture(folder / "JPEGImages/not_in_the_list.jpg", RED)
    save_mask(folder / "SegmentationClass/2007_000033.png", 0)
    (folder / "ImageSets/Segmentation").mkdir(parents=True)
    (folder / "ImageSets/Segmentation/val.txt").write_text("2007_000033\n2007_000042\n")
    assert found(folder, "voc", contract) == [
        (name, f"JPEGImages/{name}.jpg", f"SegmentationClass/{name}.png") for name in ("2007_000033", "2007_000042")
    ]
    assert len(read_masks(tmp_path / "set", "voc", contract).items) == 2


def test_voc_without_a_list_or_with_two_sets_is_refused(contract: Contract, tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        save_picture(tmp_path / year / "JPEGImages/a.jpg", RED)
        save_mask(tmp_path / year / "SegmentationClass/a.png", 0)
    with pytest.raises(InputError, match=r"2 sets, .*VOC2007, .*VOC2012; name one"):
        read_masks(tmp_path, "voc", contract)
    with pytest.raises(InputError, match=r"val.txt, the list of the pictures, cannot be read"):
        read_masks(tmp_path / "VOC2012", "voc", contract)
    with pytest.raises(InputError, match="no JPEGImages"):
        read_masks(tmp_path / "nowhere", "voc", contract)


def test_vocs_values_are_the_models_classes_and_255_is_not_counted(contract: Contract, tmp_path: Path) -> None:
    save_picture(tmp_path / "images/a.png", RED)
    save_mask(tmp_path / "masks/a.png", 0)
    assert read_masks(tmp_path, "voc", contract).meanings == {0: 0, 1: 1, 2: 2, 255: None}


def test_ade20k_counts_its_150_classes_and_nothing_else(contract: Contract, tmp_path: Path) -> None:
    save_picture(tmp_path / "images/validation/ADE_val_1.jpg", RED)
    save_mask(tmp_path / "annotations/validation/ADE_val_1.png", 0)
    save_picture(tmp_path / "images/training/ADE_train_1.jpg", RED)
    assert found(tmp_path, "ade20k", contract) == [
        ("ADE_val_1", "images/validation/ADE_val_1.jpg", "annotations/validation/ADE_val_1.png")
    ]
    dataset = read_masks(tmp_path, "ade20k", contract)
    assert dataset.meanings == {value: value for value in range(1, 151)} | {0: None, 255: None}
    # A model that counts its classes from 0 would be measured against the wrong ones.
    zero_based = Session(tiny_segmenter(tmp_path / "z.onnx", {value: f"{value}" for value in range(150)})).contract
    assert dataset.problems(zero_based) == [
        "the classes have the ids 1 to 150 in the data set and 0 to 149 in the model tiny."
    ]


def cityscapes(folder: Path, kind: str) -> None:
    for city, name in (("lindau", "lindau_000000_000019"), ("frankfurt", "frankfurt_000000_000294")):
        save_picture(folder / f"leftImg8bit/val/{city}/{name}_leftImg8bit.png", RED)
        save_mask(folder / f"gtFine/val/{city}/{name}_gtFine_{kind}.png", 0)
        save_mask(folder / f"gtFine/val/{city}/{name}_gtFine_instanceIds.png", 0)


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
def test_cityscapes_by_city(kind: str, contract: Contract, tmp_path: Path) -> None:
    cityscapes(tmp_path, kind)
    name = "frankfurt/frankfurt_000000_000294"
    items = found(tmp_path, "cityscapes", contract)
    assert items[0] == (name, f"leftImg8bit/val/{name}_leftImg8bit.png", f"gtFine/val/{name}_gtFine_{kind}.png")
    assert len(items) == 2
    (tmp_path / f"{items[0][2]}").unlink()
    assert len(found(tmp_path, "cityscapes", contract)) == 2  # a picture without its mask is not forgotten


def test_cityscapes_labels_become_the_classes_that_are_trained(contract: Contract, tmp_path: Path) -> None:
    cityscapes(tmp_path, "labelIds")
    meanings = read_masks(tmp_path, "cityscapes", contract).meanings
    assert {value: class_id for value, class_id in meanings.items() if class_id is not None} == CITYSCAPES
    assert set(meanings) == {*range(34), 255}
    cityscapes(tmp_path / "trained", "labelTrainIds")
    meanings = read_masks(tmp_path / "trained", "cityscapes", contract).meanings
    assert meanings == {class_id: class_id for class_id in range(19)} | {255: None}


def test_a_set_that_is_laid_out_otherwise_is_refused(contract: Contract, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="images/validation cannot be listed"):
        read_masks(tmp_path, "ade20k", contract)
    with pytest.raises(InputError, match="both leftImg8bit/val and gtFine/val"):
        read_masks(tmp_path, "cityscapes", contract)
