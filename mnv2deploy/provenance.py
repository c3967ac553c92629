"""Where an artifact came from: a part of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """How a network was quantized: enough to make the same one again.

    Attributes:
        target: What it is to run on.
        format: ``qdq``: QuantizeLinear and DequantizeLinear around float operators. ``qoperator``: quantized operators.
        profile: Which of the target's settings.
        method: How scales, zero points and rounded weights were found.
        weights: Their type and granularity, such as ``int8 per channel``.
        activations: Their type, such as ``uint8``.
        float_layers: Names of the layers that are kept in float.
        float_answers: Names of the quantized layers whose answers are not: they add to a stream that is kept in float.
        calibration: Name of the calibration set; ``data-free`` where there is none.
        calibration_pictures: How many pictures it has.
        calibration_sha256: Of the set; None where there is none.
        float_sha256: Of the float artifact this one was made from.
        seed: Of everything drawn at random.
    """

    target: str
    format: Literal["qdq", "qoperator"]
    profile: str
    method: str
    weights: str
    activations: str
    float_layers: tuple[str, ...]
    float_answers: tuple[str, ...]
    calibration: str
    calibration_pictures: int
    calibration_sha256: str | None
    float_sha256: str
    seed: int

    def __post_init__(self) -> None:
        if self.calibration_pictures < 0:
            raise ValueError(f"calibration_pictures should be 0 or more, not {self.calibration_pictures}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the artifact came from.

    Attributes:
        model: Name of the catalog card.
        source: Address of the weights: of those their card names for these very files, the first.
        weights_sha256: File name and digest of each weights file.
        licence: SPDX identifier of the weights.
        tools: Name and version of each program that shaped the graph.
        opset: Of the default ONNX domain.
        minimum_onnxruntime: The first release that loads this opset and IR version.
        quantization: How the network was quantized; None where it computes in float32.
    """

    model: str
    source: str
    weights_sha256: tuple[tuple[str, str], ...]
    licence: str
    tools: tuple[tuple[str, str], ...]
    opset: int
    minimum_onnxruntime: str
    quantization: Quantization | None = None
