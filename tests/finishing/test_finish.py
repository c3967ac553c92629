"""Finished artifacts of real models answer real photos as the unfinished do, through the same run road."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from tiny_models import tiny_classifier, tiny_segmenter

import mnv2deploy
from mnv2deploy.contract import METADATA_KEY, parse_contract
from mnv2deploy.errors import ModelError, UsageError
from mnv2deploy.evaluation.answers import answer_all
from mnv2deploy.evaluation.classification import ClassificationDataset
from mnv2deploy.evaluation.dataset import Item
from mnv2deploy.finishing.artifact import Finished, finish
from mnv2deploy.quantization.agreement import compare_answers
from mnv2deploy.quantization.loading import load_float
from mnv2deploy.runtime import images
from mnv2deploy.runtime.preprocessing import fitted_size, prepare
from mnv2deploy.runtime.resizing import resize
from mnv2deploy.runtime.session import Session

LOW = 0.02
LABELS = {3: "red", 5: "green", 9: "blue"}


@pytest.fixture(scope="module")
def made(artifacts, tmp_path_factory) -> dict[str, Finished]:
    """Of a model of each task and the one with a single class, decoding in the graph."""
    folder = tmp_path_factory.mktemp("finished")
    names = ("mobilenet-v2", "ssdlite-coco", "ssdlite-pedestrian", "deeplabv3-voc")
    done = {name: finish(artifacts[name], folder / f"{name}.onnx", byte_input=False, end_to_end=True) for name in names}
    low = folder / "low.onnx"
    done["low"] = finish(artifacts["ssdlite-coco"], low, byte_input=False, end_to_end=True, score_threshold=LOW)
    whole = folder / "whole.onnx"
    done["whole"] = finish(artifacts["mobilenet-v2"], whole, byte_input=True, end_to_end=True)
    return done


def both(artifacts, made, name, **options):
    return mnv2deploy.load(artifacts[name], **options), mnv2deploy.load(made[name].path, **options)


@pytest.mark.parametrize("finished", ["mobilenet-v2", "whole"])
def test_classes_are_the_same(finished, artifacts, made, photos):
    raw, done = mnv2deploy.load(artifacts["mobilenet-v2"]), mnv2deploy.load(made[finished].path)
    for photo in photos.values():
        one, other = raw(photo), done(photo)
        assert [(c.label, c.class_id) for c in other.classes] == [(c.label, c.class_id) for c in one.classes]
        assert [c.score for c in other.classes] == pytest.approx([c.score for c in one.classes], abs=2e-6)
        assert (other.width, other.height) == (one.width, one.height)


def assert_same_detections(one, other):
    assert [found.label for found in other.detections] == [found.label for found in one.detections]
    assert [found.class_id for found in other.detections] == [found.class_id for found in one.detections]
    assert [found.score for found in other.detections] == pytest.approx([f.score for f in one.detections], abs=1e-6)
    sides = (one.width, one.height) * 2
    for found, wanted in zip(other.detections, one.detections, strict=True):
        assert np.divide(found.box, sides) == pytest.approx(np.divide(wanted.box, sides), abs=1e-5)


@pytest.mark.parametrize("name", ["ssdlite-coco", "ssdlite-pedestrian"])
def test_boxes_are_the_same(name, artifacts, made, photos):
    raw, done = both(artifacts, made, name)
    answers = [(raw(photo), done(photo)) for photo in photos.values()]
    assert any(one.detections for one, _ in answers)
    assert any(not one.detections for one, _ in answers)
    for one, other in answers:
        assert_same_detections(one, other)


def test_hundreds_of_doubtful_boxes_are_the_same(artifacts, made, photos):
    raw, done = mnv2deploy.load(artifacts["ssdlite-coco"], score=LOW), mnv2deploy.load(made["low"].path)
    found = [(raw(photos[name]), done(photos[name])) for name in ("coffee.png", "astronaut.png")]
    assert sum(len(one.detections) for one, _ in found) > 50
    for one, other in found:
        assert_same_detections(one, other)


def test_stricter_options_leave_out_what_they_do_outside_the_graph(artifacts, made, photos):
    coffee = images.read(photos["coffee.png"])
    for options in ({"score": 0.1}, {"max_detections": 3, "score": LOW}, {"classes": ["CUP", "spoon"], "score": 0.1}):
        one = mnv2deploy.load(artifacts["ssdlite-coco"], **options)(coffee)
        other = mnv2deploy.load(made["low"].path, **options)(coffee)
        assert 0 < len(other.detections) < 50
        assert_same_detections(one, other)
    raw, done = both(artifacts, made, "mobilenet-v2", top=2)
    assert [one.class_id for one in done(coffee).classes] == [one.class_id for one in raw(coffee).classes]
    assert len(done(coffee).classes) == 2


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("ssdlite-coco", {"iou": 0.6}, "has suppressed boxes at an IoU of 0.6"),
        ("ssdlite-coco", {"score": 0.49}, "answers nothing below 0.5; .*--score 0.49"),
        ("ssdlite-coco", {"score": 1.5}, "not between 0 and 1"),
        ("ssdlite-coco", {"max_detections": 101}, "answers at most 100"),
        ("ssdlite-coco", {"max_detections": 0}, "at least 1"),
        ("ssdlite-coco", {"classes": ["unicorn"]}, "knows no class 'unicorn'"),
        ("ssdlite-coco", {"top": 3}, "has no option top"),
        ("mobilenet-v2", {"top": 6}, "answers at most 5"),
        ("mobilenet-v2", {"top": 0}, "at least 1"),
        ("deeplabv3-voc", {"score": 0.6}, "has no option score"),
    ],
)
def test_what_the_graph_has_decided_is_not_asked_again(name, options, says, made):
    with pytest.raises(UsageError, match=says):
        mnv2deploy.load(made[name].path, **options)


def test_mask_of_a_picture_of_the_inputs_size_is_the_same(artifacts, made, photos):
    raw, done = both(artifacts, made, "deeplabv3-voc")
    for file in ("astronaut.png", "motorcycle_left.png"):
        picture = resize(images.read(photos[file]), 513, 513, "bilinear")
        one, other = raw(picture), done(picture)
        assert len(one.segments) > 1
        assert np.mean(one.mask != other.mask) < 1e-5
        assert [(s.label, s.class_id, s.colour) for s in other.segments] == [
            (s.label, s.class_id, s.colour) for s in one.segments
        ]


def test_mask_of_another_size_is_that_of_the_nearest_pixels_without_the_padding(artifacts, made, photos):
    raw, done = both(artifacts, made, "deeplabv3-voc")
    picture = images.read(photos["chelsea.png"])
    height, width = picture.shape[:2]
    found = done(picture)
    (mask,), *_ = done.session.run_picture(picture)
    rows, columns = fitted_size(height, width, done.contract.input)
    assert rows < 513
    down, across = (
        np.floor((np.arange(side) + 0.5) * valid / side).astype(int)
        for side, valid in ((height, rows), (width, columns))
    )
    np.testing.assert_array_equal(found.mask, mask[down][:, across])
    assert found.mask.shape == (height, width)
    assert np.mean(found.mask == raw(picture).mask) > 0.99
    counts = np.bincount(found.mask.ravel(), minlength=21)
    assert {one.class_id: one.pixels for one in found.segments} == {i: n for i, n in enumerate(counts.tolist()) if n}
    assert found.mask.dtype == np.uint8


@pytest.mark.parametrize("name", ["mobilenet-v2", "ssdlite-coco"])
def test_onnxruntime_alone_answers_batches(name, made, photos):
    session = Session(made[name].path)
    plain = onnxruntime.InferenceSession(str(made[name].path))
    chosen = [photos[file] for file in ("coffee.png", "rocket.jpg", "chelsea.png")]
    contract = session.contract
    tensors = [prepare(images.read(path), contract.input, contract.preprocessing) for path in chosen]
    together = plain.run(None, {"image": np.concatenate(tensors)})
    assert [entry.name for entry in plain.get_outputs()] == [output.name for output in contract.outputs]
    for index, tensor in enumerate(tensors):
        for all_values, values in zip(together, plain.run(None, {"image": tensor}), strict=True):
            np.testing.assert_allclose(all_values[index], values[0], atol=2e-5)


def test_contract_keeps_what_the_graph_was_made_to_do(artifacts, made):
    before, after = (Session(path).contract for path in (artifacts["ssdlite-coco"], made["low"].path))
    assert (before.finished, after.finished) == (False, True)
    assert after == made["low"].contract
    assert after.labels == before.labels
    assert after.decoding == dataclasses.replace(before.decoding, score_threshold=LOW)
    assert after.preprocessing == before.preprocessing
    assert dataclasses.replace(after.provenance, tools=()) == dataclasses.replace(before.provenance, tools=())
    assert [output.meaning for output in after.outputs] == ["boxes", "class_scores", "class_ids", "counts"]


def test_finishing_again_gives_the_same_bytes(artifacts, made, tmp_path):
    again = finish(artifacts["mobilenet-v2"], tmp_path / "sub" / "again.onnx", byte_input=True, end_to_end=True)
    data = again.path.read_bytes()
    assert data == made["whole"].path.read_bytes()
    assert (again.sha256, again.size) == (hashlib.sha256(data).hexdigest(), len(data))


def test_graph_is_valid_and_stays_at_its_opset(made):
    for done in made.values():
        model = onnx.load(done.path)
        onnx.checker.check_model(model, full_check=True)
        assert [entry.version for entry in model.opset_import] == [done.contract.provenance.opset] == [18]
        assert [entry.key for entry in model.metadata_props] == [METADATA_KEY]


def test_two_steps_make_what_one_makes(artifacts, made, tmp_path):
    one = finish(artifacts["mobilenet-v2"], tmp_path / "one.onnx", byte_input=True, end_to_end=False)
    two = finish(one.path, tmp_path / "two.onnx", byte_input=False, end_to_end=True)
    assert two.sha256 == made["whole"].sha256


def test_what_changes_nothing_is_refused(artifacts, made, tmp_path):
    bytes_taken = finish(artifacts["mobilenet-v2"], tmp_path / "b.onnx", byte_input=True, end_to_end=False).path
    for model, options, says in (
        (artifacts["mobilenet-v2"], {}, "Say what is to go into the graph"),
        (bytes_taken, {"byte_input": True}, "takes bytes already"),
        (made["whole"].path, {"end_to_end": True}, "finished already"),
        (made["low"].path, {"byte_input": True}, "finished already"),
        (artifacts["mobilenet-v2"], {"end_to_end": True, "score_threshold": 0.1}, "a model to detect with"),
        (artifacts["ssdlite-coco"], {"byte_input": True, "score_threshold": 0.1}, "it wants --end-to-end"),
        (artifacts["ssdlite-coco"], {"end_to_end": True, "score_threshold": 1.1}, "not between 0 and 1"),
        (tmp_path / "none.onnx", {"end_to_end": True}, "no such file"),
    ):
        with pytest.raises(UsageError, match=says):
            finish(model, tmp_path / "x.onnx", **{"byte_input": False, "end_to_end": False, **options})
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize("name", ["whole", "ssdlite-coco", "bytes"])
def test_what_is_finished_is_not_quantized(name, artifacts, made, tmp_path):
    path = tmp_path / "b.onnx" if name == "bytes" else made[name].path
    if name == "bytes":
        finish(artifacts["mobilenet-v2"], path, byte_input=True, end_to_end=False)
    with pytest.raises(ModelError, match="finished already; quantize the artifact it was made from"):
        load_float(path)


def changed(model: Path, path: Path, **changes) -> Path:
    """The artifact with another contract."""
    loaded = onnx.load(model)
    contract = parse_contract(loaded.metadata_props[0].value, str(model))
    del loaded.metadata_props[:]
    onnx.helper.set_model_props(loaded, {METADATA_KEY: dataclasses.replace(contract, **changes).to_json()})
    onnx.save(loaded, path)
    return path


def test_contract_that_does_not_fit_the_graph_is_refused(artifacts, tmp_path):
    coco = Session(artifacts["ssdlite-coco"]).contract
    fewer = dataclasses.replace(coco.decoding, anchors=coco.decoding.anchors[1:])
    beyond = (dataclasses.replace(coco.labels[0], column=91),)
    twice = tuple(dataclasses.replace(label, class_id=1) for label in coco.labels[:2])
    for changes, says in (
        ({"decoding": fewer}, "answers for 1917 anchors, its contract describes 834"),
        ({"labels": beyond}, "answers 91 columns, its contract has a label for column 91"),
        ({"labels": twice}, "two of its classes have the same id"),
    ):
        model = changed(artifacts["ssdlite-coco"], tmp_path / "changed.onnx", **changes)
        with pytest.raises(ModelError, match=says):
            finish(model, tmp_path / "x.onnx", byte_input=False, end_to_end=True)
    assert not (tmp_path / "x.onnx").exists()


def test_answers_are_compared_but_no_outputs_where_one_graph_decodes(artifacts, made, photos):
    for name in ("mobilenet-v2", "ssdlite-coco"):
        raw, done = (Session(path, threads=1) for path in (artifacts[name], made[name].path))
        for pair in ((raw, done), (done, raw), (done, done)):
            compared = compare_answers(*pair, [photos["coffee.png"], photos["chelsea.png"]])
            assert (compared.sqnr, compared.agreement, compared.differing) == ({}, 1.0, ())


def test_fixed_batch_stays_fixed(tmp_path):
    model = tiny_segmenter(tmp_path / "tiny.onnx", LABELS, batch=2)
    done = finish(model, tmp_path / "done.onnx", byte_input=True, end_to_end=True)
    session = Session(done.path)
    assert session.fixed_batch == 2
    (mask,) = session.run(np.zeros((2, 8, 8, 3), np.uint8))
    assert mask.shape == (2, 8, 8)


def test_labelled_sets_are_answered_as_before(tmp_path, photos):
    raw = tiny_classifier(tmp_path / "raw.onnx", LABELS)
    done = finish(raw, tmp_path / "done.onnx", byte_input=True, end_to_end=True).path
    items = [Item(path.name, path, 3) for path in photos.values()]
    one, other = (
        answer_all(Session(path, threads=1), ClassificationDataset(items, LABELS), threads=2, batch=batch)
        for path, batch in ((raw, 1), (done, 3))
    )
    assert [record.answers for record in other] == [record.answers for record in one]
