"""What eight bits cost the classifier, on pictures it was not calibrated with."""

from collections import Counter

import onnx
import onnxruntime

from mnv2deploy.calibration.sets import open_set
from mnv2deploy.quantization.agreement import compare_answers
from mnv2deploy.quantization.pipeline import CalibrationRecord, Options, quantize
from mnv2deploy.quantization.targets import TARGETS
from mnv2deploy.runtime.session import Session


def test_the_balanced_classifier_answers_as_float32_does(data, artifacts, tmp_path):
    """onnxruntime's own quantizer keeps 13.6 dB and 92 % here; 97.4 % are all but 13 of 500, give or take 4."""
    chosen = open_set(data / "imagenet" / "calib" / "images")
    made = quantize(
        artifacts["mobilenet-v2"],
        tmp_path / "int8.onnx",
        chosen.pictures,
        CalibrationRecord(name=chosen.name, sha256=chosen.sha256),
        Options(target=TARGETS["x86-vnni"]),
    )
    pictures = open_set(data / "imagenet" / "val" / "images").pictures
    compared = compare_answers(
        Session(artifacts["mobilenet-v2"], threads=1), Session(made.path, threads=1), pictures, threads=2
    )
    assert compared.pictures == 500
    assert compared.sqnr["class_logits"] > 21.0
    assert compared.agreement > 0.96
    quantization = made.contract.provenance.quantization
    assert set(quantization.float_layers) <= {f"backbone.blocks.{block}.expand.conv" for block in (14, 15, 16)}
    assert quantization.float_answers == tuple(f"backbone.blocks.{block}.project.conv" for block in (13, 14, 15))
    # every convolution is one of eight bits but for these
    found = operators_that_run(made.path, tmp_path)
    assert found["QLinearConv"] == 52 - len(quantization.float_layers) - 3
    assert found["MatMulIntegerToFloat"] == 3
    assert found["MatMul"] == len(quantization.float_layers)
    assert not found.keys() & {"Conv", "FusedConv", "Gemm"}
    assert found["Transpose"] <= 1  # what the writer turned, and what onnxruntime turned, cancel


def operators_that_run(path, folder):
    """How often each stands in the graph onnxruntime makes of a file for this processor."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
