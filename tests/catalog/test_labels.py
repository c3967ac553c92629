"""Labels: those of the catalog are the data sets' own, and what is wrong in a set of the user's own is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mnv2deploy.catalog.cards import card_path, load_card
from mnv2deploy.errors import ModelError

# instances_val2017.json: of the ids 1 to 90, those that no annotation has.
COCO_GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}


def fruit_card(folder: Path, column_offset: int = 0) -> Path:
    """The COCO card, but with the labels of fruit.toml beside it."""
    text = card_path("ssdlite-coco").read_text(encoding="utf-8")
    old, new = (
        f'dataset = "{name}"\ncolumn_offset = {offset}' for name, offset in (("coco", 0), ("fruit", column_offset))
    )
    assert old in text
    path = folder / "mine.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def test_coco_labels_are_the_data_sets() -> None:
    labels = load_card("ssdlite-coco").labels
    assert [label.class_id for label in labels] == sorted(set(range(1, 91)) - COCO_GAPS)
    assert all(label.column == label.class_id for label in labels)  # column 0 is the background
    assert len({label.name for label in labels}) == 80
    names = {label.class_id: label.name for label in labels}
    # One on each side of every gap, after the data set's annotation file.
    assert names[1] == "person"
    assert (names[11], names[13]) == ("fire hydrant", "stop sign")
    assert (names[25], names[27], names[28], names[31]) == ("giraffe", "backpack", "umbrella", "handbag")
    assert (names[44], names[46], names[65], names[67]) == ("bottle", "wine glass", "bed", "dining table")
    assert (names[70], names[72], names[82], names[84]) == ("toilet", "tv", "refrigerator", "book")
    assert names[90] == "toothbrush"


def test_voc_labels_have_the_colours_of_its_own_masks() -> None:
    labels = load_card("deeplabv3-voc").labels
    assert [label.class_id for label in labels] == [label.column for label in labels] == list(range(21))
    names = [label.name for label in labels]
    assert (names[0], names[1], names[8]) == ("background", "aeroplane", "cat")
    assert (names[15], names[20]) == ("person", "tv monitor")
    # The devkit's VOClabelcolormap, one bit of the id after another to the highest free bit of red, green and blue.
    for label in labels:
        colour = [0, 0, 0]
        for bit in range(5):
            colour[bit % 3] += 128 // 2 ** (bit // 3) * (label.class_id >> bit & 1)
        assert label.colour == tuple(colour)


def test_imagenet_labels_are_in_the_order_of_the_synsets() -> None:
    labels = load_card("mobilenet-v2").labels
    assert [label.class_id for label in labels] == [label.column for label in labels] == list(range(1000))
    assert len({label.name for label in labels}) == 1000
    names = {label.class_id: label.name for label in labels}
    # As torchvision's and Keras' lists have them.
    assert (names[0], names[1], names[207], names[281], names[285]) == (
        *("tench", "goldfish", "golden retriever", "tabby", "Egyptian cat"),
    )
    assert (names[504], names[968], names[980], names[999]) == ("coffee mug", "cup", "volcano", "toilet tissue")


@pytest.mark.parametrize(("dataset", "first_id", "classes"), [("cityscapes", 0, 19), ("ade20k", 1, 150)])
def test_labels_and_colours_are_mmsegmentations(dataset: str, first_id: int, classes: int) -> None:
    """The class ids are the values in the data set's masks: Cityscapes' trainIds, and ADE20K's, where 0 is all else."""
    with np.load(Path(__file__).parent.parent / "reference" / "mmsegmentation.npz") as stored:
        theirs = json.loads(str(stored["meta"]))[dataset]
    for head in ("fcn", "pspnet", "deeplabv3", "deeplabv3plus"):
        labels = load_card(f"{head}-{dataset}").labels
        assert [label.column for label in labels] == list(range(classes))
        assert [label.class_id for label in labels] == list(range(first_id, classes + first_id))
        assert [label.name for label in labels] == [name.strip() for name in theirs["classes"]]
        assert [label.colour for label in labels] == [tuple(colour) for colour in theirs["palette"]]


def test_pedestrian_has_one_class_in_column_one() -> None:
    (label,) = load_card("ssdlite-pedestrian").labels
    assert (label.column, label.class_id, label.name) == (1, 1, "pedestrian")


def test_contiguous_columns_follow_the_ids_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "fruit.toml").write_text('30 = "plum"\n4 = "apple"\n9 = "pear"\n')
    path = fruit_card(tmp_path, column_offset=1)
    path.write_text(path.read_text().replace("column_offset = 1", "column_offset = 1\ncontiguous = true"))
    labels = {label.name: (label.class_id, label.column) for label in load_card(str(path)).labels}
    assert labels == {"apple": (4, 1), "pear": (9, 2), "plum": (30, 3)}


def test_own_labels_stand_beside_an_own_card(tmp_path: Path) -> None:
    (tmp_path / "fruit.toml").write_text('0 = "apple"\n1 = "pear"\n')
    labels = load_card(str(fruit_card(tmp_path, column_offset=1))).labels
    assert [(label.column, label.class_id, label.name) for label in labels] == [(1, 0, "apple"), (2, 1, "pear")]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ('one = "apple"', "class one should be a number with a name"),
        ('-1 = "apple"', "class -1 should be a number with a name"),
        ("1 = 5", "class 1 should be a number with a name"),
        ("1 = {}", "no name in 1"),
        ("1 = { name = 5 }", "1.name should be str, not 5"),
        ('1 = { name = "apple", color = [1, 2, 3] }', "unknown key color in 1"),
        ('1 = { name = "apple", column = 3 }', "class 1 should be a number with a name"),
        ('1 = { name = "apple", colour = [1, 2] }', "1.colour should have 3 entries, not 2"),
        ('1 = { name = "apple", colour = [1, 2, 3.5] }', r"1.colour\[2\] should be int, not 3.5"),
        ('1 = { name = "apple", colour = [1, 2, 256] }', "colour should be three numbers from 0 to 255"),
    ],
)
def test_mistake_in_labels_is_said(tmp_path: Path, labels: str, message: str) -> None:
    (tmp_path / "fruit.toml").write_text(labels)
    with pytest.raises(ModelError, match=message) as caught:
        load_card(str(fruit_card(tmp_path)))
    assert str(tmp_path) in str(caught.value)


def test_a_class_may_have_a_colour(tmp_path: Path) -> None:
    (tmp_path / "fruit.toml").write_text('3 = { name = "plum", colour = [0, 128, 255] }\n4 = "fig"\n')
    plum, fig = load_card(str(fruit_card(tmp_path))).labels
    assert (plum.name, plum.class_id, plum.colour) == ("plum", 3, (0, 128, 255))
    assert (fig.name, fig.class_id, fig.colour) == ("fig", 4, None)
