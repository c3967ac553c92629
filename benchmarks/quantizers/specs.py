"""Which quantizers there are, and with which settings each takes part."""

from dataclasses import dataclass, field
from typing import Any

OURS = "mnv2deploy"
PROFILES = ("fast", "balanced", "best")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One peer with one choice of settings, as one row of the tables.

    Attributes:
        module: ``quantizers.MODULE`` is the program.
        environment: Where it is installed (see `environments`).
        settings: What it does, for people.
        options: The same for the program.
    """

    module: str
    environment: str
    settings: str
    options: dict[str, Any] = field(default_factory=dict)


def _onnxruntime(settings: str, **options: Any) -> Spec:
    return Spec(module="onnxruntime_quantizer", environment="onnxruntime", settings=settings, options=options)


def _nncf(settings: str, **options: Any) -> Spec:
    return Spec(module="nncf_quantizer", environment="nncf", settings=settings, options=options)


def _quark(settings: str, **options: Any) -> Spec:
    return Spec(module="quark_quantizer", environment="quark", settings=settings, options=options)


# AdaRound and AdaQuant default to 1000 and 3000 steps a layer; of 100 a MobileNetV2 takes ten minutes on two cores.
_STEPS = 100

PEERS = {
    "onnxruntime": _onnxruntime("quantize_static, defaults"),
    "onnxruntime-minmax": _onnxruntime("u8, s8 per channel, MinMax", method="MinMax"),
    "onnxruntime-percentile": _onnxruntime("u8, s8 per channel, Percentile", method="Percentile"),
    "nncf": _nncf("MIXED"),
    "nncf-bias": _nncf("MIXED, full bias correction", fast_bias_correction=False),
    "nncf-per-tensor": _nncf("MIXED, activations per tensor", per_tensor_activations=True),
    "quark-xint8": _quark("XINT8, CLE", spec="xint8", cle=True),
    "quark": _quark("u8, s8 per channel, Percentile", spec="u8s8", calibration="Percentile"),
    "quark-cle": _quark("the same, CLE", spec="u8s8", calibration="Percentile", cle=True),
    "quark-adaround": _quark(
        f"u8, s8 per channel, Percentile, AdaRound, {_STEPS} steps",
        spec="u8s8",
        calibration="Percentile",
        finetune="adaround",
        iterations=_STEPS,
    ),
    "quark-adaquant": _quark(
        f"u8, s8 per channel, Percentile, AdaQuant, {_STEPS} steps",
        spec="u8s8",
        calibration="Percentile",
        finetune="adaquant",
        iterations=_STEPS,
    ),
}
NAMES = (*(f"{OURS}-{profile}" for profile in PROFILES), *PEERS)
