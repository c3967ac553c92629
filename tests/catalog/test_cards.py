"""Model cards: those of the catalog are true, and whatever is wrong in one of the user's own is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mnv2deploy.catalog import resolve_downloads
from mnv2deploy.catalog.cards import InputSize, card_names, card_path, load_card, read_toml
from mnv2deploy.catalog.photos import load_photos
from mnv2deploy.cli import detect
from mnv2deploy.errors import ModelError, UsageError

RECIPE = Path(__file__).parent.parent.parent / "calib" / "sample-photos.toml"
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
    assert detect.DEFAULT_MODEL in card_names()


def test_card_without_sources_says_where_its_file_is() -> None:
    """Their names end in the first eight digits of their sha256: an address is copied whole or not at all."""
    by_hand = {card.name: card.weights.official for card in map(load_card, card_names()) if not card.download.sources}
    assert len(set(by_hand.values())) == len(by_hand) == 9
    detector = by_hand.pop("ssdlite-coco-mmdet") or ""
    assert re.fullmatch(r"https://download\.openmmlab\.com/mmdetection/.+ssdlite_.+-[0-9a-f]{8}\.pth", detector)
    for name, official in by_hand.items():
        head, dataset = name.split("-")
        pattern = r"https://download\.openmmlab\.com/mmsegmentation/v0\.5/mobilenet_v2/.+[-_][0-9]{6}-[0-9a-f]{8}\.pth"
        assert re.fullmatch(pattern, official or "")
        assert f"{head}_" in official and dataset in official  # noqa: PT018
        assert load_card(name).download.official == official


def test_card_at_another_of_its_sizes_is_the_same_card() -> None:
    card = load_card("fcn-cityscapes")
    assert [str(size) for size in (card.input, *card.other_inputs)] == ["512x1024", "1024x2048"]
    large = card.at(InputSize(height=1024, width=2048))
    assert (str(large.input), [*map(str, large.other_inputs)]) == ("1024x2048", ["512x1024"])
    assert large.at(card.input) == card
    with pytest.raises(UsageError, match="fcn-cityscapes can be exported at 512x1024 or 1024x2048, not at 1024x512"):
        card.at(InputSize(height=1024, width=512))
    with pytest.raises(UsageError, match="ssdlite-coco can be exported at 300x300, not at 320x320"):
        load_card("ssdlite-coco").at(InputSize(height=320, width=320))


def own_card(folder: Path, old: str = "", new: str = "", model: str = "ssdlite-coco") -> Path:
    """A card of the catalog under another name, with one text replaced wherever it stands."""
    text = card_path(model).read_text(encoding="utf-8")
    assert old in text
    path = folder / "mine.toml"
    path.write_text(text.replace(old, new) if old else text, encoding="utf-8")
    return path


def test_card_of_the_users_own_is_read_by_its_path(tmp_path: Path) -> None:
    card = load_card(str(own_card(tmp_path, "width_multiplier = 1.0", "width_multiplier = 0.5")))
    assert (card.name, card.network.backbone.width_multiplier) == ("mine", 0.5)
    assert card.labels == load_card("ssdlite-coco").labels
    assert card.download.name == "mine"


SHA = 'sha256 = "4c93ff1deb117c4fbdfdc0f0531c26f88d5721e1c35033e77ae5df6d8b8e4303"'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[network]", "[netwrok]", "unknown key netwrok"),
        ('padding = "tf"', 'padding = "tf"\npaddnig = 1', "unknown key paddnig in network.backbone"),
        ("min_scale = 0.2", "min_scal = 0.2", "unknown key min_scal in network.anchors"),
        ("min_scale = 0.2", "", "no min_scale in network.anchors"),
        ('title = "SSDLite-MobileNetV2 300, COCO"', "", "no title"),
        ('title = "SSDLite-MobileNetV2 300, COCO"', "title = 5", "title should be str, not 5"),
        ('task = "detect"', 'task = "sing"', "decoding.task should be one of detect, classify, segment, not 'sing'"),
        ('task = "detect"', "task = []", r"decoding.task should be one of detect, classify, segment, not \[\]"),
        ('task = "detect"', 'task = "classify"', "unknown key coder, coder_scales, .* in decoding"),
        ('task = "detect"\n', "", "decoding.task should be one of detect, classify, segment, not None"),
        (
            '"ssdlite"',
            '"ssd"',
            "network.architecture should be one of mobilenet_v2, ssdlite, deeplabv3, deeplabv3plus, .* not 'ssd'",
        ),
        ('"ssdlite"', '"mobilenet_v2"', "unknown key anchors, extras, taps in network"),
        ('padding = "tf"', 'padding = "same"', "network.backbone.padding should be one of tf, torch"),
        ('padding = "tf"', "padding = []", "network.backbone.padding should be one of tf, torch"),
        ("width_multiplier = 1.0", 'width_multiplier = "1.0"', "backbone.width_multiplier should be float, not '1.0'"),
        ("width_multiplier = 1.0", "width_multiplier = true", "backbone.width_multiplier should be float, not True"),
        ("width_multiplier = 1.0", "width_multiplier = nan", "backbone.width_multiplier should be a finite number"),
        ("iou_threshold = 0.6", "iou_threshold = 1.6", "thresholds should lie between 0 and 1"),
        ("std = [127.5, 127.5, 127.5]", "std = [127.5, 0, 127.5]", "std should be greater than 0"),
        ('"stretch"', '"squeeze"', "preprocessing.resize should be one of stretch, centre_crop, pad, not 'squeeze'"),
        ('"stretch"', '"centre_crop"', "shorter_side belongs to resize = 'centre_crop'"),
        ('"stretch"', '"stretch"\npad_value = 0.0', "pad_value belongs to resize = 'pad'"),
        (
            'resize = "stretch"',
            'resize = "pad"\npad_value = 0.0',
            "a model to detect with takes resize = stretch, not pad",
        ),
        ("height = 300", "height = 0", "an input of 0 x 300 pixels"),
        ("[preprocessing]", "[[other_inputs]]\nheight = 9\nwidth = 0\n[preprocessing]", "an input of 9 x 0 pixels"),
        (
            'padding = "tf"',
            'padding = "tf"\ndilation_rule = "mm"',
            "backbone.dilation_rule should be one of tf, openmmlab",
        ),
        (
            'padding = "tf"',
            'padding = "tf"\nactivation = "swish"',
            "backbone.activation should be one of relu6, relu",
        ),
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
        ("weights.sources", "weights.addresses", "unknown key addresses in weights"),
        ("paper =", 'name = "other"\npaper =', "unknown key name"),
        ("paper =", "download = 1\npaper =", "unknown key download"),
        ("npm:", "ftp:", "unknown scheme 'ftp'"),
        (SHA, 'sha256 = "4c93"', "'4c93' is not a sha256"),
        (SHA, SHA.replace("4c93ff", "4C93FF"), "is not a sha256 in lower-case hex"),
        (SHA, SHA.replace("sha256", "sha265"), "unknown key sha265"),
        ("value = 22.1", 'value = "22.1"', r"published\[0\].value should be float"),
        ("[network]", "[network", "line 5"),
        ("[19, 19]", "[" * 5000, "not valid TOML"),
    ],
)
def test_mistake_in_a_card_is_said_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = own_card(tmp_path, old, new)
    with pytest.raises(ModelError, match=message) as caught:
        load_card(str(path))
    assert str(caught.value).startswith(str(path))
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("model", "old", "new", "message"),
    [
        ("mobilenet-v2", "top = 5", "top = 0", "top should be at least 1"),
        ("mobilenet-v2", "top = 5", "top = 5\nscore = 0.1", "unknown key score in decoding"),
        (
            "mobilenet-v2",
            "shorter_side = 256",
            "shorter_side = 200",
            "shorter_side 200 is less than the input's 224 x 224",
        ),
        (
            "mobilenet-v2",
            "[preprocessing]",
            "[[other_inputs]]\nheight = 288\nwidth = 288\n[preprocessing]",
            "shorter_side 256 is less than the input's 288 x 288",
        ),
        ("mobilenet-v2", "shorter_side = 256\n", "", "shorter_side belongs to resize = 'centre_crop'"),
        (
            "mobilenet-v2",
            '"antialias"',
            '"nearest"',
            "preprocessing.interpolation should be one of bilinear, antialias, bicubic, not 'nearest'",
        ),
        ("mobilenet-v2", "columns = 1000", "columns = 999", "label '.*' has no column in logits of 999"),
        (
            "mobilenet-v2",
            '"classify"\ntop = 5',
            '"segment"\nalign_corners = true',
            "a network to classify with, not to",
        ),
        (
            "ssdlite-coco-mmdet",
            'rule = "openmmlab"',
            'rule = "caffe"',
            "network.anchors.rule should be one of tensorflow, openmmlab, not 'caffe'",
        ),
        (
            "ssdlite-coco-mmdet",
            'rule = "openmmlab"\n',
            "",
            "unknown key max_sizes, min_sizes, strides in network.anchors",
        ),
        (
            "ssdlite-coco-mmdet",
            "candidates_per_map = 1000",
            "candidates_per_map = 0",
            "candidates_per_map should be at",
        ),
        ("ssdlite-coco-mmdet", "size_ratio_limit = 62.5", "size_ratio_limit = 0.9", "size_ratio_limit should be at"),
        ("ssdlite-coco-mmdet", '"before_nms"', '"never"', "decoding.clip should be one of after_nms, before_nms"),
        ("ssdlite-coco-mmdet", "contiguous = true", "contiguous = false", "label '.*' has no column in logits of 81"),
        ("deeplabv3-voc", "pad_value = 127.5\n", "", "pad_value belongs to resize = 'pad'"),
        ("deeplabv3-voc", "align_corners = true", "align_corners = 1", "decoding.align_corners should be bool, not 1"),
        (
            "deeplabv3-voc",
            "columns = 21",
            "columns = 21\natrous_rates = [6.0]",
            r"network.atrous_rates\[0\] should be int",
        ),
        ("deeplabv3-voc", "pad_value = 127.5", "shorter_side = 9", "shorter_side belongs to"),
        (
            "deeplabv3-voc",
            'resize = "pad"\npad_value = 127.5',
            'resize = "centre_crop"\nshorter_side = 600',
            "a model to segment with takes resize = stretch or pad, not centre_crop",
        ),
    ],
)
def test_mistake_in_a_card_of_another_task_is_said(
    tmp_path: Path, model: str, old: str, new: str, message: str
) -> None:
    path = own_card(tmp_path, old, new, model)
    with pytest.raises(ModelError, match=message) as caught:
        load_card(str(path))
    assert str(caught.value).startswith(str(path))


def test_a_card_without_sources_is_a_card_all_the_same(tmp_path: Path) -> None:
    text = re.sub(r"\[\[weights\.sources\]\].*?(?=\[\[published\]\])", "", COCO_TEXT, flags=re.DOTALL)
    assert "sha256" not in text
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    assert load_card(str(tmp_path / "mine.toml")).download.sources == ()


@pytest.mark.parametrize("weights", ["weights = 5", 'weights = "x"', "weights = []", "[weights]\nsources = 5"])
def test_weights_that_are_no_table_are_a_mistake_in_the_card(tmp_path: Path, weights: str) -> None:
    (tmp_path / "mine.toml").write_text(f'{weights}\n[labels]\ndataset = "coco"\ncolumn_offset = 0\n')
    with pytest.raises(ModelError, match=r"mine\.toml"):
        load_card(str(tmp_path / "mine.toml"))


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
