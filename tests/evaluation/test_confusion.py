"""The confusion matrix in a file."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import cv2
import pytest

from mnv2deploy.errors import MissingDependencyError, UsageError
from mnv2deploy.evaluation.classification import ClassificationRecord
from mnv2deploy.evaluation.confusion import check_confusion_file, write_confusion

LABELS = {0: "cat", 2: "dog, large", 5: "cow"}
ANSWERS = [(0, 0), (0, 0), (0, 2), (2, 2)]
RECORDS = [ClassificationRecord(truth, (answer,), (1.0,)) for truth, answer in ANSWERS]


def test_a_csv_has_every_class_what_is_true_down_and_the_answer_across(tmp_path: Path) -> None:
    write_confusion(RECORDS, LABELS, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["class_id", "label", "0", "2", "5"],
        ["0", "cat", "2", "1", "0"],
        ["2", "dog, large", "0", "1", "0"],
        ["5", "cow", "0", "0", "0"],
    ]


def test_a_drawing_names_the_classes_that_occur_and_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        write_confusion(RECORDS, LABELS, tmp_path / name)
    text = (tmp_path / "a.svg").read_text()
    assert text.count("dog, large") >= 2  # on both sides
    assert "cow" not in text
    assert (tmp_path / "b.svg").read_text() == text
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert min(cv2.imread(str(tmp_path / "a.png")).shape[:2]) >= 1000


@pytest.mark.parametrize("most", [1, 2, 3])
def test_the_scale_shows_whole_pictures(most: int, tmp_path: Path) -> None:
    write_confusion([ClassificationRecord(0, (2,), (1.0,))] * most, LABELS, tmp_path / "a.svg")
    numbers = re.findall(r">(\d[\d.]*)</text>", (tmp_path / "a.svg").read_text())
    assert numbers
    assert all(number.isdecimal() for number in numbers)


def test_many_classes_are_drawn_without_names(tmp_path: Path) -> None:
    labels = {class_id: f"class {class_id}" for class_id in range(100)}
    records = [ClassificationRecord(class_id, (99 - class_id,), (1.0,)) for class_id in range(100)]
    write_confusion(records, labels, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert "100 classes" in text
    assert "class 7" not in text


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"should end in .csv or .svg or .png"):
        check_confusion_file(tmp_path / "a.pdf")


def test_drawing_without_matplotlib_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'mnv2deploy\[plot\]'"):
        check_confusion_file(tmp_path / "a.svg")
    check_confusion_file(tmp_path / "a.csv")
