from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mnv2deploy.errors import UsageError
from mnv2deploy.quantization import targets
from mnv2deploy.quantization.encodings import weight_limits
from mnv2deploy.quantization.targets import TARGETS, Target, detect_target, find_target, target_of

REPOSITORY = Path(__file__).parent.parent.parent

ICE_LAKE = "fpu sse4_1 avx avx2 fma avx512f avx512bw avx512vl avx512_vnni avx512_bitalg"
ALDER_LAKE = "fpu sse4_1 avx avx2 fma avx_vnni gfni vaes"
SKYLAKE_SERVER = "fpu sse4_1 avx avx2 fma avx512f avx512bw avx512vl"
HASWELL = "fpu sse4_1 avx avx2 fma"
WESTMERE = "fpu sse4_1 sse4_2 aes"


@pytest.mark.parametrize(
    ("machine", "features", "name"),
    [
        ("x86_64", ICE_LAKE, "x86-vnni"),
        ("x86_64", ALDER_LAKE, "x86-vnni"),
        ("x86_64", SKYLAKE_SERVER, "x86-avx2"),
        ("AMD64", HASWELL, "x86-avx2"),
        ("x86_64", WESTMERE, "generic"),
        ("AMD64", "SSE42 AVX AVX2 AVX512F AVX512VNNI AVX512_CLX", "x86-vnni"),  # numpy's spelling
        ("x86_64", "RDWRFSGS BMI1 AVX2 BMI2 AVX512F AVX512VNNI", "x86-vnni"),  # sysctl's
        ("aarch64", "fp asimd asimddp i8mm", "arm"),
        ("arm64", "", "arm"),
        ("ARM64", "", "arm"),
        ("riscv64", "", "generic"),
        ("", "", "generic"),
    ],
)
def test_a_processor_gets_the_types_it_is_fast_and_exact_with(machine: str, features: str, name: str) -> None:
    assert target_of(machine, features.split()).name == name


def test_linux_tells_the_features_of_the_first_processor() -> None:
    listing = f"processor\t: 0\nflags\t\t: {HASWELL}\nbugs\t\t: x\n\nprocessor\t: 1\nflags\t\t: {ICE_LAKE}\n"
    assert targets._from_cpuinfo(listing) == set(HASWELL.split())
    assert targets._from_cpuinfo("processor\t: 0\nFeatures\t: fp asimd\n") == set()


def test_macos_tells_them_through_sysctl(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, "RDWRFSGS AVX2 AVX512VNNI\n", "")

    monkeypatch.setattr(targets.subprocess, "run", answer)
    monkeypatch.setattr(targets.sys, "platform", "darwin")
    monkeypatch.setattr(targets.platform, "machine", lambda: "x86_64")
    assert detect_target().name == "x86-vnni"
    assert asked == [["/usr/sbin/sysctl", "-n", "machdep.cpu.leaf7_features"]]


@pytest.mark.skipif(sys.platform != "linux", reason="compares with /proc/cpuinfo")
def test_numpy_knows_the_same_of_this_machine() -> None:
    listed = {name.replace("_", "") for name in targets.cpu_features()}
    found = {name.lower().replace("_", "") for name in targets._from_numpy()}
    for name in ("avx2", "avx512f", "avx512vnni"):
        assert (name in listed) is (name in found)
    assert not {"avx2", "neon"} <= found


def test_auto_is_this_machine() -> None:
    target = detect_target()
    assert find_target("auto", target.quantized_formats[0]) is target


def test_an_unknown_target_names_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no target 'x86'; choose one of auto, x86-vnni, x86-avx2, arm, openvino"):
        find_target("x86", "qdq")


@pytest.mark.parametrize("name", ["openvino", "tensorrt", "qnn", "generic"])
def test_only_onnxruntime_on_a_processor_reads_quantized_operators(name: str) -> None:
    assert find_target(name, "qdq") is TARGETS[name]
    with pytest.raises(UsageError, match=rf"The target {name} reads the format qdq, not qoperator\."):
        find_target(name, "qoperator")


@pytest.mark.parametrize("name", ["x86-vnni", "x86-avx2", "arm"])
def test_a_processor_reads_both_formats(name: str) -> None:
    assert [find_target(name, written).name for written in ("qdq", "qoperator")] == [name, name]


def test_seven_bits_do_not_overflow_16_bit_sums_and_eight_do() -> None:
    for target in TARGETS.values():
        if target.name in ("x86-avx2", "generic"):
            assert 2 * 255 * weight_limits(target.weight_bits)[1] <= 2**15 - 1
        else:
            assert target.weight_bits == 8
    assert 2 * 255 * weight_limits(8)[1] > 2**15 - 1


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_targets_choices_fit_one_another(target: Target) -> None:
    assert not (target.symmetric_activations and target.activations == "uint8")
    assert not (target.picture_bytes and target.activations == "int8")  # QLinearConv's two tensors have one type
    assert target.quantized_formats
    assert len(target.reason) < 100


def test_the_document_says_what_the_table_says() -> None:
    text = (REPOSITORY / "docs" / "quantization.md").read_text()
    section = text.split("## Targets\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:3] == "| `"]
    said = {row[0].strip("`"): row[1:] for row in rows}
    assert list(said) == list(TARGETS)
    for name, (activations, weights, picture, formats, *_) in said.items():
        target = TARGETS[name]
        assert activations == target.activations + (", zero point 0" if target.symmetric_activations else "")
        assert weights == f"int8, {target.weight_bits} bits, per channel"
        assert picture == ("bytes" if target.picture_bytes else "float32")
        assert formats == ", ".join(target.quantized_formats)
