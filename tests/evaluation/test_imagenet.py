"""Where classes of pictures are told from: folders by id, synset or name, and CSVs of many hands."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from tiny_models import RED, save_picture, tiny_classifier

from mnv2deploy.catalog.cards import load_card
from mnv2deploy.catalog.synsets import imagenet_synsets
from mnv2deploy.contract import Contract
from mnv2deploy.errors import InputError
from mnv2deploy.evaluation.imagenet import _CLASS_COLUMNS, _FILE_COLUMNS, read_imagenet
from mnv2deploy.runtime.session import Session

FRUIT = {3: "apple", 5: "Granny Smith", 9: "pear"}


@pytest.fixture
def fruit(tmp_path: Path) -> Contract:
    return Session(tiny_classifier(tmp_path / "fruit.onnx", FRUIT)).contract


@pytest.fixture
def imagenet(tmp_path: Path) -> Contract:
    labels = {label.class_id: label.name for label in load_card("mobilenet-v2").labels}
    return Session(tiny_classifier(tmp_path / "imagenet.onnx", labels, np.zeros((3, 1000)))).contract


def truths(path: Path, contract: Contract) -> dict[str, int | str]:
    return {item.name: item.truth for item in read_imagenet(path, contract).items}


def test_synsets_are_in_the_order_of_the_classes() -> None:
    synsets = imagenet_synsets()
    assert list(synsets.values()) == list(range(1000))
    assert list(synsets) == sorted(synsets)
    names = {label.class_id: label.name for label in load_card("mobilenet-v2").labels}
    # From WordNet's own browser; one near each end and two near the cats.
    known = {"n01440764": "tench", "n02123045": "tabby", "n02124075": "Egyptian cat", "n15075141": "toilet tissue"}
    assert {synset: names[synsets[synset]] for synset in known} == known


def test_synsets_agree_with_labelled_pictures(data: Path) -> None:
    with (data / "imagenet" / "val" / "labels.csv").open(newline="") as stream:
        rows = [(row["file"].split("_")[0], int(row["class_index"])) for row in csv.DictReader(stream)]
    told = [(synset, index) for synset, index in rows if synset in imagenet_synsets()]
    assert len(told) >= 200
    assert all(imagenet_synsets()[synset] == index for synset, index in told)


def test_folders_by_synset(imagenet: Contract, tmp_path: Path) -> None:
    folder = tmp_path / "val"
    for name in ("n01440764/b.png", "n01440764/a.png", "n02123045/c.png", "n99999999/d.png"):
        save_picture(folder / name, RED)
    found = truths(folder, imagenet)
    assert found == {
        "n01440764/a.png": 0,
        "n01440764/b.png": 0,
        "n02123045/c.png": 281,
        "n99999999/d.png": "n99999999",
    }
    assert list(found) == sorted(found)


def test_synsets_mean_nothing_to_a_model_of_other_classes(fruit: Contract, tmp_path: Path) -> None:
    save_picture(tmp_path / "val/n01440764/a.png", RED)
    assert truths(tmp_path / "val", fruit) == {"n01440764/a.png": "n01440764"}


def test_folders_by_name_and_by_id(fruit: Contract, tmp_path: Path) -> None:
    for name in ("apple", "granny_smith", "9", "plum"):
        save_picture(tmp_path / f"val/{name}/a.png", RED)
    dataset = read_imagenet(tmp_path / "val", fruit)
    assert {item.name: item.truth for item in dataset.items} == {
        "9/a.png": 9,
        "apple/a.png": 3,
        "granny_smith/a.png": 5,
        "plum/a.png": "plum",
    }
    assert dataset.named == {3: "apple", 5: "Granny Smith"}


def test_a_name_that_two_classes_have_tells_neither(tmp_path: Path) -> None:
    contract = Session(tiny_classifier(tmp_path / "a.onnx", {0: "crane", 1: "Crane", 2: "cow"})).contract
    for name in ("crane", "cow"):
        save_picture(tmp_path / f"val/{name}/a.png", RED)
    assert truths(tmp_path / "val", contract) == {"cow/a.png": 2, "crane/a.png": "crane"}


def test_only_visible_pictures_count(fruit: Contract, tmp_path: Path) -> None:
    save_picture(tmp_path / "val/apple/a.png", RED)
    save_picture(tmp_path / "val/.cache/a.png", RED)
    save_picture(tmp_path / "val/apple/.a.png", RED)
    (tmp_path / "val/apple/notes.txt").write_text("none")
    (tmp_path / "val/empty").mkdir()
    assert truths(tmp_path / "val", fruit) == {"apple/a.png": 3}


@pytest.mark.parametrize(
    "text",
    [
        "file,class_index\nx.png,3\ny.png,9\n",
        "class_index,file\n3,x.png\n9,y.png\n",
        "Image,Label,remark\nx.png,apple,sour\n\ny.png, PEAR ,\n",
        "\ufefffilename,class_id\r\nx.png,3\r\ny.png,9\r\n",
        '"path","class"\n"x.png","apple"\n"y.png",9\n',
    ],
)
def test_csvs_of_many_hands(text: str, fruit: Contract, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    save_picture(tmp_path / "x.png", RED)
    save_picture(tmp_path / "images/y.png", RED)
    assert truths(tmp_path, fruit) == {"x.png": 3, "y.png": 9}
    items = read_imagenet(tmp_path / "labels.csv", fruit).items
    assert [item.path for item in items] == [tmp_path / "x.png", tmp_path / "images/y.png"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x.png,3\n", "no column file or filename or file_name: its first line should name the columns"),
        ("file,colour\nx.png,3\n", "no column class_index or class_id or class:"),
        ("", "labels.csv is empty; its first line should name the columns"),
        ("\n\n", "labels.csv is empty"),
        ("file;class_index\nx.png;3\n", "its columns are divided by semicolons"),
        ("file\tclass_index\nx.png\t3\n", "its columns are divided by tabs"),
        ("file,class_index\nx.png,3\nx.png,9\ny.png\n", r"x.png twice(.|\n)*'y.png' lacks a file"),
        ("file,class_index\nx.png\n", "the row 'x.png' lacks a file or a class"),
        ("file,class_index\n,3\n", "lacks"),
        ("file,class_index\nx.png,3\nx.png,9\n", "names x.png twice"),
        (b"file,class_index\n\xff\xfe,3\n", "not a CSV in UTF-8"),
    ],
)
def test_a_csv_that_cannot_be_understood(text: str | bytes, says: str, fruit: Contract, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError, match=says) as caught:
        read_imagenet(tmp_path, fruit)
    assert str(path) in str(caught.value)


def test_the_names_of_columns_are_documented() -> None:
    text = (Path(__file__).parents[2] / "docs/evaluation.md").read_text(encoding="utf-8")
    for names in (_FILE_COLUMNS, _CLASS_COLUMNS):
        assert f": {', '.join(f'`{name}`' for name in names)}" in text


def test_a_missing_picture_is_looked_for_where_the_pictures_are(fruit: Contract, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,class_index\nx.png,3\n")
    assert read_imagenet(tmp_path, fruit).items[0].path == tmp_path / "x.png"
    (tmp_path / "images").mkdir()
    assert read_imagenet(tmp_path, fruit).items[0].path == tmp_path / "images/x.png"


def test_a_folder_of_neither_kind(fruit: Contract, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither labels.csv nor folders with pictures"):
        read_imagenet(tmp_path, fruit)
    with pytest.raises(InputError, match="cannot be listed"):
        read_imagenet(tmp_path / "nowhere", fruit)
