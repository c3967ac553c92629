"""The run over a set: in order, in bounded memory, the same however it is spread over threads and batches."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_models import BLUE, GREEN, RED, save_mask, save_picture, tiny_classifier, tiny_segmenter

from mnv2deploy.errors import InputError, UsageError
from mnv2deploy.evaluation.answers import Failure, answer_all
from mnv2deploy.evaluation.classification import ClassificationDataset
from mnv2deploy.evaluation.dataset import Item, evenly_spaced
from mnv2deploy.evaluation.measuring import find_problems, measure
from mnv2deploy.evaluation.parallel import ordered_map
from mnv2deploy.evaluation.segmentation import SegmentationDataset
from mnv2deploy.runtime.session import Session

LABELS = {3: "red", 5: "green", 9: "blue"}
COLOURS = {3: RED, 5: GREEN, 9: BLUE}


@pytest.fixture
def classifier(tmp_path: Path) -> Session:
    return Session(tiny_classifier(tmp_path / "c.onnx", LABELS), threads=1, name="colours")


@pytest.fixture
def pictures(tmp_path: Path) -> ClassificationDataset:
    """Thirty pictures of one colour each, of many sizes."""
    items = []
    for index in range(30):
        class_id = [3, 5, 9][index % 3]
        path = save_picture(tmp_path / f"{index:02}.png", COLOURS[class_id], height=5 + index, width=40 - index)
        items.append(Item(path.name, path, class_id))
    return ClassificationDataset(items, LABELS)


@pytest.mark.parametrize(("threads", "batch"), [(1, 1), (2, 1), (5, 1), (3, 4), (2, 30), (1, 31)])
def test_records_come_in_the_order_of_the_pictures(threads, batch, classifier, pictures) -> None:
    records = answer_all(classifier, pictures, threads=threads, batch=batch)
    assert [record.answers[0] for record in records] == [item.truth for item in pictures.items]
    assert records == answer_all(classifier, pictures, threads=1)


@pytest.mark.parametrize("name", ["mobilenet-v2", "ssdlite-coco", "deeplabv3-voc"])
def test_batches_of_bytes_are_answered_as_batches_of_floats(name, byte_artifacts, photos) -> None:
    chosen = ("coffee.png", "rocket.jpg", "coffee.png")
    items = [Item(file, photos[file], None) for file in chosen]
    whole = SimpleNamespace(items=items, pipeline_options=dict, record=lambda item, result: result.to_json())
    floats, of_bytes = (
        answer_all(Session(path, threads=1), whole, threads=2, batch=2) for path in byte_artifacts[name]
    )
    assert numbers(floats[0]) == pytest.approx(numbers(floats[2]), rel=1e-3)  # in batches of two and of one
    assert str(floats[0]) != str(floats[1])
    for one, other in zip(of_bytes, floats, strict=True):
        assert numbers(one) == pytest.approx(numbers(other), rel=1e-3, abs=0.05)


def numbers(answer: object) -> list[float]:
    """Every number of an answer's JSON, in order."""
    if isinstance(answer, dict | list):
        parts = answer.values() if isinstance(answer, dict) else answer
        return [number for part in parts for number in numbers(part)]
    return [answer] if isinstance(answer, int | float) else []


def test_a_picture_that_fails_leaves_the_others_alone(classifier, pictures) -> None:
    broken, gone = pictures.items[4].path, pictures.items[7].path
    broken.write_bytes(broken.read_bytes()[:60])
    gone.unlink()
    for threads, batch in ((1, 1), (2, 4), (2, 30)):
        records = answer_all(classifier, pictures, threads=threads, batch=batch)
        assert len(records) == 30
        failures = {index: record for index, record in enumerate(records) if isinstance(record, Failure)}
        assert {index: failure.file for index, failure in failures.items()} == {4: str(broken), 7: str(gone)}
        assert "04.png" in failures[4].error
        assert [records[index].truth for index in (3, 5, 6, 8)] == [3, 9, 3, 9]


def test_a_graph_of_a_fixed_batch_refuses_others_before_it_runs(tmp_path, pictures) -> None:
    fixed = Session(tiny_classifier(tmp_path / "f.onnx", LABELS, batch=1), threads=1, name="fixed.onnx")
    assert len(answer_all(fixed, pictures, threads=2, batch=1)) == 30
    with pytest.raises(UsageError, match=r"--batch 2: the graph of fixed.onnx takes 1 in each run"):
        answer_all(fixed, pictures, threads=2, batch=2)
    four = Session(tiny_classifier(tmp_path / "4.onnx", LABELS, batch=4), threads=1)
    with pytest.raises(UsageError, match="takes 4 in each run"):  # of 30 pictures two would be left
        answer_all(four, pictures, threads=2, batch=4)


def test_masks_go_through_whole_and_what_is_kept_of_them_is_small(tmp_path) -> None:
    session = Session(tiny_segmenter(tmp_path / "s.onnx", {0: "r", 1: "g", 2: "b"}), threads=1)
    picture = save_picture(tmp_path / "a.png", RED, GREEN, BLUE, height=16, width=48)
    mask = save_mask(tmp_path / "m.png", 0, 1, 1, height=16, width=48)
    dataset = SegmentationDataset(
        [Item("a", picture, mask)], "voc", {0: "r", 1: "g", 2: "b"}, {0: 0, 1: 1, 2: 2, 255: None}
    )
    seen = {}
    (record,) = answer_all(session, dataset, threads=2, keep=lambda item, result: seen.update({item.name: result.mask}))
    assert seen["a"].shape == (16, 48)
    assert [seen["a"][8, column] for column in (8, 24, 40)] == [0, 1, 2]
    assert record.shape == (3, 3)
    assert record[2].tolist() == [256, 512, 0]


def test_a_picture_whose_truth_is_gone_is_a_failure(tmp_path, classifier) -> None:
    session = Session(tiny_segmenter(tmp_path / "s.onnx", {0: "r", 1: "g", 2: "b"}), threads=1)
    picture = save_picture(tmp_path / "a.png", RED)
    dataset = SegmentationDataset(
        [Item("a", picture, tmp_path / "gone.png")], "voc", {0: "r", 1: "g", 2: "b"}, {0: 0, 1: 1, 2: 2}
    )
    kept = []
    (failure,) = answer_all(session, dataset, threads=1, keep=lambda *answer: kept.append(answer))
    assert failure == Failure(str(picture), f"{tmp_path / 'gone.png'} does not exist.")
    assert kept == []


def test_no_more_than_a_few_wait_in_memory() -> None:
    """The slow first call does not let the rest run away: arguments are taken no more than 3 a thread ahead."""
    taken, begun = 0, threading.Event()

    def arguments():
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    def work(number: int) -> int:
        if number == 0:
            begun.wait(5)
        return number

    answers = ordered_map(work, arguments(), 2)
    release = threading.Timer(0.2, begun.set)
    release.start()
    assert next(answers) == 0
    assert taken <= 6
    assert list(answers) == list(range(1, 100))
    release.join()


def test_the_threads_work_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=10)
    assert list(ordered_map(lambda number: together.wait() * 0 + number, range(9), 3)) == list(range(9))


def test_an_error_in_a_thread_is_raised_and_the_rest_is_not_begun() -> None:
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise ValueError("nought")
        time.sleep(0.3)  # the error is raised while this one is under way, before the thread takes the next

    with pytest.raises(ValueError, match="nought"):
        list(ordered_map(work, range(1000), 1))
    assert begun in ([0], [0, 1])


def test_a_part_of_a_set_is_spread_over_all_of_it() -> None:
    items = [Item(str(number), Path(), number) for number in range(100)]
    assert [item.truth for item in evenly_spaced(items, 4)] == [0, 25, 50, 75]
    assert [item.truth for item in evenly_spaced(items, 3)] == [0, 33, 66]
    assert evenly_spaced(items, 100) == evenly_spaced(items, 1000) == evenly_spaced(items, None) == items
    for count in range(1, 100):
        assert len({item.truth for item in evenly_spaced(items, count)}) == count


def test_models_are_measured_on_what_all_of_them_answered(tmp_path, classifier, pictures) -> None:
    """The second model sees blue where the first sees red; a picture of green is broken."""
    other = Session(
        tiny_classifier(tmp_path / "o.onnx", LABELS, ((0, 0, 9), (0, 9, 0), (0, 0, 9))), threads=1, name="other"
    )
    pictures.items[1].path.write_bytes(pictures.items[1].path.read_bytes()[:60])
    evaluation = measure([classifier, other], pictures, threads=2)
    assert len(evaluation.items) == 29
    assert [failure.file for failure in evaluation.failures] == [str(pictures.items[1].path)]
    assert [model.metrics["top_1"] for model in evaluation.models] == [1.0, pytest.approx(19 / 29)]
    (difference,) = evaluation.differences
    assert difference.metrics["top_1"] == pytest.approx(-10 / 29)
    low, high = difference.intervals["top_1"]
    assert low < -10 / 29 < high < 0
    assert difference.is_certain("top_1") is True
    assert difference.is_certain("expected_calibration_error") is None
    assert "top_1" not in evaluation.models[0].intervals  # all right: resamples cannot tell how surely
    assert evaluation.models[1].intervals["top_1"][0] < 19 / 29 < evaluation.models[1].intervals["top_1"][1]


def test_a_model_is_not_told_from_itself(classifier, pictures) -> None:
    (difference,) = measure([classifier, classifier], pictures, threads=1).differences
    assert difference.metrics["top_1"] == 0
    assert difference.intervals["top_1"] == (0, 0)
    assert difference.is_certain("top_1") is False


def test_a_handful_of_pictures_gets_no_interval(classifier, pictures) -> None:
    pictures.items = pictures.items[:19]
    evaluation = measure([classifier, classifier], pictures, threads=1)
    assert evaluation.models[0].intervals == evaluation.differences[0].intervals == {}
    assert evaluation.differences[0].is_certain("top_1") is None


def test_nothing_but_failures_is_an_input_error(classifier, pictures) -> None:
    for item in pictures.items:
        item.path.unlink()
    with pytest.raises(InputError, match=r"None of the 30 pictures could be measured; .*00.png does not exist"):
        measure([classifier], pictures, threads=2)


def test_problems_are_told_once_and_those_of_one_model_by_its_name(tmp_path, classifier, pictures, monkeypatch) -> None:
    looked, find = [], ClassificationDataset.problems
    monkeypatch.setattr(
        ClassificationDataset, "problems", lambda self, contract: [looked.append(contract), *find(self, contract)][1:]
    )
    narrow = Session(
        tiny_classifier(tmp_path / "n.onnx", {3: "red", 5: "green"}, np.zeros((3, 2))), threads=1, name="narrow"
    )
    pictures.items[0].path.unlink()
    problems = find_problems([classifier, classifier, narrow], pictures)
    assert len(problems) == 2
    assert problems[0].startswith(str(pictures.items[0].path))
    assert problems[1] == "narrow: class 9 is no class of the model tiny, whose ids are 3, 5 (10 pictures)."
    assert len(looked) == 2  # once for models of the same classes: opening 50,000 files takes a while
