"""What a quantized model is to run on, and which eight-bit types run fast and exact there.

`docs/quantization.md` gives each choice its source or the measurement behind it.
"""

from __future__ import annotations

import importlib
import platform
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mnv2deploy.errors import UsageError

AUTO = "auto"
FORMATS = ("qdq", "qoperator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a processor or runtime wants of a quantized model.

    Attributes:
        name: As on the command line.
        activations: Type of the values between layers.
        symmetric_activations: Whether their zero point must be the middle of the type.
        weight_bits: Of the int8 weights; 7 where 8 would overflow the sums.
        per_channel: Whether weights may have a scale for each output channel.
        picture_bytes: Whether the graph may read the picture's own bytes, uint8 NHWC with a zero point.
        float_biases: Whether biases must be written as float32 constants, not as int32 with a DequantizeLinear.
        float_streams: Whether it knows layers of eight bits that answer in float32.
        onnxruntime_cpu: Whether onnxruntime's CPU kernels run it, see `cpu_writer`.
        quantized_formats: Those of `FORMATS` it can run.
        reason: Why so, in a line.
    """

    name: str
    activations: Literal["uint8", "int8"]
    symmetric_activations: bool
    weight_bits: Literal[7, 8]
    per_channel: bool
    picture_bytes: bool
    float_biases: bool
    float_streams: bool
    onnxruntime_cpu: bool
    quantized_formats: tuple[str, ...]
    reason: str


TARGETS = {
    target.name: target
    for target in (
        Target(
            name="x86-vnni",
            activations="uint8",
            symmetric_activations=False,
            weight_bits=8,
            per_channel=True,
            picture_bytes=True,
            float_biases=False,
            float_streams=True,
            onnxruntime_cpu=True,
            quantized_formats=FORMATS,
            reason="VNNI adds products of uint8 and int8 in 32 bits: exact, and more than twice as fast as float32",
        ),
        Target(
            name="x86-avx2",
            activations="uint8",
            symmetric_activations=False,
            weight_bits=7,
            per_channel=True,
            picture_bytes=True,
            float_biases=False,
            float_streams=True,
            onnxruntime_cpu=True,
            quantized_formats=FORMATS,
            reason="without VNNI two products are added in 16 bits, which 8-bit weights overflow",
        ),
        Target(
            name="arm",
            activations="int8",
            symmetric_activations=False,
            weight_bits=8,
            per_channel=True,
            picture_bytes=False,
            float_biases=False,
            float_streams=True,
            onnxruntime_cpu=True,
            quantized_formats=FORMATS,
            reason="ARM's dot products are int8 by int8; a graph of int8 cannot start from a picture's uint8",
        ),
        Target(
            name="openvino",
            activations="uint8",
            symmetric_activations=False,
            weight_bits=8,
            per_channel=True,
            picture_bytes=True,
            float_biases=False,
            float_streams=True,
            onnxruntime_cpu=False,
            quantized_formats=("qdq",),
            reason="OpenVINO runs uint8 by int8 convolutions from QDQ, and reads the picture's bytes",
        ),
        Target(
            name="tensorrt",
            activations="int8",
            symmetric_activations=True,
            weight_bits=8,
            per_channel=True,
            picture_bytes=False,
            float_biases=True,
            float_streams=True,
            onnxruntime_cpu=False,
            quantized_formats=("qdq",),
            reason="TensorRT takes int8 with zero point 0 alone, and biases in float32",
        ),
        Target(
            name="qnn",
            activations="uint8",
            symmetric_activations=False,
            weight_bits=8,
            per_channel=True,
            picture_bytes=False,
            float_biases=False,
            float_streams=False,
            onnxruntime_cpu=False,
            quantized_formats=("qdq",),
            reason="the HTP takes whole QDQ groups of uint8 by int8; a uint8 picture before the first group is none",
        ),
        Target(
            name="generic",
            activations="uint8",
            symmetric_activations=False,
            weight_bits=7,
            per_channel=True,
            picture_bytes=False,
            float_biases=False,
            float_streams=True,
            onnxruntime_cpu=True,
            quantized_formats=("qdq",),
            reason="standard operators, a float32 input, and weights that overflow on no processor",
        ),
    )
}


def find_target(name: str, quantized_format: str) -> Target:
    """The target of that name, or this machine's where the name is ``auto``.

    Raises:
        UsageError: no target has that name, or it cannot run that format.
    """
    if name != AUTO and name not in TARGETS:
        raise UsageError(f"There is no target {name!r}; choose one of {AUTO}, {', '.join(TARGETS)}.")
    target = detect_target() if name == AUTO else TARGETS[name]
    if quantized_format not in target.quantized_formats:
        can = " or ".join(target.quantized_formats)
        raise UsageError(f"The target {target.name} reads the format {can}, not {quantized_format}.")
    return target


def detect_target() -> Target:
    """The target of the processor this runs on."""
    return target_of(platform.machine(), cpu_features())


def target_of(machine: str, features: Collection[str]) -> Target:
    """The target of a processor.

    Args:
        machine: As `platform.machine` names it.
        features: Its instruction sets; case and underscores do not matter.
    """
    if machine.lower() in ("arm64", "aarch64"):
        return TARGETS["arm"]
    has = {feature.lower().replace("_", "") for feature in features}
    if has & {"avx512vnni", "avxvnni"}:
        return TARGETS["x86-vnni"]
    return TARGETS["x86-avx2" if "avx2" in has else "generic"]


def cpu_features() -> frozenset[str]:
    """This processor's instruction sets, as the system names them; empty where it does not tell.

    Windows does not: numpy's own list serves there, which knows AVX-512 VNNI but not AVX-VNNI. A hybrid Core processor
    is taken for ``x86-avx2`` then, which is exact as well, only coarser.
    """
    if sys.platform == "darwin":
        return _from_sysctl()
    listing = Path("/proc/cpuinfo")
    return _from_cpuinfo(listing.read_text()) if listing.exists() else _from_numpy()


def _from_cpuinfo(text: str) -> frozenset[str]:
    flags = (line.partition(":")[2] for line in text.splitlines() if line.startswith("flags"))
    return frozenset(next(flags, "").split())


def _from_sysctl() -> frozenset[str]:
    answer = subprocess.run(
        ["/usr/sbin/sysctl", "-n", "machdep.cpu.leaf7_features"], capture_output=True, text=True, check=False
    )
    return frozenset(answer.stdout.split())


def _from_numpy() -> frozenset[str]:
    for core in ("numpy._core", "numpy.core"):  # numpy 2, numpy 1
        try:
            module = importlib.import_module(f"{core}._multiarray_umath")
        except ImportError:
            continue
        return frozenset(name for name, found in module.__cpu_features__.items() if found)
    return frozenset()
