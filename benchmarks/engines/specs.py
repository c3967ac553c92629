"""Which engines there are."""

from dataclasses import dataclass, field
from typing import Any

OURS = "mnv2deploy"
EXACT, LOOSE = 1e-3, 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One engine, as one row of the tables.

    Attributes:
        module: ``engines.MODULE`` has its `Engine`.
        environment: Where it is installed (see `environments`); None where this program is.
        converter: How the artifact becomes its format (see `conversion`); None takes the artifact as it is.
        options: Of its `Engine`.
        runs_quantized: Whether it can run a quantized artifact, or one that normalises its input itself; it may still
            say that it cannot run this one.
        tolerance: Of its outputs on a float32 artifact: largest difference from ours over the range of ours.
    """

    module: str
    environment: str | None = None
    converter: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    runs_quantized: bool = False
    tolerance: float = EXACT


ENGINES = {
    OURS: Spec(module="mnv2deploy_engine", runs_quantized=True),
    "onnxruntime": Spec(module="onnxruntime_engine", runs_quantized=True),
    "openvino-f32": Spec(
        module="openvino_engine", environment="openvino", options={"precision": "f32"}, runs_quantized=True
    ),
    "openvino": Spec(module="openvino_engine", environment="openvino", runs_quantized=True, tolerance=LOOSE),
    "litert": Spec(module="litert_engine", environment="litert", converter="tflite"),
    "ncnn": Spec(module="ncnn_engine", environment="ncnn", converter="ncnn"),
    "cv2.dnn": Spec(module="opencv_engine", converter="opencv", runs_quantized=True),
    "torch-eager": Spec(module="torch_engine"),
    "torch-channels-last": Spec(module="torch_engine", options={"channels_last": True}),
    "torch-compile": Spec(module="torch_engine", options={"channels_last": True, "compiled": True}),
}
