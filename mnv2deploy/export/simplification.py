"""Simplification by onnxsim, in a process of its own: it has crashed on users, and a crash must not cost the export."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import onnx

_TIMEOUT_SECONDS = 300
_SCRIPT = (
    "import sys, onnx, onnxsim; model, ok = onnxsim.simplify(sys.argv[1]); "
    "ok or sys.exit('onnxsim: the simplified graph answers differently'); onnx.save(model, sys.argv[2])"
)


def simplify(model: onnx.ModelProto) -> tuple[onnx.ModelProto, str | None]:
    """Simplifies a graph, or says why not.

    Returns:
        The simplified graph and None; or the graph as it was and the reason onnxsim failed.
    """
    with tempfile.TemporaryDirectory(prefix="mnv2deploy-") as folder:
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        onnx.save(model, before)
        try:
            process = subprocess.run(
                [sys.executable, "-c", _SCRIPT, str(before), str(after)],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
            if process.returncode != 0:
                lines = process.stderr.strip().splitlines() or [f"it ended with status {process.returncode}"]
                return model, lines[-1]
            simplified = onnx.load(after)
            onnx.checker.check_model(simplified, full_check=True)
        except subprocess.TimeoutExpired:
            return model, f"it took longer than {_TIMEOUT_SECONDS} s"
        except Exception as error:  # whatever it wrote is not a model: the original is still good
            return model, str(error)
    return simplified, None
