"""Top-1, top-5, calibration and confusion, against numbers worked out by hand."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import save_picture, tiny_classifier

from mnv2deploy.evaluation.classification import (
    ClassificationDataset,
    ClassificationRecord,
    confusion_matrix,
    expected_calibration_error,
)
from mnv2deploy.evaluation.dataset import Item
from mnv2deploy.runtime.classify import Classifier
from mnv2deploy.runtime.results import ClassificationResult, ClassScore
from mnv2deploy.runtime.session import Session

LABELS = {class_id: f"class {class_id}" for class_id in range(8)}


def record(truth: int, first: int, probability: float = 1.0) -> ClassificationRecord:
    return ClassificationRecord(truth, (first,), (probability,))


def dataset(labels=LABELS, items=()) -> ClassificationDataset:
    return ClassificationDataset(items, labels)


def test_of_tied_scores_the_lower_column_counts_as_first(tmp_path: Path) -> None:
    """Columns 0 to 7 score 1 3 3 0 1 1 1 0: first is 1, the best five are 1, 2, 0, 4, 5; 6 only comes too late."""
    classifier = Classifier(Session(tiny_classifier(tmp_path / "a.onnx", LABELS, np.zeros((3, 8)))), top=5)
    result = classifier.decode(np.array([1, 3, 3, 0, 1, 1, 1, 0], np.float32), height=1, width=1)
    measured = dataset()
    records = [measured.record(Item("a", Path("a"), truth), result) for truth in (1, 2, 0, 5, 6, 3)]
    assert records[0].answers == (1, 2, 0, 4, 5)
    metrics = measured.metrics(records)
    assert metrics["top_1"] == 1 / 6
    assert metrics["top_5"] == 4 / 6


def test_five_classes_or_fewer_have_no_top_5() -> None:
    five = {class_id: name for class_id, name in LABELS.items() if class_id < 5}
    assert set(dataset(five).metrics([record(0, 0)])) == {"top_1", "expected_calibration_error"}
    assert set(dataset().metrics([record(0, 0)])) == {"top_1", "top_5", "expected_calibration_error"}


def test_calibration_error_by_hand() -> None:
    """Bins are a fifteenth wide: 0.30 and 0.32 share (4/15, 5/15], 0.35 is in the next, 0.9 in (13/15, 14/15].

    Gaps: |1 right - 0.62|, |0 - 0.35| and |3 right - 4 * 0.9|; of 7 pictures: (0.38 + 0.35 + 0.6) / 7 = 0.19.
    """
    records = [
        *(record(0, 0, 0.30), record(0, 1, 0.32)),
        record(0, 1, 0.35),
        *(record(0, 0, 0.9), record(0, 0, 0.9), record(0, 0, 0.9), record(0, 1, 0.9)),
    ]
    assert expected_calibration_error(records) == pytest.approx(0.19, abs=1e-12)


def test_a_probability_on_an_edge_belongs_to_the_bin_below() -> None:
    """Right at 0.2 = 3/15 and wrong at 0.19: together |1 - 0.39| / 2, in bins of their own it would be 0.495."""
    edge = float(np.linspace(0, 1, 16)[3])
    assert expected_calibration_error([record(0, 0, edge), record(0, 1, 0.19)]) == pytest.approx(0.305)


@settings(max_examples=50, derandomize=True)
@given(st.lists(st.tuples(st.booleans(), st.floats(0.001, 1)), min_size=1, max_size=60))
def test_calibration_error_is_that_of_the_authors_loop(answers: list[tuple[bool, float]]) -> None:
    """As in gpleiss/temperature_scaling, by the authors of Guo et al. 2017: bin by bin."""
    right, confidence = np.array([one[0] for one in answers]), np.array([one[1] for one in answers])
    expected, edges = 0.0, np.linspace(0, 1, 16)
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            expected += abs(confidence[inside].mean() - right[inside].mean()) * inside.mean()
    records = [record(0, 0 if is_right else 1, value) for is_right, value in answers]
    assert expected_calibration_error(records) == pytest.approx(expected, abs=1e-12)


def test_classes_are_counted_one_by_one() -> None:
    records = [record(2, 2), record(2, 3), record(2, 2), record(5, 2)]
    assert dataset().details(records)["per_class"] == [
        {"class_id": 2, "label": "class 2", "pictures": 3, "top_1": 2 / 3},
        {"class_id": 5, "label": "class 5", "pictures": 1, "top_1": 0.0},
    ]
    matrix = confusion_matrix(records, [2, 3, 5])
    assert matrix.tolist() == [[2, 1, 0], [0, 0, 0], [1, 0, 0]]  # what is true goes down, the answer across


@settings(max_examples=25, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 7), st.permutations(range(8))), min_size=1, max_size=30), st.randoms())
def test_a_resample_is_measured_like_its_pictures_written_out(answers, random) -> None:
    records = [ClassificationRecord(truth, tuple(order[:5]), (0.2,) * 5) for truth, order in answers]
    drawn = [random.randrange(len(records)) for _ in records]
    weights = np.stack([np.ones(len(records), np.int64), np.bincount(drawn, minlength=len(records))])
    resampled = dataset().resampled_metrics(records, weights)
    for row, pictures in enumerate([records, [records[index] for index in drawn]]):
        metrics = dataset().metrics(pictures)
        assert {name: values[row] for name, values in resampled.items()} == pytest.approx(
            {name: metrics[name] for name in ("top_1", "top_5")}
        )


def test_what_is_wrong_with_the_pictures_is_listed(tmp_path: Path) -> None:
    good = save_picture(tmp_path / "good.png", (255, 0, 0))
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no picture")
    items = [
        Item("good", good, 3),
        Item("gone", tmp_path / "gone.png", 3),
        Item("empty", tmp_path / "empty.png", 8),
        Item("text", tmp_path / "text.jpg", 8),
        Item("unknown", good, "dragon"),
    ]
    contract = Session(tiny_classifier(tmp_path / "a.onnx", LABELS, np.zeros((3, 8)))).contract
    problems = dataset(items=items).problems(contract)
    assert problems[:2] == [
        "class 8 is no class of the model tiny, whose ids are 0 to 7 (2 pictures).",
        "class 'dragon' is no class of the model tiny (1 picture).",
    ]
    assert [problem.split(" ")[0] for problem in problems[2:]] == [str(item.path) for item in items[1:4]]
    assert dataset(items=items[:1]).problems(contract) == []
    assert dataset(items=[]).problems(contract) == ["there are no pictures."]


@pytest.mark.parametrize("source", [None, Path("set/labels.csv")])
def test_pictures_that_are_mostly_missing_are_one_problem(source: Path | None, tmp_path: Path) -> None:
    contract = Session(tiny_classifier(tmp_path / "a.onnx", LABELS, np.zeros((3, 8)))).contract
    items = [Item(name, tmp_path / name, 3) for name in ("a.png", "b.png", "c.png", "d.png")]

    def problems() -> list[str]:
        return ClassificationDataset(items, LABELS, source=source).problems(contract)

    (only,) = problems()
    assert only.startswith("none of the 4 pictures can be found; they belong ")
    assert only.endswith(f"Missing is {tmp_path / 'a.png'}, for one.")
    (tmp_path / "a.png").write_bytes(b"")
    few, empty = problems()
    assert few.startswith("only 1 of the 4 pictures")
    assert "a.png is empty" in empty
    for name in "abc":
        save_picture(tmp_path / f"{name}.png", (255, 0, 0))
    assert (f"{source} lists it" in problems()[0]) == (source is not None)
    assert problems()[0].startswith(f"{tmp_path / 'd.png'} does not exist")


def test_a_class_told_by_name_has_to_have_it_in_every_model(tmp_path: Path) -> None:
    item = Item("a", save_picture(tmp_path / "a.png", (255, 0, 0)), 1)
    named = ClassificationDataset([item], {0: "cat", 1: "dog"}, named={1: "dog"})
    other = Session(tiny_classifier(tmp_path / "a.onnx", {0: "dog", 1: "cat", 2: "cow"})).contract
    assert named.problems(other) == ["class 1 is 'dog' here and 'cat' in the model tiny."]
    assert ClassificationDataset([item], {0: "cat", 1: "dog"}).problems(other) == []


def test_a_record_is_the_answers_ids_and_scores() -> None:
    result = ClassificationResult(4, 3, (ClassScore("b", 7, 0.75), ClassScore("a", 2, 0.25)))
    assert dataset().record(Item("x", Path("x"), 2), result) == ClassificationRecord(2, (7, 2), (0.75, 0.25))
