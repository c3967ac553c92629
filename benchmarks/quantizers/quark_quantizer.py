"""AMD Quark's ONNX quantizer.

    python -m quantizers.quark_quantizer MODEL TENSORS OUTPUT OPTIONS

OPTIONS is JSON: ``spec`` is ``xint8`` (symmetric int8, scales that are powers of two: what AMD's NPUs take) or ``u8s8``
(u8 activations, s8 weights with a scale for each channel: what onnxruntime is fastest with); ``calibration`` one of
Quark's methods, for ``u8s8``; ``cle`` (true: cross-layer equalization first); ``finetune`` is ``adaround`` or
``adaquant``, with ``iterations`` for each layer.
"""

import json
import sys
from typing import Any

from quark.onnx import ModelQuantizer
from quark.onnx.quantization.config.algorithm import AdaQuantConfig, AdaRoundConfig, CLEConfig
from quark.onnx.quantization.config.config import QConfig
from quark.onnx.quantization.config.spec import (
    CalibMethod,
    Int8Spec,
    QLayerConfig,
    QuantGranularity,
    UInt8Spec,
    XInt8Spec,
)

from quantizers.calibration_reader import TensorReader


def main() -> None:
    """Quantizes."""
    model, tensors, output, options = sys.argv[1:]
    settings = json.loads(options)
    config = QConfig(_layers(settings), algo_config=_algorithms(settings), **_extra(settings))
    ModelQuantizer(config).quantize_model(model, output, TensorReader(model, tensors))


def _layers(settings: dict[str, Any]) -> QLayerConfig:
    if settings["spec"] == "xint8":
        return QLayerConfig(activation=XInt8Spec(), weight=XInt8Spec())
    return QLayerConfig(
        activation=UInt8Spec(calibration_method=CalibMethod[settings["calibration"]]),
        weight=Int8Spec(quant_granularity=QuantGranularity.Channel),
    )


def _algorithms(settings: dict[str, Any]) -> list[Any]:
    algorithms: list[Any] = [CLEConfig()] if settings.get("cle") else []
    if "finetune" in settings:
        kind = {"adaround": AdaRoundConfig, "adaquant": AdaQuantConfig}[settings["finetune"]]
        algorithms.append(kind(num_iterations=settings["iterations"]))
    return algorithms


def _extra(settings: dict[str, Any]) -> dict[str, Any]:
    """XINT8's graph changes are for the NPU and belong to it."""
    return {"EnableNPUCnn": True} if settings["spec"] == "xint8" else {}


if __name__ == "__main__":
    main()
