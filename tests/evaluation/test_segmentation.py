"""Masks are counted as mmsegmentation and torchmetrics count them; each of their conventions is met on purpose."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_masks import CLASSES, IGNORED, NEVER_TRUE, NOWHERE, made_masks
from tiny_models import RED, save_mask, save_picture, tiny_segmenter

from mnv2deploy.errors import InputError
from mnv2deploy.evaluation.dataset import Item
from mnv2deploy.evaluation.segmentation import SegmentationDataset
from mnv2deploy.media.masks import encode_mask_png
from mnv2deploy.runtime.results import SegmentationResult
from mnv2deploy.runtime.session import Session

REFERENCE = json.loads((Path(__file__).parent.parent / "reference" / "segmentation_metrics.json").read_text())
NAMES = {class_id: f"class {class_id}" for class_id in range(CLASSES)}


def dataset(labels=NAMES, items=(), ignored=(IGNORED,)) -> SegmentationDataset:
    meanings = {class_id: class_id for class_id in labels} | dict.fromkeys(ignored)
    return SegmentationDataset(items, "voc", labels, meanings)


def result(mask: np.ndarray) -> SegmentationResult:
    return SegmentationResult(width=mask.shape[1], height=mask.shape[0], mask=mask, segments=())


def records_of(pairs, folder: Path, measured: SegmentationDataset) -> list[np.ndarray]:
    records = []
    for index, (truth, answer) in enumerate(pairs):
        path = folder / f"{index}.png"
        path.write_bytes(encode_mask_png(truth, {}))
        records.append(measured.record(Item(path.stem, path, path), result(answer)))
    return records


def digest(masks) -> str:
    found = hashlib.sha256()
    for mask in masks:
        found.update(f"{mask.shape} ".encode() + mask.tobytes())
    return found.hexdigest()


@pytest.fixture
def made(tmp_path: Path) -> list[np.ndarray]:
    return records_of(made_masks(), tmp_path, dataset())


def test_the_made_masks_are_those_the_peers_saw() -> None:
    assert digest(truth for truth, _ in made_masks()) == REFERENCE["made"]["truths_sha256"]
    assert digest(answer for _, answer in made_masks()) == REFERENCE["made"]["answers_sha256"]


def test_metrics_equal_those_of_mmseg_and_torchmetrics(made: list[np.ndarray]) -> None:
    metrics = dataset().metrics(made)
    mmseg, torchmetrics = REFERENCE["made"]["mmseg"], REFERENCE["made"]["torchmetrics"]
    assert metrics == pytest.approx({name: mmseg[name] for name in metrics}, abs=1e-12)
    assert {name: metrics[name] for name in torchmetrics} == pytest.approx(torchmetrics, abs=1e-6)


def test_the_iou_of_every_class_equals_mmsegs(made: list[np.ndarray]) -> None:
    per_class = dataset().details(made)["per_class"]
    ious = [one["iou"] for one in per_class]
    assert ious == [value if value is None else pytest.approx(value) for value in REFERENCE["made"]["mmseg"]["iou"]]
    assert (ious[NEVER_TRUE], ious[NOWHERE]) == (0, None)  # only answered; neither true nor answered
    assert [one["accuracy"] for one in per_class][NEVER_TRUE:] == [None, None]
    assert [one["label"] for one in per_class] == list(NAMES.values())


def test_counts_by_hand(tmp_path: Path) -> None:
    truth = np.array([[0, 0, 2, 255], [2, 2, 0, 255]], np.uint8)
    answer = np.array([[0, 2, 2, 2], [2, 0, 1, 0]], np.uint8)
    measured = dataset({0: "a", 1: "b", 2: "c"})
    (record,) = records_of([(truth, answer)], tmp_path, measured)
    assert record.tolist() == [[1, 0, 2], [2, 1, 3], [3, 0, 3]]  # in common, answered, true; 255 counts nowhere
    metrics = measured.metrics([record])
    assert metrics["mean_iou"] == pytest.approx((1 / 4 + 0 + 2 / 4) / 3)
    assert metrics["pixel_accuracy"] == pytest.approx(3 / 6)
    assert metrics["mean_accuracy"] == pytest.approx((1 / 3 + 2 / 3) / 2)


def test_class_ids_need_not_begin_at_0_nor_fit_into_8_bits(tmp_path: Path) -> None:
    labels = {40: "a", 7: "b", 300: "c"}
    truth = np.array([[40, 300, 7], [0, 40, 0]], np.uint16)
    answer = np.array([[40, 7, 7], [40, 300, 300]], np.uint16)
    measured = dataset(labels, ignored=(0,))
    (record,) = records_of([(truth, answer)], tmp_path, measured)
    assert record.tolist() == [[1, 1, 0], [1, 2, 1], [2, 1, 1]]  # in the order of the labels


@settings(max_examples=20, derandomize=True)
@given(st.randoms())
def test_a_resample_is_measured_like_its_pictures_written_out(made_once, random) -> None:
    """Unless it lacks all pictures of a class that other pictures are taken for; see below."""
    drawn = [2, 3] + [random.randrange(len(made_once)) for _ in made_once[2:]]  # these two have every class
    weights = np.stack([np.ones(len(made_once), np.int64), np.bincount(drawn, minlength=len(made_once))])
    resampled = dataset().resampled_metrics(made_once, weights)
    for row, records in enumerate([made_once, [made_once[index] for index in drawn]]):
        assert {name: values[row] for name, values in resampled.items()} == pytest.approx(dataset().metrics(records))


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    return records_of(made_masks(), tmp_path_factory.mktemp("made"), dataset())


def test_a_resample_without_a_class_says_nothing_of_it() -> None:
    """Picture 0 has class 1 and is right; picture 1 has none of it, but one stray pixel is taken for it."""
    records = [np.array([[4, 4], [4, 4], [4, 4]]), np.array([[7, 0], [7, 1], [8, 0]])]
    measured = dataset({0: "a", 1: "b"})
    resampled = measured.resampled_metrics(records, np.array([[1, 1], [0, 2]]))["mean_iou"]
    assert resampled.tolist() == pytest.approx([(11 / 12 + 4 / 5) / 2, 7 / 8])
    # In a set that has none of it at all, the stray pixel counts, as in mmseg.
    alone = measured.resampled_metrics(records[1:], np.array([[1], [2]]))["mean_iou"]
    assert alone.tolist() == [measured.metrics(records[1:])["mean_iou"]] * 2 == pytest.approx([7 / 16] * 2)


def test_what_is_wrong_with_pictures_and_masks_is_listed(tmp_path: Path) -> None:
    def item(name: str) -> Item:
        return Item(name, tmp_path / f"{name}.png", tmp_path / f"masks/{name}.png")

    contract = Session(tiny_segmenter(tmp_path / "a.onnx", {0: "r", 1: "g", 2: "b"})).contract
    for name in ("good", "no_mask", "small", "strange", "colours"):
        save_picture(tmp_path / f"{name}.png", RED)
    for name in ("good", "no_picture"):
        save_mask(tmp_path / f"masks/{name}.png", 0, 1, 255)
    save_mask(tmp_path / "masks/small.png", 0, 1, height=15)
    save_mask(tmp_path / "masks/strange.png", 2, 3, 4, 254)
    save_picture(tmp_path / "masks/colours.png", RED)
    labels = {label.class_id: label.name for label in contract.labels}
    names = ["good", "no_mask", "no_picture", "small", "strange", "colours"]
    problems = dataset(labels, [item(name) for name in names]).problems(contract)
    masks = tmp_path / "masks"
    # Own sets are laid out as VOC's; so may be somebody's ADE20K.
    assert problems.pop(0).endswith("if they are ADE20K's or Cityscapes', say so with --format.")
    assert len(problems) == 5
    assert problems[0] == f"{masks / 'no_mask.png'} does not exist."
    assert problems[1].startswith(f"{tmp_path / 'no_picture.png'} does not exist")
    assert problems[2] == f"{masks / 'small.png'} is 24 x 15 and its picture 24 x 16."
    assert problems[3] == f"{masks / 'strange.png'} has pixels of value 3 to 4, 254, which stand for no class."
    assert problems[4].startswith(f"{masks / 'colours.png'} has colours")
    assert dataset(labels, [item("good")]).problems(contract) == []
    assert dataset(labels, []).problems(contract) == ["there are no pictures."]


def test_folders_that_are_missing_are_one_problem_each(tmp_path: Path) -> None:
    contract = Session(tiny_segmenter(tmp_path / "a.onnx", {0: "r", 1: "g", 2: "b"})).contract
    items = [Item(name, tmp_path / f"images/{name}.png", tmp_path / f"masks/{name}.png") for name in "abc"]
    problems = dataset({0: "r", 1: "g", 2: "b"}, items).problems(contract)
    assert [problem.split(";")[0] for problem in problems] == [
        "none of the 3 pictures can be found",
        "none of the 3 masks can be found",
    ]
    assert f"belong in {tmp_path / 'masks'}." in problems[1]


def test_a_model_of_other_classes_is_a_problem(tmp_path: Path) -> None:
    contract = Session(tiny_segmenter(tmp_path / "a.onnx", {0: "r", 1: "g", 2: "b"})).contract
    problems = dataset({0: "r", 1: "g", 2: "b", 4: "x"}).problems(contract)
    assert problems == ["the classes have the ids 0 to 2, 4 in the data set and 0 to 2 in the model tiny."]


def test_a_mask_that_changed_during_the_run_is_an_input_error(tmp_path: Path) -> None:
    mask = save_mask(tmp_path / "a.png", 0, 1)
    with pytest.raises(InputError, match=r"a.png is not as large as"):
        dataset().record(Item("a", tmp_path / "b.png", mask), result(np.zeros((3, 3), np.uint8)))
