"""Eight-bit artifacts are finished as float ones are: those that take bytes, and those that take floats."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import mnv2deploy
from mnv2deploy.contract import METADATA_KEY
from mnv2deploy.errors import UsageError
from mnv2deploy.finishing.artifact import finish
from mnv2deploy.quantization.pipeline import CalibrationRecord, Options, quantize
from mnv2deploy.quantization.targets import TARGETS
from mnv2deploy.runtime import images
from mnv2deploy.runtime.session import Session

sys.path.insert(0, str(Path(__file__).parent.parent / "quantization"))
from small_graphs import Builder


@pytest.fixture(scope="module")
def small(artifacts, tmp_path_factory) -> Path:
    """Two layers on 32 x 32 pixels, with the classifier's contract."""
    random = np.random.default_rng(0)
    builder = Builder(("batch", 3, 32, 32))
    stem = builder.layer("stem", "image", random.normal(size=(8, 3, 3, 3)), random.normal(size=8), strides=[2, 2])
    flat = builder.node("Flatten", [builder.node("GlobalAveragePool", [builder.relu6(stem)], "mean")], "flat")
    builder.layer("class_logits", flat, random.normal(size=(1000, 8)), np.zeros(1000), op="Gemm", transB=1)
    model = builder.model("class_logits")
    logits = onnx.helper.make_tensor_value_info("class_logits", onnx.TensorProto.FLOAT, ["batch", 1000])
    model.graph.output[0].CopyFrom(logits)
    contract = Session(artifacts["mobilenet-v2"]).contract
    contract = dataclasses.replace(contract, input=dataclasses.replace(contract.input, height=32, width=32))
    onnx.helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    path = tmp_path_factory.mktemp("small") / "small.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("target", "format_name", "byte_input"),
    [("x86-vnni", "qdq", False), ("x86-vnni", "qoperator", False), ("tensorrt", "qdq", True)],
)
def test_answers_are_those_of_the_eight_bit_artifact(target, format_name, byte_input, small, photos, tmp_path):
    pictures = list(photos.values())
    options = Options(target=TARGETS[target], format=format_name, profile="fast")
    eight = quantize(small, tmp_path / "8.onnx", pictures, CalibrationRecord(name="photos", sha256=None), options).path
    done = finish(eight, tmp_path / "done.onnx", byte_input=byte_input, end_to_end=True)
    assert done.contract.input.dtype == "uint8"
    assert done.contract.provenance.quantization == Session(eight).contract.provenance.quantization
    raw, finished = mnv2deploy.load(eight), mnv2deploy.load(done.path)
    for photo in map(images.read, pictures):
        one, other = raw(photo), finished(photo)
        assert [found.class_id for found in other.classes] == [found.class_id for found in one.classes]
        assert [f.score for f in other.classes] == pytest.approx([f.score for f in one.classes], abs=1e-6)
    if not byte_input:
        with pytest.raises(UsageError, match="takes bytes already"):
            finish(eight, tmp_path / "x.onnx", byte_input=True, end_to_end=True)
