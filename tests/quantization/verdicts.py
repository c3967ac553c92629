"""A verdict made by hand, with names that would break a careless page."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from byte_inputs import QUANTIZATION

from mnv2deploy.contract import (
    ClassificationDecoding,
    Contract,
    Input,
    Label,
    Output,
    Preprocessing,
    Provenance,
)
from mnv2deploy.evaluation.answers import Failure
from mnv2deploy.quantization.agreement import AnswerComparison, PictureComparison
from mnv2deploy.quantization.comparison import LayerComparison
from mnv2deploy.quantization.verdict import Metric, Size, Speed, Verdict

METRIC = Metric(
    name="top_1",
    pictures=500,
    float_value=0.85,
    quantized_value=0.843,
    difference=-0.007,
    interval=(-0.016, 0.002),
    certain=False,
)


def layer(name: str, sqnr: float, low: float = 0.0, high: float = 6.0, **values: Any) -> LayerComparison:
    held: dict[str, Any] = {"op": "Conv", "quantized": True, "covered": (low, 0.9 * high), "scale": (high - low) / 255}
    return LayerComparison(name=name, sqnr=sqnr, low=low, high=high, **{**held, **values})


def a_verdict(
    *,
    agreement: float = 0.978,
    pictures: int = 500,
    speedup: float = 2.4,
    metric: Metric | None = None,
    **values: Any,
) -> Verdict:
    """Smaller, 2.4 times as fast, 97.8 % the same."""
    answers = AnswerComparison(
        task="classify",
        pictures=pictures,
        agreement=agreement,
        interval=(agreement - 0.015, min(agreement + 0.01, 1.0)),
        differing=(
            PictureComparison(picture="a </script>.jpg", same=0.0, of=1.0),
            PictureComparison(picture="b.jpg", same=1.0, of=4.0),
        ),
        sqnr={"class_logits": 19.3456, "exact & <same>": math.inf},
        failures=(Failure("bad.jpg", "bad.jpg </script><script>alert(1)</script> is not a picture"),),
    )
    verdict = Verdict(
        size=Size(float_bytes=14_043_391, quantized_bytes=3_600_000),
        answers=answers,
        metric=metric,
        speed=Speed(
            float_ms=12.0,
            quantized_ms=12.0 / speedup,
            speedup=speedup,
            quartiles=(speedup - 0.06, speedup + 0.06),
            machine="Some CPU <2 of 4>",
            disturbed=False,
        ),
        layers=(
            layer("stem</script>", 31.24),
            layer("first", 8.06, -12.5, 9.75),
            layer("second", math.inf, quantized=False, covered=None, scale=None),
            layer("third & last", 12.5, -1.0, 1.0),
            *(layer(f"more {index}", 20.0 + index) for index in range(4)),
        ),
    )
    return dataclasses.replace(verdict, **values)


def a_contract(model: str = "mobilenet <b>") -> Contract:
    return Contract(
        input=Input(name="image", layout="NHWC", dtype="uint8", height=16, width=16),
        preprocessing=Preprocessing(
            resize="stretch", interpolation="bilinear", colour="rgb", mean=(0, 0, 0), std=(1, 1, 1)
        ),
        outputs=(Output(name="logits", meaning="class_logits"),),
        decoding=ClassificationDecoding(activation="softmax", top=1),
        labels=(Label(name="cat", class_id=0, column=0),),
        provenance=Provenance(
            model=model,
            source="file:x",
            weights_sha256=(),
            licence="MIT",
            tools=(),
            opset=18,
            minimum_onnxruntime="1.17",
            quantization=QUANTIZATION,
        ),
    )
