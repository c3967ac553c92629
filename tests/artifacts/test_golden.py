"""The golden picture: what an artifact says to it is noted, and any other answer is found; rounding is not."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from byte_inputs import quantized_in_name
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from tiny_models import GREEN, RED, save_picture, tiny_classifier, tiny_segmenter

from mnv2deploy.artifacts.golden import _compare_ranked, _samples, check_golden, make_golden_picture, measure_golden
from mnv2deploy.artifacts.manifest import Answer, GoldenOutput
from mnv2deploy.errors import InputError, ModelError
from mnv2deploy.finishing.artifact import finish
from mnv2deploy.runtime import images
from mnv2deploy.runtime.pipeline import open_pipeline
from mnv2deploy.runtime.session import Session

LABELS = {7: "red", 8: "green", 9: "blue"}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Two thirds red, a third green."""
    return save_picture(tmp_path / "golden.png", RED, RED, GREEN)


def change_constant(model: Path, name: str, values: object) -> None:
    """Gives an initializer other values."""
    proto = onnx.load(model)
    tensor = next(one for one in proto.graph.initializer if one.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(values, np.float32), name))
    onnx.save(proto, model)


def chunks(png: bytes) -> list[bytes]:
    """Types of a PNG's chunks."""
    types, place = [], 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        types.append(png[place + 4 : place + 8])
        place += 12 + length
    return types


def test_the_golden_picture_is_the_photo_averaged_down_and_nothing_else(photos, tmp_path):
    data = make_golden_picture(photos["coffee.png"])
    assert data == make_golden_picture(photos["coffee.png"])
    assert set(chunks(data)) == {b"IHDR", b"IDAT", b"IEND"}
    (tmp_path / "golden.png").write_bytes(data)
    small = images.read(tmp_path / "golden.png")
    photo = images.read(photos["coffee.png"])
    assert photo.shape == (400, 600, 3)
    assert small.shape == (213, 320, 3)
    # every pixel is the mean of those it covers: the whole's mean stays
    assert np.abs(small.mean(axis=(0, 1)) - photo.mean(axis=(0, 1))).max() < 0.3
    wanted = cv2.resize(photo.astype(np.float64), (320, 213), interpolation=cv2.INTER_AREA)
    assert np.abs(small - wanted).max() < 0.51


def test_a_small_photo_keeps_its_pixels_and_a_narrow_one_its_side(tmp_path):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (200, 319, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "small.png"), pixels[..., ::-1])
    (tmp_path / "golden.png").write_bytes(make_golden_picture(tmp_path / "small.png"))
    assert np.array_equal(images.read(tmp_path / "golden.png"), pixels)
    cv2.imwrite(str(tmp_path / "narrow.png"), np.zeros((1, 2000, 3), np.uint8))
    (tmp_path / "golden.png").write_bytes(make_golden_picture(tmp_path / "narrow.png"))
    assert images.read(tmp_path / "golden.png").shape == (1, 320, 3)


def test_what_is_noted_is_what_the_artifact_says(artifacts, photos, tmp_path):
    (tmp_path / "golden.png").write_bytes(make_golden_picture(photos["coffee.png"]))
    model = artifacts["ssdlite-coco"]
    golden = measure_golden(model, tmp_path / "golden.png", is_quantized=False)
    session = Session(model)
    outputs, _, _ = session.run_picture(tmp_path / "golden.png")
    assert golden.picture == "golden.png"
    assert golden.tolerance == 1e-3
    for noted, name, output in zip(golden.outputs, ("class_logits", "box_encodings"), outputs, strict=True):
        assert (noted.name, noted.shape) == (name, output.shape)
        assert (noted.low, noted.high) == pytest.approx((output.min(), output.max()), rel=1e-5)
        places = [index * (output.size - 1) // 63 for index in range(64)]
        assert noted.values == pytest.approx(output.ravel()[places].tolist(), rel=1e-5, abs=1e-6)
        assert len({place % output.shape[-1] for place in places}) > 1, "columns were left out"
        assert all(float(f"{value:.7g}") == value for value in noted.values)
    result = open_pipeline(session)(tmp_path / "golden.png")
    assert [(one.label, one.score, one.box) for one in golden.answers] == [
        (one.label, pytest.approx(one.score, abs=1e-6), pytest.approx(one.box, abs=0.006)) for one in result.detections
    ]
    assert [one.label for one in golden.answers][:1] == ["cup"]
    assert check_golden(model, tmp_path, golden) == []


def test_few_values_are_all_noted_and_a_mask_as_shares(tmp_path, picture):
    classifier = tiny_classifier(tmp_path / "c.onnx", LABELS)
    golden = measure_golden(classifier, picture, is_quantized=True)
    assert golden.tolerance == 0.1
    assert golden.outputs[0].values == pytest.approx((9 * 5 / 8, 9 * 3 / 8, 0))  # of 8 columns 5 are red
    assert (golden.answers[0].label, golden.answers[0].class_id) == ("red", 7)
    segmenter = tiny_segmenter(tmp_path / "s.onnx", LABELS)
    golden = measure_golden(segmenter, picture, is_quantized=False)
    assert [(one.label, one.share, one.score) for one in golden.answers] == [
        ("red", pytest.approx(2 / 3, abs=0.05), None),
        ("green", pytest.approx(1 / 3, abs=0.05), None),
    ]
    assert golden.outputs[0].shape == (3, 8, 8)
    assert check_golden(segmenter, tmp_path, golden) == []


@pytest.mark.parametrize("scale", [1 + 2e-4, 1 - 2e-4])
def test_rounding_is_forgiven_and_other_weights_are_not(scale, tmp_path, picture):
    model = tiny_classifier(tmp_path / "c.onnx", LABELS)
    golden = measure_golden(model, picture, is_quantized=False)
    change_constant(model, "weights", np.eye(3) * 9 * scale)
    assert check_golden(model, tmp_path, golden) == []
    change_constant(model, "weights", np.eye(3) * 9 * 1.01)
    (difference,) = check_golden(model, tmp_path, golden)
    assert difference.startswith("On golden.png c.onnx computes logits otherwise: values differ by up to 0.01 of its")
    # the same difference is rounding in eight bits
    eight = quantized_in_name(model, tmp_path / "c8.onnx")
    eight_golden = dataclasses.replace(golden, tolerance=0.1)
    assert check_golden(eight, tmp_path, eight_golden) == []


def test_a_score_of_eight_bits_may_be_further_off(tmp_path, picture):
    model = tiny_classifier(tmp_path / "c.onnx", LABELS)
    golden = measure_golden(model, picture, is_quantized=False)
    red, *others = golden.answers
    moved = dataclasses.replace(golden, answers=(dataclasses.replace(red, score=red.score - 0.1), *others))
    (difference,) = check_golden(model, tmp_path, moved)
    assert f"c.onnx gives red a score of {red.score:.3f} instead of {red.score - 0.1:.3f}" in difference
    assert check_golden(quantized_in_name(model, tmp_path / "c8.onnx"), tmp_path, moved) == []


def test_one_value_may_be_further_off_than_the_mean(tmp_path, picture):
    model = tiny_segmenter(tmp_path / "s.onnx", LABELS)
    golden = measure_golden(model, picture, is_quantized=False)
    values = np.array(golden.outputs[0].values)

    def moved(by: np.ndarray) -> list[str]:
        output = dataclasses.replace(golden.outputs[0], values=tuple((values + by).tolist()))
        return check_golden(model, tmp_path, dataclasses.replace(golden, outputs=(output,)))

    one = np.zeros(64)
    one[5] = 0.0009
    assert moved(one) == []
    assert "up to 0.0012 of its range" in moved(one / 0.0009 * 0.0012)[0]
    assert moved(np.full(64, 0.0002)) == []
    assert "0.0003 in the mean" in moved(np.full(64, 0.0003))[0]


def test_other_outputs_and_values_that_are_no_numbers_are_found(tmp_path, picture):
    model = tiny_classifier(tmp_path / "c.onnx", LABELS)
    golden = measure_golden(model, picture, is_quantized=False)

    def check(**values: object) -> str:
        output = dataclasses.replace(golden.outputs[0], **values)
        (difference,) = check_golden(model, tmp_path, dataclasses.replace(golden, outputs=(output,)))
        return difference

    assert "has the outputs logits and golden values of other" in check(name="other")
    assert "answers logits of the shape (3,) instead of (4,)" in check(shape=(4,))
    assert "answers 3 values of logits, of which 2 are noted" in check(values=golden.outputs[0].values[:2])
    assert "computes logits otherwise" in check(low=-1.0)
    assert "computes logits otherwise" in check(high=5.0)
    assert "computes logits otherwise" in check(low=10.0, high=-10.0)
    change_constant(model, "weights", np.full((3, 3), np.nan))
    with pytest.raises(ModelError, match="no finite numbers"):
        check_golden(model, tmp_path, golden)
    picture.write_bytes(b"")
    with pytest.raises(InputError):
        check_golden(model, tmp_path, golden)


def test_an_output_that_is_the_same_everywhere_is_compared_with_its_size(tmp_path, picture):
    model = tiny_classifier(tmp_path / "c.onnx", LABELS, weights=[[5] * 3] * 3)
    golden = measure_golden(model, picture, is_quantized=False)
    assert golden.outputs[0].low == golden.outputs[0].high
    assert check_golden(model, tmp_path, golden) == []
    change_constant(model, "weights", np.full((3, 3), 5.1))
    assert "computes logits otherwise" in check_golden(model, tmp_path, golden)[0]


def test_other_answers_are_found_though_the_values_are_the_same(tmp_path, picture):
    model = tiny_segmenter(tmp_path / "s.onnx", LABELS)
    golden = measure_golden(model, picture, is_quantized=False)
    red, green = golden.answers
    for answers, said in [
        ((dataclasses.replace(red, share=red.share - 0.02), green), f"{red.share:.1%} of the picture is red"),
        ((red,), f"{green.share:.1%} of the picture is green instead of 0.0%"),
        ((red, green, Answer(label="blue", class_id=9, share=0.05)), "0.0% of the picture is blue instead of 5.0%"),
    ]:
        (difference,) = check_golden(model, tmp_path, dataclasses.replace(golden, answers=answers))
        assert said in difference
    near = (dataclasses.replace(red, share=red.share + 0.009), dataclasses.replace(green, share=green.share - 0.009))
    assert check_golden(model, tmp_path, dataclasses.replace(golden, answers=near)) == []


def test_more_threads_and_no_optimisation_give_golden_answers(artifacts, photos, tmp_path):
    """The peer is onnxruntime itself, told to compute otherwise: what that changes has to be forgiven."""
    (tmp_path / "golden.png").write_bytes(make_golden_picture(photos["chelsea.png"]))
    for name in ("mobilenet-v2", "ssdlite-coco"):
        golden = measure_golden(artifacts[name], tmp_path / "golden.png", is_quantized=False)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 2
        session = Session(artifacts[name])
        session._session = onnxruntime.InferenceSession(str(artifacts[name]), options)
        outputs, _, _ = session.run_picture(tmp_path / "golden.png")
        for noted, output in zip(golden.outputs, outputs, strict=True):
            places = [index * (output.size - 1) // 63 for index in range(64)]
            off = np.abs(output.ravel()[places] - noted.values).max() / (noted.high - noted.low)
            assert off < golden.tolerance / 50


def test_of_a_mask_three_of_four_values_have_to_be_equal(tmp_path, picture):
    model = finish(
        tiny_segmenter(tmp_path / "raw.onnx", LABELS), tmp_path / "c.onnx", byte_input=False, end_to_end=True
    )
    golden = measure_golden(model.path, picture, is_quantized=True)
    assert check_golden(model.path, tmp_path, golden) == []

    def change(count: int) -> list[str]:
        values = tuple(value + (index < count) for index, value in enumerate(golden.outputs[0].values))
        output = dataclasses.replace(golden.outputs[0], values=values)
        return check_golden(model.path, tmp_path, dataclasses.replace(golden, outputs=(output,)))

    assert change(16) == []
    assert change(17) == ["On golden.png c.onnx answers otherwise: 17 of 64 values of mask differ."]
    output = dataclasses.replace(golden.outputs[0], shape=(81,))
    (difference,) = check_golden(model.path, tmp_path, dataclasses.replace(golden, outputs=(output,)))
    assert "instead of (81,)" in difference


def test_ranked_scores_are_compared_within_the_tolerance_and_a_count_by_the_answers():
    noted = GoldenOutput(name="scores", shape=(8,), low=0.0, high=1.0, values=tuple(np.linspace(1, 0, 8)))
    scores = np.linspace(1, 0, 8, dtype=np.float32)
    assert _compare_ranked(noted, scores + np.float32(9e-4), 1e-3) is None
    assert _compare_ranked(noted, scores + np.float32(1.1e-3), 1e-3) is not None
    swapped = scores.copy()
    swapped[[2, 3]] = scores[[3, 2]]
    assert _compare_ranked(noted, swapped, 1e-3) is None
    count = GoldenOutput(name="counts", shape=(), low=3.0, high=3.0, values=(3.0,))
    assert _compare_ranked(count, np.array(4), 1e-3) is None


@given(st.integers(1, 5000))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_samples_begin_with_the_first_end_with_the_last_and_rise(size):
    taken = _samples(np.arange(size))
    assert len(taken) == min(size, 64)
    assert (taken[0], taken[-1]) == (0, size - 1)
    steps = np.diff(taken)
    assert len(steps) == 0 or (steps.min() >= 1 and steps.max() - steps.min() <= 1)
