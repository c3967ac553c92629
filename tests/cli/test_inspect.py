"""``mnv2deploy inspect`` of cards and of artifacts."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import onnx
import pytest
from byte_inputs import QUANTIZATION, quantized_in_name

from mnv2deploy.catalog.cards import card_path
from mnv2deploy.cli.contract_rows import contract_rows, quantization_rows
from mnv2deploy.cli.inspect import inspect
from mnv2deploy.errors import MissingDependencyError
from mnv2deploy.runtime.session import Session


def rows(text):
    """Name to value, of the lines before the first table."""
    lines = text.split("\n\n")[0].splitlines()
    return {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in lines}


def test_a_card_and_where_the_published_numbers_differ(cli):
    done = cli("inspect", "mobilenet-v2")
    assert done.returncode == 0, done.stderr
    shown = rows(done.stdout)
    assert shown["parameters"].startswith("3,504,872 (3.50 M)")
    assert shown["multiply-adds"].startswith("300,774,272 (300.77 M)")
    assert shown["input"] == "(N, 3, 224, 224) float32, NCHW"
    published = done.stdout.split("\n\n")[1].splitlines()
    assert published[0].split() == ["PUBLISHED", "VALUE", "COUNTED", "DIFFERENCE", "SOURCE"]
    # One line for the 3.4 M that differ by 3 %, none for the 300 M.
    assert [line for line in published if " is " in line] == [
        "parameters, millions: 3.4 is 3.471 cut off: without batch norms"
    ]
    assert "backbone" not in done.stdout


def test_a_card_by_its_path_with_layers(cli, tmp_path):
    text = card_path("mobilenet-v2").read_text().replace("width_multiplier = 1.0", "width_multiplier = 1.4")
    (tmp_path / "wide.toml").write_text(text)
    done = cli("inspect", tmp_path / "wide.toml", "--layers")
    assert rows(done.stdout)["parameters"].startswith("6,108,776")
    header, *layers = done.stdout.split("\n\n")[2].splitlines()
    assert header.split() == ["LAYER", "KIND", "OUTPUT", "PARAMETERS", "MULTIPLY-ADDS"]
    assert len(layers) == 53 + 52
    assert layers[0].split() == [
        "backbone.stem.conv",
        "conv",
        "3x3",
        "stride",
        "2",
        "48x112x112",
        "1,296",
        "16,257,024",
    ]
    totals = [sum(int(line.split()[column].replace(",", "")) for line in layers) for column in (-2, -1)]
    assert totals == [6_108_776, 582_195_824]


def test_an_artifact_shows_its_contract(cli, coco_artifact):
    shown = rows(cli("inspect", coco_artifact).stdout)
    assert shown["task"] == "detect, 80 classes, person to toothbrush"
    assert shown["size on disk"] == f"{coco_artifact.stat().st_size / 1e6:.1f} MB"
    assert shown["input"] == "image (N, 3, 300, 300) float32, NCHW"
    assert shown["quantization"] == "none, float32"
    assert shown["opset"] == "18, runs in onnxruntime 1.15 and later"
    assert "resize stretch" in shown["preprocessing"]
    assert "iou threshold 0.6" in shown["decoding"]
    assert "6 feature maps" in shown["decoding"]
    assert shown["made from"].startswith("ssdlite-coco, npm:")
    assert shown["made from"].endswith(", licence Apache-2.0")
    assert "folded" in shown["parameters"]


def test_json_of_an_artifact_has_everything(cli, artifacts):
    path = artifacts["deeplabv3-voc"]
    document = json.loads(cli("inspect", path, "--json").stdout)
    assert document["size"] == path.stat().st_size
    assert document["opset"] == onnx.load(path).opset_import[0].version
    contract = dataclasses.asdict(Session(path).contract)
    assert document["contract"] == json.loads(json.dumps(contract))
    assert document["input"] == contract["input"]
    assert document["quantization"] is None
    assert document["parameters"] == sum(layer["parameters"] for layer in document["layers"])
    assert document["multiply_adds"] == sum(layer["multiply_adds"] for layer in document["layers"])
    assert document["layers"][0]["output_shape"] == [32, 257, 257]


def test_a_quantized_artifact_that_takes_bytes_says_so(byte_artifacts, tmp_path, capsys):
    path = quantized_in_name(byte_artifacts["mobilenet-v2"].bytes, tmp_path / "q.onnx")
    inspect(str(path))
    shown = rows(capsys.readouterr().out)
    assert shown["input"] == "image (N, 224, 224, 3) uint8, NHWC"
    assert shown["quantization"] == "qdq, weights int8 per channel, activations uint8"
    assert shown["quantized for"] == "x86-64, profile fast"
    assert shown["quantized by"] == "min-max, seed 11"
    assert shown["calibrated on"] == "7 pictures of sample-photos"
    assert shown["layers in float"] == "backbone.stem.conv, classifier"
    assert shown["float artifact"] == "f" * 64
    assert shown["multiply-adds"].startswith("300,774,272")  # what turns bytes into floats is not among them
    inspect(str(path), json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["input"] == {"name": "image", "layout": "NHWC", "dtype": "uint8", "height": 224, "width": 224}
    assert document["quantization"] == json.loads(json.dumps(dataclasses.asdict(QUANTIZATION)))
    assert document["contract"]["provenance"]["quantization"] == document["quantization"]


def test_what_a_quantization_did_without_is_not_made_up():
    free = dataclasses.replace(
        QUANTIZATION, calibration="data-free", calibration_pictures=0, calibration_sha256=None, float_layers=()
    )
    assert {("calibrated on", "data-free"), ("layers in float", "none")} <= set(quantization_rows(free))


def test_json_of_a_card_compares(cli):
    document = json.loads(cli("inspect", "ssdlite-coco", "--json").stdout)
    assert document["kind"] == "card"
    assert document["network"]["columns"] == 91
    numbers = {number["value"]: number for number in document["published"]}
    assert numbers[4.3]["counted"] == pytest.approx(document["parameters"] / 1e6)
    assert numbers[0.8]["difference"] == pytest.approx(-0.063, abs=1e-3)
    assert "320 x 320" in numbers[0.8]["explanation"]


@pytest.mark.parametrize(
    ("model", "code", "says"),
    [("unheard-of", 2, "mobilenet-v2"), ("nowhere.onnx", 2, "nowhere.onnx"), ("text.onnx", 4, "text.onnx")],
)
def test_what_cannot_be_inspected(model, code, says, cli, tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    done = cli("inspect", tmp_path / model if model.endswith(".onnx") else model)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_graph_that_cannot_be_counted_still_shows_its_contract(cli, artifacts, tmp_path):
    model = onnx.load(artifacts["mobilenet-v2"])
    first = next(node for node in model.graph.node if node.op_type == "Clip")
    # An operator of onnxruntime's own, whose shape onnx cannot tell.
    first.CopyFrom(onnx.helper.make_node("Gelu", first.input[:1], first.output, "own", domain="com.microsoft"))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, tmp_path / "own.onnx")
    done = cli("inspect", tmp_path / "own.onnx")
    assert done.returncode == 0, done.stderr
    assert rows(done.stdout)["task"].startswith("classify")
    assert "own.onnx: the shape of" in rows(done.stdout)["not counted"]


@pytest.fixture
def light(monkeypatch):
    """A machine without the build extra."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in ("onnx", "torch") else real(name, *rest)
    )


def test_without_the_build_extra_a_card_names_it(light):
    with pytest.raises(MissingDependencyError, match=r"needs torch; install with: pip install 'mnv2deploy\[build\]'"):
        inspect("mobilenet-v2")


def test_without_the_build_extra_an_artifact_still_shows_its_contract(light, coco_artifact, capsys):
    inspect(str(coco_artifact), layers=True)
    text = capsys.readouterr().out
    assert rows(text)["task"].startswith("detect, 80 classes")
    assert "need onnx, torch; install with: pip install 'mnv2deploy[build]'" in rows(text)["not counted"]
    assert "parameters" not in rows(text)
    inspect(str(coco_artifact), json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["layers"] is None
    assert "mnv2deploy[build]" in document["not_counted"]
    assert document["contract"]["decoding"]["task"] == "detect"


def test_an_artifact_of_a_file_of_ones_own_says_which(coco_artifact):
    contract = Session(coco_artifact).contract
    files = (("mine.pth", "ab" * 32),)
    made = dataclasses.replace(
        contract.provenance, source="local file", model="mine", weights_sha256=files, licence="unknown"
    )
    shown = dict(contract_rows(dataclasses.replace(contract, provenance=made), Path("mine.onnx"), 1))
    assert shown["made from"] == f"mine, local file, mine.pth (sha256 {'ab' * 32}), licence unknown"
