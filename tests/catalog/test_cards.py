"""Model cards: those of the catalog are true, and whatever is wrong in one of the user's own is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mnv2deploy.catalog import resolve_downloads
from mnv2deploy.catalog.cards import DEFAULT_DETECTOR, card_names, card_path, load_card, read_toml
from mnv2deploy.catalog.photos import load_photos
from mnv2deploy.errors import ModelError, UsageError

RECIPE = Path(__file__).parent.parent.parent / "calib" / "sample-photos.toml"
# instances_val2017.json: of the ids 1 to 90, those that no annotation has.
COCO_GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
COCO_TEXT = card_path("ssdlite-coco").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", card_names())
def test_catalog_card_loads_and_names_its_parts(name: str) -> None:
    card = load_card(name)
    assert card.name == name
    assert card.title
    assert card.description.endswith(".")
    assert "Sandler" in card.paper
    assert card.weights.licence in ("Apache-2.0", "MIT", "BSD-3-Clause")
    assert card.download.name == name
    for source in card.download.sources:
        assert source.sha256 is None or re.fullmatch("[0-9a-f]{64}", source.sha256)
        assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) and file.size > 0 for file in source.files)
    for published in card.published:
        assert published.value > 0
        assert published.source


def test_default_detector_is_in_the_catalog() -> None:
    assert DEFAULT_DETECTOR in card_names()


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


def test_pedestrian_has_one_class_in_column_one() -> None:
    (label,) = load_card("ssdlite-pedestrian").labels
    assert (label.column, label.class_id, label.name) == (1, 1, "pedestrian")


def own_card(folder: Path, old: str = "", new: str = "") -> Path:
    """The COCO card under another name, with one text replaced wherever it stands."""
    assert old in COCO_TEXT
    path = folder / "mine.toml"
    path.write_text(COCO_TEXT.replace(old, new) if old else COCO_TEXT, encoding="utf-8")
    return path


def test_card_of_the_users_own_is_read_by_its_path(tmp_path: Path) -> None:
    card = load_card(str(own_card(tmp_path, "width_multiplier = 1.0", "width_multiplier = 0.5")))
    assert (card.name, card.network.width_multiplier) == ("mine", 0.5)
    assert card.labels == load_card("ssdlite-coco").labels
    assert card.download.name == "mine"


def test_own_labels_stand_beside_an_own_card(tmp_path: Path) -> None:
    (tmp_path / "fruit.toml").write_text('0 = "apple"\n1 = "pear"\n')
    text = COCO_TEXT.replace('dataset = "coco"\ncolumn_offset = 0', 'dataset = "fruit"\ncolumn_offset = 1')
    (tmp_path / "mine.toml").write_text(text)
    labels = load_card(str(tmp_path / "mine.toml")).labels
    assert [(label.column, label.class_id, label.name) for label in labels] == [(1, 0, "apple"), (2, 1, "pear")]


SHA = 'sha256 = "4c93ff1deb117c4fbdfdc0f0531c26f88d5721e1c35033e77ae5df6d8b8e4303"'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[network]", "[netwrok]", "unknown key netwrok"),
        ('padding = "tf"', 'padding = "tf"\npaddnig = 1', "unknown key paddnig in network"),
        ("min_scale = 0.2", "min_scal = 0.2", "unknown key min_scal in network.anchors"),
        ("min_scale = 0.2", "", "no min_scale in network.anchors"),
        ('title = "SSDLite-MobileNetV2 300, COCO"', "", "no title"),
        ('title = "SSDLite-MobileNetV2 300, COCO"', "title = 5", "title should be str, not 5"),
        ('task = "detect"', 'task = "sing"', "task should be one of detect, not 'sing'"),
        ('padding = "tf"', 'padding = "same"', "network.padding should be one of tf, torch"),
        ('padding = "tf"', "padding = []", "network.padding should be one of tf, torch"),
        ("width_multiplier = 1.0", 'width_multiplier = "1.0"', "network.width_multiplier should be float, not '1.0'"),
        ("width_multiplier = 1.0", "width_multiplier = true", "network.width_multiplier should be float, not True"),
        ("width_multiplier = 1.0", "width_multiplier = nan", "network.width_multiplier should be a finite number"),
        ("columns = 91", "columns = 91.0", "network.columns should be int, not 91.0"),
        ("columns = 91", "columns = 90", "label 'toothbrush' has no column in logits of 90"),
        ("column_offset = 0", "column_offset = -2", "label 'person' has no column"),
        ("[19, 19]", "[19]", r"network.anchors.grids\[0\] should have 2 entries, not 1"),
        ("[512, 256, 256, 128]", '[512, "256"]', r"network.extras\[1\] should be int"),
        ("mean = [127.5, 127.5, 127.5]", "mean = 127.5", "preprocessing.mean should be a list"),
        ("[input]", "[[input]]", "input should be a table, not"),
        ('dataset = "coco"', 'dataset = "nothing"', "there is no label set 'nothing'"),
        ('[labels]\ndataset = "coco"\ncolumn_offset = 0', "", r"no \[labels\]"),
        ('dataset = "coco"\ncolumn_offset', "column_offset", "no dataset in labels"),
        ("weights.sources", "weights.addresses", r"no \[sources\]"),
        ('task = "detect"', 'task = "detect"\nname = "other"', "unknown key name"),
        ('task = "detect"', 'task = "detect"\ndownload = 1', "unknown key download"),
        ("npm:", "ftp:", "unknown scheme 'ftp'"),
        (SHA, 'sha256 = "4c93"', "'4c93' is not a sha256"),
        (SHA, SHA.replace("4c93ff", "4C93FF"), "is not a sha256 in lower-case hex"),
        (SHA, SHA.replace("sha256", "sha265"), "unknown key sha265"),
        ("value = 22.1", 'value = "22.1"', r"published\[0\].value should be float"),
        ("[network]", "[network", "line 6"),
        ("[19, 19]", "[" * 5000, "not valid TOML"),
    ],
)
def test_mistake_in_a_card_is_said_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = own_card(tmp_path, old, new)
    with pytest.raises(ModelError, match=message) as caught:
        load_card(str(path))
    assert str(caught.value).startswith(str(path))
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("weights", ["weights = 5", 'weights = "x"', "weights = []", "[weights]\nsources = 5"])
def test_weights_that_are_no_table_are_a_mistake_in_the_card(tmp_path: Path, weights: str) -> None:
    (tmp_path / "mine.toml").write_text(f'{weights}\n[labels]\ndataset = "coco"\ncolumn_offset = 0\n')
    with pytest.raises(ModelError, match=r"mine\.toml"):
        load_card(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    ("labels", "message"),
    [('one = "apple"', "'one'"), ("1 = 5", "class 1 should be a string"), ("1 = {}", "class 1 should be a string")],
)
def test_mistake_in_labels_is_said(tmp_path: Path, labels: str, message: str) -> None:
    (tmp_path / "fruit.toml").write_text(labels)
    with pytest.raises(ModelError, match=message) as caught:
        load_card(str(own_card(tmp_path, 'dataset = "coco"', 'dataset = "fruit"')))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", ["ssdlite", "", "SSDLITE-COCO", "../models/ssdlite-coco"])
def test_unknown_model_is_a_usage_error_that_lists_the_catalog(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_card(name)
    assert repr(name) in str(caught.value)
    assert ", ".join(card_names()) in str(caught.value)


@pytest.mark.parametrize("make", [lambda _path: None, lambda path: path.mkdir()])
def test_card_that_cannot_be_opened_is_a_usage_error(tmp_path: Path, make) -> None:
    make(tmp_path / "mine.toml")
    for read in (load_card, resolve_downloads, load_photos, lambda path: read_toml(Path(path))):
        with pytest.raises(UsageError, match=r"mine\.toml"):
            read(str(tmp_path / "mine.toml"))


def test_card_that_is_not_text_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00title")
    with pytest.raises(ModelError, match=r"mine\.toml is not valid TOML"):
        load_card(str(tmp_path / "mine.toml"))


def test_downloads_are_found_by_every_kind_of_name(tmp_path: Path) -> None:
    photos = load_photos("sample-photos")
    assert resolve_downloads("sample-photos") == photos
    assert resolve_downloads(str(RECIPE)) == photos
    assert resolve_downloads("ssdlite-coco") == (load_card("ssdlite-coco").download,)
    (mine,) = resolve_downloads(str(own_card(tmp_path)))
    assert (mine.name, mine.sources) == ("mine", load_card("ssdlite-coco").download.sources)


def test_nothing_to_download_is_a_usage_error_that_lists_models_and_photos() -> None:
    with pytest.raises(UsageError) as caught:
        resolve_downloads("kittens")
    assert "'kittens'" in str(caught.value)
    for name in (*card_names(), "sample-photos"):
        assert name in str(caught.value)
