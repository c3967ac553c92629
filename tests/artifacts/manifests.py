"""A manifest made by hand, of small numbers and names that would break a careless page."""

from __future__ import annotations

import dataclasses
from typing import Any

from byte_inputs import QUANTIZATION

from mnv2deploy.artifacts.manifest import (
    Accuracy,
    Agreement,
    Answer,
    Artifact,
    Check,
    Golden,
    GoldenOutput,
    Layer,
    Manifest,
    OutputNoise,
    Parity,
    PictureSet,
    ReleasedFile,
    Speed,
    Weights,
)
from mnv2deploy.contract import ClassificationDecoding, Contract, Input, Label, Output, Preprocessing, Provenance

DIGEST = "0123456789abcdef" * 4
PICTURES = PictureSet(name="imagenet-20", pictures=20, sha256=DIGEST)
DATASET = PictureSet(name="val <500>", pictures=500, sha256=DIGEST)


def a_file(name: str, size: int = 1000) -> ReleasedFile:
    return ReleasedFile(name=name, sha256=DIGEST, size=size)


def a_contract(*, quantized: bool = False) -> Contract:
    """Two classes at 32 x 32."""
    return Contract(
        input=Input(name="image", layout="NCHW", dtype="float32", height=32, width=32),
        preprocessing=Preprocessing(
            resize="stretch",
            interpolation="bilinear",
            colour="rgb",
            mean=(127.5, 127.5, 127.5),
            std=(127.5, 127.5, 127.5),
        ),
        outputs=(Output(name="class_logits", meaning="class_logits"),),
        decoding=ClassificationDecoding(top=2),
        labels=(Label(column=0, class_id=0, name="cat"), Label(column=1, class_id=1, name="dog </script>")),
        provenance=Provenance(
            model="small",
            source="pypi:somewhere==1.0",
            weights_sha256=(("weights.pth", DIGEST),),
            licence="Apache-2.0",
            tools=(("mnv2deploy", "0.1.0"), ("onnx", "1.23.2"), ("torch", "2.13.0")),
            opset=18,
            minimum_onnxruntime="1.15",
            quantization=QUANTIZATION if quantized else None,
        ),
    )


def an_artifact(name: str = "fp32", **values: Any) -> Artifact:
    """The float artifact of `a_manifest`."""
    held: dict[str, Any] = {
        "name": name,
        "file": a_file(f"small-{name}.onnx", 14_000_000),
        "made_from": None,
        "contract": a_contract(),
        "parameters": 3_504_872,
        "multiply_adds": 300_774_272,
        "parity": (
            Parity(output="class_logits", batch=1, max_error=3e-5, mean_error=4e-6, relative_error=2.1e-6),
            Parity(output="class_logits", batch=5, max_error=4e-5, mean_error=4e-6, relative_error=3.3e-6),
        ),
        "agreement": None,
        "accuracy": Accuracy(dataset=DATASET, metric="top_1", value=0.85, interval=(0.82, 0.88), drop=None),
        "speed": Speed(milliseconds=8.0, speedup=None, quartiles=None, machine="Some CPU <2 of 4>", disturbed=False),
        "layers": (),
        "golden": Golden(
            picture="golden.png",
            tolerance=1e-4,
            outputs=(GoldenOutput(name="class_logits", shape=(2,), low=-1.5, high=2.5, values=(2.5, -1.5)),),
            answers=(
                Answer(label="cat", class_id=0, score=0.98),
                Answer(label="dog </script>", class_id=1, score=0.02),
            ),
        ),
        "checks": (Check(name="max_parity_error", wanted=1e-4, got=3.3e-6, passed=True),),
    }
    return Artifact(**{**held, **values})


def a_quantized_artifact(**values: Any) -> Artifact:
    """The eight-bit artifact of `a_manifest`."""
    held: dict[str, Any] = {
        "file": a_file("small-int8.onnx", 3_600_000),
        "made_from": "fp32",
        "contract": a_contract(quantized=True),
        "parity": (),
        "agreement": Agreement(
            against="fp32",
            pictures=PICTURES,
            of="pictures with the same first class",
            share=0.95,
            interval=(0.76, 0.99),
            outputs=(OutputNoise(output="class_logits", sqnr_db=21.5),),
            differing=("a </script>.jpg",),
        ),
        "accuracy": Accuracy(dataset=DATASET, metric="top_1", value=0.848, interval=(0.81, 0.88), drop=0.2),
        "speed": Speed(
            milliseconds=3.2, speedup=2.5, quartiles=(2.4, 2.6), machine="Some CPU <2 of 4>", disturbed=False
        ),
        "layers": (
            Layer(name="stem & first", op="Conv", quantized=True, sqnr_db=31.2),
            Layer(name="second", op="Conv", quantized=False, sqnr_db=None),
            Layer(name="classifier", op="Gemm", quantized=True, sqnr_db=21.5),
        ),
        "checks": (
            Check(name="max_megabytes", wanted=4.0, got=3.6, passed=True),
            Check(name="min_agreement", wanted=90.0, got=95.0, passed=True),
        ),
    }
    return an_artifact("int8", **{**held, **values})


def a_manifest(**values: Any) -> Manifest:
    """A float artifact and an eight-bit one."""
    manifest = Manifest(
        name="small",
        title="MobileNetV2 for <tests>",
        description="Two classes.",
        paper="arXiv 1801.04381",
        task="classify",
        recipe=a_file("small.toml"),
        weights=Weights(source="pypi:somewhere==1.0", licence="Apache-2.0", files=(("weights.pth", DIGEST),)),
        calibration=PictureSet(name="wheel-photos", pictures=128, sha256=DIGEST),
        artifacts=(an_artifact(), a_quantized_artifact()),
        files=(a_file("golden.png"), a_file("README.md")),
        tools=(("mnv2deploy", "0.1.0"), ("onnx", "1.23.2"), ("torch", "2.13.0")),
    )
    return dataclasses.replace(manifest, **values)
