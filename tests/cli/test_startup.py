"""What a start must not load, shown by the interpreter itself."""

import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "onnx",
    "onnxscript",
    "onnxsim",
    "onnxruntime",
    "cv2",
    "numpy",
    "google.protobuf",
    "requests",
    "pooch",
}
BUILD_ONLY = {"torch", "onnx", "onnxscript", "onnxsim", "google.protobuf", "requests", "pooch"}


def modules_loaded_by(*arguments):
    """Names of everything imported by ``python -X importtime -m mnv2deploy ARGUMENTS``."""
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mnv2deploy", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = [line for line in process.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip() for line in lines}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["classify", "--help"],
        ["detect", "--help"],
        ["segment", "--help"],
        ["evaluate", "--help"],
        ["bench", "--help"],
        ["export", "--help"],
        ["verify", "--help"],
        ["models"],
    ],
)
def test_help_and_lists_load_nothing_heavy(arguments):
    loaded = modules_loaded_by(*arguments)
    assert "typer" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    ("command", "name"), [("classify", "mobilenet-v2"), ("detect", "ssdlite-coco"), ("segment", "deeplabv3-voc")]
)
def test_a_command_loads_the_runtime_and_nothing_that_builds(command, name, artifacts, photos, tmp_path):
    loaded = modules_loaded_by(command, photos["coffee.png"], "--model", artifacts[name], "-o", f"{tmp_path}/")
    assert {"cv2", "numpy", "onnxruntime"} <= loaded
    assert not loaded & (BUILD_ONLY | {"rich"})


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, mnv2deploy; print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not set(process.stdout.split()) & HEAVY
