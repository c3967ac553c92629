"""The numbers of COCO and their resamples, beside pycocotools."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mnv2deploy.evaluation.coco import CocoDataset
from mnv2deploy.evaluation.coco_files import Annotations, Picture
from mnv2deploy.evaluation.coco_records import CocoRecord
from mnv2deploy.evaluation.dataset import Item
from mnv2deploy.evaluation.matching import Objects

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
SEEDS = st.integers(0, 2**32 - 1)


class Case:
    """Truth and detections in pycocotools' own form, from which a data set and records are made.

    Boxes are in eighths of a pixel and scores in 4096ths, so nothing is lost to rounding; the coarse grid makes equal
    overlaps, and with ``ties`` there are equal scores.
    """

    def __init__(self, seed: int, *, ties: bool = True) -> None:
        self.random = np.random.default_rng(seed)
        self.categories = sorted(self.random.choice(90, self.random.integers(1, 6), replace=False).tolist())
        self.images = self.random.choice(10_000, self.random.integers(1, 9), replace=False).tolist()
        self.truth: list[dict] = []
        self.found: list[dict] = []
        levels = self.random.permutation(4096) if not ties else self.random.integers(0, 40, 4096)
        self.scores = iter((levels / 4096).tolist())
        for image in self.images:
            # The last category has no object; it may have detections.
            for category in self.categories:
                objects = (
                    self.random.integers(0, 4) if category != self.categories[-1] or self.random.random() < 0.5 else 0
                )
                boxes = [self._object(image, category) for _ in range(objects)]
                for box in boxes:
                    for _ in range(self.random.integers(0, 4)):
                        self._detection(
                            image, category, box + self.random.integers(-5, 6, 4) * self.random.integers(0, 2)
                        )
                strangers = self.random.choice([0, 1, 4, 110], p=[0.5, 0.3, 0.15, 0.05])
                for _ in range(strangers):
                    self._detection(image, category, self._box())

    def _box(self):
        return np.concatenate([self.random.integers(0, 20, 2) * 8, self.random.integers(1, 16, 2) * 8])

    def _object(self, image, category):
        box = self._box()
        self.truth.append(
            {
                "id": len(self.truth) + 1,
                "image_id": image,
                "category_id": category,
                "bbox": box.astype(float).tolist(),
                "area": float(self.random.choice([400, 32**2, 2000, 96**2, 20000])),
                "iscrowd": int(self.random.random() < 0.15),
            }
        )
        return box

    def _detection(self, image, category, box):
        box = np.maximum(box, [0, 0, 1, 1]).astype(float)
        self.found.append(
            {"image_id": image, "category_id": category, "bbox": box.tolist(), "score": next(self.scores)}
        )


def dataset_of(case: Case) -> CocoDataset:
    objects = Objects(
        ids=np.array([one["id"] for one in case.truth], np.int64),
        image_ids=np.array([one["image_id"] for one in case.truth], np.int64),
        category_ids=np.array([one["category_id"] for one in case.truth], np.int64),
        boxes=np.array([one["bbox"] for one in case.truth], np.float64).reshape(-1, 4),
        areas=np.array([one["area"] for one in case.truth], np.float64),
        crowd=np.array([one["iscrowd"] for one in case.truth], bool),
    )
    pictures = tuple(Picture(image, f"{image}.png", 320, 320) for image in case.images)
    annotations = Annotations(pictures, {number: str(number) for number in case.categories}, objects)
    items = [Item(picture.file_name, Path(picture.file_name), picture.id) for picture in pictures]
    return CocoDataset(Path("instances.json"), annotations, items)


def records_of(case: Case) -> list[CocoRecord]:
    records = []
    for image in case.images:
        found = [one for one in case.found if one["image_id"] == image]
        records.append(
            CocoRecord(
                image,
                np.array([one["category_id"] for one in found], np.int32),
                np.array([one["bbox"] for one in found], np.float64).reshape(-1, 4),
                np.array([one["score"] for one in found], np.float32),
            )
        )
    return records


def peer(images: list[int], categories: list[int], truth: list[dict], found: list[dict]) -> dict[str, float]:
    """pycocotools' numbers, without those that no object counts for."""
    shared = {"images": [{"id": image} for image in images], "categories": [{"id": number} for number in categories]}
    with contextlib.redirect_stdout(io.StringIO()):
        tables = [COCO(), COCO()]
        rows = [
            {**one, "id": number, "area": one["bbox"][2] * one["bbox"][3], "iscrowd": 0}
            for number, one in enumerate(found, 1)
        ]
        for table, annotations in zip(tables, (truth, rows), strict=True):
            table.dataset = {**shared, "annotations": [dict(one) for one in annotations]}
            table.createIndex()
        evaluation = COCOeval(*tables, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: value for name, value in zip(METRICS, evaluation.stats.tolist(), strict=True) if value != -1}


def repeated(case: Case, weights: list[int]) -> dict[str, float]:
    """pycocotools' numbers on pictures that are really there so many times, under new ids."""
    images, truth, found = [], [], []
    for image, weight in zip(case.images, weights, strict=True):
        for _ in range(weight):
            copy = len(images) + 1
            images.append(copy)
            truth += [{**one, "image_id": copy} for one in case.truth if one["image_id"] == image]
            found += [{**one, "image_id": copy} for one in case.found if one["image_id"] == image]
    truth = [{**one, "id": number} for number, one in enumerate(truth, 1)]
    return peer(images, case.categories, truth, found)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SEEDS)
def test_all_numbers_are_those_of_pycocotools(seed):
    case = Case(seed)
    expected = peer(case.images, case.categories, case.truth, case.found)
    assert dataset_of(case).metrics(records_of(case)) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SEEDS)
def test_a_resample_of_every_picture_once_gives_the_metrics_ties_and_crowds_included(seed):
    case = Case(seed)
    dataset, records = dataset_of(case), records_of(case)
    expected = dataset.metrics(records)
    resampled = dataset.resampled_metrics(records, np.ones((2, len(records)), np.int64))
    for name, values in resampled.items():
        assert values == pytest.approx([expected.get(name, np.nan)] * 2, abs=1e-12, nan_ok=True)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SEEDS)
def test_a_resample_gives_what_pycocotools_gives_on_pictures_really_repeated(seed):
    case = Case(seed, ties=False)
    weights = case.random.integers(0, 4, (3, len(case.images)))
    resampled = dataset_of(case).resampled_metrics(records_of(case), weights)
    for row, counts in enumerate(weights.tolist()):
        expected = repeated(case, counts)
        for name, values in resampled.items():
            assert values[row] == pytest.approx(expected.get(name, np.nan), abs=1e-12, nan_ok=True)


def test_the_order_of_the_records_does_not_matter_and_weights_follow_them():
    case = next(case for case in map(Case, range(100)) if len(case.images) == 8)
    dataset, records = dataset_of(case), records_of(case)
    weights = case.random.integers(0, 4, (5, 8))
    order = case.random.permutation(8)
    shuffled = [records[place] for place in order]
    assert dataset.metrics(shuffled) == dataset.metrics(records)
    straight = dataset.resampled_metrics(records, weights)
    for name, values in dataset.resampled_metrics(shuffled, weights[:, order]).items():
        assert np.array_equal(values, straight[name], equal_nan=True)


def test_many_resamples_are_worked_off_in_pieces_of_bounded_size(monkeypatch):
    case = Case(7)
    dataset, records = dataset_of(case), records_of(case)
    weights = case.random.integers(0, 4, (50, len(records)))
    whole = dataset.resampled_metrics(records, weights)
    monkeypatch.setattr("mnv2deploy.evaluation.average_precision._MAX_ELEMENTS", 300)
    for name, values in dataset.resampled_metrics(records, weights).items():
        assert np.array_equal(values, whole[name], equal_nan=True)


def test_metrics_are_of_the_pictures_answered_and_of_no_others():
    case = next(case for case in map(Case, range(100)) if len(case.images) == 8)
    some = sorted(case.images)[:3]
    truth = [one for one in case.truth if one["image_id"] in some]
    found = [one for one in case.found if one["image_id"] in some]
    expected = peer(some, case.categories, truth, found)
    records = [record for record in records_of(case) if record.image_id in some]
    assert dataset_of(case).metrics(records) == pytest.approx(expected, abs=1e-12)
    assert expected != peer(case.images, case.categories, case.truth, case.found)


def test_details_hold_every_category_that_has_an_object():
    case = next(case for case in map(Case, range(100)) if len(case.categories) == 5)
    details = dataset_of(case).details(records_of(case))["per_class"]
    objects = [one["category_id"] for one in case.truth if not one["iscrowd"]]
    assert [one["class_id"] for one in details] == sorted(set(objects))
    for one in details:
        truth = [row for row in case.truth if row["category_id"] == one["class_id"]]
        found = [row for row in case.found if row["category_id"] == one["class_id"]]
        expected = peer(case.images, [one["class_id"]], truth, found)
        assert one["AP"] == pytest.approx(expected["AP"], abs=1e-12)
        assert one["AP50"] == pytest.approx(expected["AP50"], abs=1e-12)
        assert one["objects"] == objects.count(one["class_id"])
        assert one["label"] == str(one["class_id"])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_the_predictions_file_gives_pycocotools_the_same_numbers(tmp_path_factory, seed):
    case = Case(seed)
    dataset, records = dataset_of(case), records_of(case)
    path = tmp_path_factory.getbasetemp() / "predictions.json"
    dataset.write_predictions(records, path)
    written = json.loads(path.read_text())
    # pycocotools orders equal scores by picture, then as they come: so the order inside a picture has to be kept.
    assert peer(case.images, case.categories, case.truth, written) == pytest.approx(dataset.metrics(records), abs=1e-12)


HAND_TRUTH = [
    {"id": 1, "image_id": 1, "category_id": 3, "bbox": [0.0, 0.0, 100.0, 100.0], "area": 10000.0, "iscrowd": 0},
    {"id": 2, "image_id": 2, "category_id": 3, "bbox": [0.0, 0.0, 100.0, 100.0], "area": 10000.0, "iscrowd": 0},
]
HAND_FOUND = [
    {"image_id": 1, "category_id": 3, "bbox": [0.0, 0.0, 100.0, 100.0], "score": 0.875},  # finds it
    {"image_id": 1, "category_id": 3, "bbox": [200.0, 0.0, 50.0, 50.0], "score": 0.75},  # finds nothing
    {"image_id": 2, "category_id": 3, "bbox": [0.0, 0.0, 100.0, 62.0], "score": 0.5},  # IoU 0.62: at 0.5, 0.55 and 0.6
]


@pytest.fixture
def by_hand():
    case = Case(0)
    case.images, case.categories, case.truth, case.found = [1, 2], [3], HAND_TRUTH, HAND_FOUND
    return dataset_of(case), records_of(case)


def test_two_pictures_computed_by_hand(by_hand):
    # Of the 101 recalls 51 (0 to 0.5) have precision 1; the 50 above have 2/3 while the third box counts, then 0.
    ap50 = (51 + 50 * 2 / 3) / 101
    expected = {"AP": (3 * ap50 + 7 * 51 / 101) / 10, "AP50": ap50, "AP75": 51 / 101}
    # The second box is no large one, so among large objects it is no mistake.
    expected |= {"AR1": 0.65, "AR10": 0.65, "AR100": 0.65, "APl": (3 + 7 * 51 / 101) / 10, "ARl": 0.65}
    dataset, records = by_hand
    assert dataset.metrics(records) == pytest.approx(expected, abs=1e-12)


def test_resamples_of_two_pictures_computed_by_hand(by_hand):
    dataset, records = by_hand
    weights = np.array([[2, 0], [0, 1], [1, 3], [0, 0]])
    resampled = dataset.resampled_metrics(records, weights)
    # Once the first and thrice the second: 26 recalls (0 to 0.25) at precision 1, the other 75 at 4/5.
    ap50 = (26 + 75 * 4 / 5) / 101
    assert resampled["AP50"] == pytest.approx([1, 1, ap50, np.nan], abs=1e-12, nan_ok=True)
    assert resampled["AP75"] == pytest.approx([1, 0, 26 / 101, np.nan], abs=1e-12, nan_ok=True)
    assert resampled["AP"] == pytest.approx([1, 0.3, (3 * ap50 + 7 * 26 / 101) / 10, np.nan], abs=1e-12, nan_ok=True)


def test_numbers_without_an_object_are_left_out(by_hand):
    dataset, records = by_hand
    assert set(METRICS) - set(dataset.metrics(records)) == {"APs", "APm", "ARs", "ARm"}
    dataset.annotations.objects.crowd[:] = True
    assert dataset.metrics(records) == {}
    assert dataset.details(records) == {"per_class": []}
    assert dataset.metrics([]) == {}


def test_nothing_found_is_zero_not_nothing(by_hand):
    dataset, records = by_hand
    empty = [
        CocoRecord(record.image_id, record.category_ids[:0], record.boxes[:0], record.scores[:0]) for record in records
    ]
    metrics = dataset.metrics(empty)
    assert metrics["AP"] == metrics["AR100"] == 0
    assert dataset.resampled_metrics(empty, np.ones((1, 2), np.int64))["AP"] == [0]


def test_metrics_print_and_log_nothing(by_hand, capfd, caplog):
    dataset, records = by_hand
    with caplog.at_level("DEBUG"):
        dataset.metrics(records)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
