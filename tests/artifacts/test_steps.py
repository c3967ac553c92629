"""The steps of a build hand on what the recipe says, and keep what comes back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_models import RED, save_picture, tiny_classifier

from mnv2deploy.artifacts import steps
from mnv2deploy.artifacts.recipes import ArtifactOptions, ExportOptions, QuantizationOptions
from mnv2deploy.artifacts.source import Source
from mnv2deploy.benchmark.summary import Ratio
from mnv2deploy.calibration.sets import CalibrationSet
from mnv2deploy.catalog.cards import load_card
from mnv2deploy.progress import SILENT


class Spy:
    """Stands for a function: remembers what it was called with."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.arguments: tuple[Any, ...] = ()
        self.options: dict[str, Any] = {}

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.arguments, self.options = arguments, options
        return self.answer


@pytest.fixture
def spy(monkeypatch):
    def replace(name: str, answer: Any = None) -> Spy:
        made = Spy(answer)
        monkeypatch.setattr(steps, name, made)
        return made

    return replace


def test_export_gets_the_recipes_options_and_keeps_parity_counts_and_reasons(tmp_path, spy):
    photo = save_picture(tmp_path / "photo.png", RED)
    one = SimpleNamespace(output="logits", batch=5, max_error=4.0, mean_error=3.0, relative_error=2.0, more="")
    export = spy("export", SimpleNamespace(parity=(one,), not_simplified="it crashed"))
    spy("count_artifact", SimpleNamespace(parameters=7, multiply_adds=8))
    fetched = spy("fetch", SimpleNamespace(files={"astronaut.png": photo}))
    source = Source(card=load_card("mobilenet-v2"), weights=tmp_path / "w.pth", identity={})
    steps.make_export(tmp_path, source, ExportOptions(opset=17, simplify=False), offline=True, progress=SILENT)
    assert export.arguments == (source.card, tmp_path / "model.onnx")
    wanted = {"opset": 17, "simplified": False, "weights": source.weights, "offline": True, "progress": SILENT}
    assert export.options == wanted
    assert fetched.options["offline"] is True
    result = steps.read_result(tmp_path, steps.ExportResult)
    assert (result.parameters, result.multiply_adds, result.not_simplified) == (7, 8, "it crashed")
    (parity,) = result.parity
    assert (parity.output, parity.batch) == ("logits", 5)
    assert (parity.max_error, parity.mean_error, parity.relative_error) == (4.0, 3.0, 2.0)
    assert (tmp_path / "golden.png").read_bytes().startswith(b"\x89PNG")


def test_quantize_gets_every_option_of_the_recipe(tmp_path, spy):
    encodings, inputs = object(), SimpleNamespace(zero_point=0)
    prepared = SimpleNamespace(contract=None, inputs=inputs, graph="graph", encodings=encodings)
    quantize = spy("quantize", SimpleNamespace(prepared=prepared))
    spy("Inputs", "pictures")
    layer = SimpleNamespace(name="stem", op="Conv", quantized=True, sqnr=float("inf"))
    compare = spy("compare_layers", [layer])
    options = QuantizationOptions(
        calibration="c", target="arm", method="entropy", profile="best", format="qoperator", exclude=("x",), seed=5
    )
    calibration = CalibrationSet(name="c", pictures=(tmp_path / "a.png",), sha256="d" * 64)
    steps.make_quantized(tmp_path, tmp_path / "f.onnx", options, calibration, [tmp_path / "b.png"], SILENT)
    floats, model, pictures, record, asked, _ = quantize.arguments
    assert (floats, model, pictures) == (tmp_path / "f.onnx", tmp_path / "model.onnx", calibration.pictures)
    assert (record.name, record.sha256) == ("c", "d" * 64)
    got = (asked.target.name, asked.method, asked.profile, asked.format, asked.exclude, asked.seed)
    assert got == ("arm", "entropy", "best", "qoperator", ("x",), 5)
    assert compare.arguments == ("graph", encodings, "pictures")
    (kept,) = steps.read_result(tmp_path, steps.QuantizationResult).layers
    assert (kept.name, kept.op, kept.quantized, kept.sqnr_db) == ("stem", "Conv", True, None)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"input": "uint8"}, {"byte_input": True, "end_to_end": False}),
        ({"end_to_end": True}, {"byte_input": False, "end_to_end": True}),
        ({"input": "uint8", "end_to_end": True}, {"byte_input": True, "end_to_end": True}),
    ],
)
def test_finish_does_what_the_artifact_asks_for(tmp_path, spy, options, wanted):
    finish = spy("finish")
    steps.make_finished(tmp_path, tmp_path / "a.onnx", ArtifactOptions(name="a", **options))
    assert finish.arguments == (tmp_path / "a.onnx", tmp_path / "model.onnx")
    assert finish.options == wanted


def test_times_become_speedups_over_the_first(tmp_path, spy):
    results = [
        SimpleNamespace(p50_ms=8.0, ratio=Ratio(1.0, 1.0, 1.0)),
        SimpleNamespace(p50_ms=3.2, ratio=Ratio(0.4, 0.25, 0.5)),
    ]
    spy("run_results", results)
    measured = spy("measure_times", [])
    spy("OthersWatch", SimpleNamespace(read=lambda: SimpleNamespace(disturbed=True)))
    steps.make_times(tmp_path, {"a": tmp_path / "a.onnx", "b": tmp_path / "b.onnx"}, SILENT)
    asked = [(one.model, one.artifact, one.threads, one.batch, one.provider) for one in measured.arguments[0]]
    assert asked == [(name, tmp_path / f"{name}.onnx", 1, 1, "cpu") for name in "ab"]
    first, second = steps.read_result(tmp_path, steps.Times).artifacts
    assert (first.milliseconds, first.speedup, first.quartiles, first.disturbed) == (8.0, None, None, True)
    assert (second.milliseconds, second.speedup, second.quartiles) == (3.2, 2.5, (2.0, 4.0))


def test_a_measured_artifact_is_compared_with_the_first_and_with_the_truth(tmp_path):
    labels = {3: "red", 5: "green", 9: "blue"}
    floats = tiny_classifier(tmp_path / "floats.onnx", labels)
    worse = tiny_classifier(tmp_path / "worse.onnx", labels, ((0, 0, 9), (0, 9, 0), (0, 0, 9)))  # red is blue
    colours = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
    for name, colour in colours.items():
        save_picture(tmp_path / "labelled" / name / f"{name}.png", colour)
    pictures = tuple((tmp_path / "labelled" / name / f"{name}.png") for name in colours)
    compared = CalibrationSet(name="compared", pictures=pictures, sha256="e" * 64)
    described = steps.PictureSet(name="labelled", pictures=99, sha256="d" * 64)
    steps.make_measurements(
        tmp_path, worse, ("fp32", floats), compared, (tmp_path / "labelled", described), pictures[0], SILENT
    )
    found = steps.read_result(tmp_path, steps.Measured)
    assert found.agreement is not None
    assert (found.agreement.against, found.agreement.differing) == ("fp32", ("red.png",))
    assert found.agreement.share == pytest.approx(2 / 3)
    assert (found.agreement.pictures.name, found.agreement.pictures.sha256) == ("compared", "e" * 64)
    assert found.accuracy is not None
    assert (found.accuracy.metric, found.accuracy.dataset.pictures) == ("top_1", 3)
    assert found.accuracy.value == pytest.approx(2 / 3)
    assert found.accuracy.drop == pytest.approx(100 / 3)
    assert found.golden.answers[0].label == "blue"
    assert found.golden.tolerance == 1e-3


def test_a_sample_photo_that_lacks_the_person_is_a_mistake_of_the_program(spy, tmp_path):
    spy("fetch", SimpleNamespace(files={}))
    with pytest.raises(AssertionError, match=r"sample-photos lacks astronaut\.png"):
        steps._astronaut(offline=True, progress=SILENT)


def test_a_step_is_read_as_it_was_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        steps._write(tmp_path, {"x": float("nan")})
    assert not (tmp_path / "result.json").exists()
    assert Path(steps.MODEL).suffix == ".onnx"
