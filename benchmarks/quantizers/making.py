"""Quantized models, made by peers and by ourselves."""

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from engines.environments import run

from quantizers.artifacts import copy_contract
from quantizers.environments import python_of, requirements_of
from quantizers.specs import Spec

BENCHMARKS = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Made:
    """A quantized model.

    Attributes:
        name: Of the quantizer and its settings.
        settings: For people.
        path: Of the model, which carries a contract.
        seconds: The quantizer took, from its start to its end; None for a model that was given.
        processor_seconds: Of all its threads; unlike ``seconds`` the same on a busy machine. None likewise.
        peak_memory: Bytes. None likewise.
    """

    name: str
    settings: str
    path: Path
    seconds: float | None = None
    processor_seconds: float | None = None
    peak_memory: float | None = None

    @property
    def cost(self) -> dict[str, float | None]:
        """The last three."""
        return {name: getattr(self, name) for name in ("seconds", "processor_seconds", "peak_memory")}


def make_with_peer(name: str, spec: Spec, artifact: Path, tensors: Path, folder: Path, python: Path) -> Made:
    """Has a peer quantize an artifact, unless it did so before from the same inputs.

    Args:
        name: Of the row.
        spec: The peer and its settings.
        artifact: The float32 one.
        tensors: Calibration pictures, prepared: a `.npy` file, (N, 3, H, W) float32.
        folder: Where models are kept.
        python: Of the peer's environment.

    Raises:
        UnavailableError: the peer failed.
    """
    output, record = folder / f"{name}.onnx", folder / f"{name}.json"
    key = _key(spec, artifact, tensors)
    if output.exists() and record.exists():
        cost = json.loads(record.read_text(encoding="utf-8"))
        if cost.pop("key") == key:
            return Made(name, spec.settings, output, **cost)
    arguments = [str(artifact), str(tensors), json.dumps(spec.options)]
    with TemporaryDirectory(dir=folder) as scratch:  # Quark leaves files where it runs
        made = Path(scratch) / "made.onnx"
        command = [str(python), "-m", f"quantizers.{spec.module}", *arguments[:2], str(made), arguments[2]]
        cost = run_measured(command, f"{name} fails", Path(scratch))
        copy_contract(artifact, made)
        made.replace(output)
    record.write_text(json.dumps({"key": key, **cost}), encoding="utf-8")
    return Made(name, spec.settings, output, **cost)


def make_ours(name: str, profile: str, artifact: Path, calibration: Path, folder: Path) -> Made:
    """Runs ``mnv2deploy quantize``, every time: this program changes, the name of a profile does not.

    Raises:
        UnavailableError: the command failed.
    """
    output = folder / f"{name}.onnx"
    output.unlink(missing_ok=True)
    with TemporaryDirectory(dir=folder) as scratch:
        command = [sys.executable, "-m", "mnv2deploy", "quantize", str(artifact), "--calib", str(calibration)]
        command += ["--profile", profile, "-o", str(output)]
        cost = run_measured(command, "mnv2deploy quantize fails", Path(scratch))
    return Made(name, f"profile {profile}", output, **cost)


def environment_python(spec: Spec, environments: Path) -> Path:
    """The interpreter that has a peer; see `environments.python_of`."""
    return python_of(spec.environment, environments)


def run_measured(command: list[str], failure: str, scratch: Path) -> dict[str, float]:
    """Runs a command in a folder; returns what `measured` writes.

    Raises:
        UnavailableError: it failed.
    """
    report = scratch / "cost.json"
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    measured = [sys.executable, "-m", "quantizers.measured", str(report), *command]
    run(measured, failure, env=environment, cwd=scratch)
    cost: dict[str, float] = json.loads(report.read_text(encoding="utf-8"))
    return cost


def _key(spec: Spec, artifact: Path, tensors: Path) -> str:
    """Stands for all a model is made from, but for the text of the programs here."""
    what = hashlib.sha256(f"{spec.module} {json.dumps(spec.options, sort_keys=True)}".encode())
    for path in (requirements_of(spec.environment), artifact, tensors):
        with path.open("rb") as file:
            what.update(hashlib.file_digest(file, "sha256").digest())
    return what.hexdigest()
