"""The light install: what `pip install mnv2deploy` gives a user who only runs artifacts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


def run(*command, **options):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, check=False, **options)


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """The folder of programs of a fresh environment with the wheel and its own dependencies, nothing else."""
    folder = tmp_path_factory.mktemp("light")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    pip = [programs / "python", "-m", "pip", "--disable-pip-version-check", "-qq"]
    wheel = run(*pip, "wheel", "--no-deps", "-w", folder, REPOSITORY)
    assert wheel.returncode == 0, wheel.stderr
    (built,) = folder.glob("*.whl")
    installed = run(*pip, "install", "-c", REPOSITORY / "constraints.txt", built)
    assert installed.returncode == 0, installed.stderr
    return programs


@pytest.mark.network
def test_it_runs_artifacts_without_torch_and_onnx(light, coco_artifact, photos, tmp_path):
    packages = {
        entry["name"] for entry in json.loads(run(light / "python", "-m", "pip", "list", "--format=json").stdout)
    }
    assert not packages & {"torch", "onnx", "onnxscript", "onnxsim", "pydantic"}
    done = run(
        light / "mnv2deploy", "detect", photos["coffee.png"], "--model", coco_artifact, "-o", "out.png", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "cup" in done.stdout
    assert (tmp_path / "out.png").exists()


@pytest.mark.network
def test_it_lists_and_pulls_and_names_the_extra_it_lacks(light, cache, tmp_path):
    assert "ssdlite-coco" in run(light / "mnv2deploy", "models").stdout
    assert run(light / "mnv2deploy", "pull", "sample-photos", "--offline").returncode == 0
    done = run(light / "mnv2deploy", "export", "ssdlite-coco", cwd=tmp_path)
    assert done.returncode == 7
    assert "pip install 'mnv2deploy[build]'" in done.stderr
    assert "Traceback" not in done.stderr
