"""`mnv2deploy quantize` as its users run it: on a real artifact and real photos."""

import json
import re

import onnx
import onnxruntime
import pytest

from mnv2deploy.calibration.sets import hash_pictures
from mnv2deploy.cli.quantize_arguments import choose_pictures
from mnv2deploy.progress import SILENT
from mnv2deploy.runtime.session import Session


@pytest.fixture(scope="module")
def quantized(tmp_path_factory, artifacts, cli, cache):
    """(folder, what --json printed) of one run: fast, on the twenty labelled photos, all outputs asked for."""
    folder = tmp_path_factory.mktemp("quantize")
    done = cli(
        *("quantize", artifacts["mobilenet-v2"], "--calib", "imagenet-20", "--profile", "fast"),
        *("-o", folder / "int8.onnx", "--report", folder / "report.html", "--json"),
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_the_artifact_runs_as_any_other_and_says_how_it_was_made(quantized, photos, cli):
    folder, printed = quantized
    contract = Session(folder / "int8.onnx").contract
    assert contract.input.dtype == "uint8"
    made = contract.provenance.quantization
    assert (made.profile, made.method, made.calibration, made.calibration_pictures) == (
        "fast",
        "mse",
        "imagenet-20",
        16,
    )
    assert printed["quantization"]["calibration_sha256"] == made.calibration_sha256
    done = cli("classify", photos["chelsea.png"], "--model", folder / "int8.onnx", "--top", "1")
    assert "Egyptian cat" in done.stdout


def test_every_convolution_runs_in_eight_bits(quantized, tmp_path):
    folder, _ = quantized
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(folder / "int8.onnx"), options)
    operators = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert operators.count("QLinearConv") == 52
    assert "Conv" not in operators
    assert "FusedConv" not in operators


def test_json_and_the_page_give_the_same_numbers(quantized):
    folder, printed = quantized
    page = (folder / "report.html").read_text(encoding="utf-8")
    (embedded,) = re.findall(r'<script type="application/json" id="verdict">(.*?)</script>', page, re.DOTALL)
    inside = json.loads(embedded)
    assert {key: printed[key] for key in inside} == inside
    assert 0.7 <= printed["answers"]["agreement"] <= 1
    assert printed["answers"]["pictures"] == 4  # every fifth of twenty, not calibrated with
    assert printed["size"]["ratio"] > 3


def test_the_same_options_give_the_same_bytes_and_a_gate_it_fails_leaves_no_artifact(
    quantized, artifacts, tmp_path, cli
):
    _, printed = quantized
    done = cli(
        *("quantize", artifacts["mobilenet-v2"], "--calib", "imagenet-20", "--profile", "fast"),
        *("-o", tmp_path / "new" / "again.onnx", "--min-speedup", "50", "--json", "--offline"),
        OMP_NUM_THREADS="1",
        PYTHONHASHSEED="7",
    )
    assert done.returncode == 5
    assert "less than the 50 of --min-speedup" in done.stderr
    again = json.loads(done.stdout.splitlines()[0])
    assert (again["sha256"], again["path"]) == (printed["sha256"], None)
    assert not list(tmp_path.iterdir())


def test_pictures_that_serve_twice_or_are_few_are_said(artifacts, tmp_path):
    chosen = choose_pictures(
        *("sample-photos", "sample-photos", None, artifacts["mobilenet-v2"], tmp_path),
        data_free=False,
        offline=False,
        progress=SILENT,
    )
    assert any("flatters" in warning for warning in chosen.warnings)
    assert any("only 5 different" in warning for warning in chosen.warnings)
    assert len(chosen.calibration) == len(chosen.verification) == 5


def test_pictures_held_back_are_no_part_of_the_hash(artifacts, tmp_path, photos):
    chosen = choose_pictures(
        *("sample-photos", None, None, artifacts["mobilenet-v2"], tmp_path),
        data_free=False,
        offline=False,
        progress=SILENT,
    )
    assert (len(chosen.calibration), len(chosen.verification)) == (4, 1)
    assert chosen.record.sha256 == hash_pictures(chosen.calibration)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ([], 2, "Give --calib a folder"),
        (["--calib", "x", "--data-free"], 2, "not both"),
        (["--calib", "sample-photos", "--max-drop", "-1"], 2, "--max-drop -1"),
        (["--calib", "sample-photos", "--min-speedup", "nan"], 2, "--min-speedup nan"),
        (["--calib", "sample-photos", "--target", "qnn", "--min-speedup", "2"], 2, "says nothing of qnn"),
        (["--calib", "nowhere"], 2, "nowhere"),
        (["--calib", "sample-photos", "--target", "toaster"], 2, "toaster"),
        (["--calib", "sample-photos", "--target", "tensorrt", "--format", "qoperator"], 2, "reads the format qdq"),
        (["--calib", "sample-photos", "--profile", "superb"], 2, "superb"),
        (["--calib", "sample-photos", "--method", "luck"], 2, "luck"),
        (["--calib", "sample-photos", "--format", "tflite"], 2, "tflite"),
        (["--calib", "sample-photos", "--exclude", "no.such.*"], 2, "no.such.*"),
        (["--calib", "sample-photos", "--seed", "-1"], 2, "--seed"),
        (["--calib", "sample-photos", "-o", "int8.tflite"], 2, ".onnx"),
        (["--calib", "sample-photos", "--report", "report.pdf"], 2, ".html"),
        (["--calib", "sample-photos", "--eval", "nowhere"], 3, "nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_done(
    options, code, words, artifacts, tmp_path, monkeypatch, cli
):
    monkeypatch.chdir(tmp_path)
    done = cli("quantize", artifacts["mobilenet-v2"], *options)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_is_quantized_is_not_quantized_again(quantized, cli):
    folder, _ = quantized
    done = cli("quantize", folder / "int8.onnx", "--calib", "imagenet-20")
    assert done.returncode == 4
    assert "quantized already" in done.stderr


def test_without_any_picture_it_says_what_that_costs(artifacts, tmp_path, cli):
    done = cli(
        *("quantize", artifacts["mobilenet-v2"], "--data-free", "--profile", "fast", "--verify", "imagenet-20"),
        *("-o", tmp_path / "free.onnx", "--exclude", "backbone.blocks.1?.expand.conv"),
    )
    assert done.returncode == 0, done.stderr
    assert "No picture was calibrated with" in done.stdout
    assert "backbone.blocks.16.expand.conv stays in float32: excluded" in done.stdout
    same = float(re.search(r"same classes, %\s+([\d.]+)", done.stdout)[1])
    assert same >= 70
    made = Session(tmp_path / "free.onnx").contract.provenance.quantization
    assert (made.calibration, made.calibration_sha256, len(made.float_layers)) == ("data-free", None, 7)
