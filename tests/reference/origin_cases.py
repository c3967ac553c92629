"""Answers of a classifier of another framework, and the names and shapes of its tensors: numbers, no weights.

Needs numpy only; the makers write these files in environments of their own, the tests read them.
"""

import json
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from deterministic_weights import origin_weight
from numpy.typing import NDArray

CLASSES, BATCH = 7, 2
# Every halved side even; and sides of both parities, not square.
SIZES = ((64, 64), (75, 102))


@dataclass
class Case:
    """One network.

    `tensors` are its names and shapes in the order of the file; `config` the files beside, or in the file itself;
    `answers` what it answers to `picture(BATCH, height, width)`. Convolutions are multiplied by `gain`: where nothing
    cuts activations off they would grow, and biases vanish beside them.
    """

    name: str
    tensors: dict[str, tuple[int, ...]]
    config: dict[str, Any] = field(default_factory=dict)
    answers: dict[tuple[int, int], NDArray[np.float32]] = field(default_factory=dict)
    gain: float = 1.0

    def weights(self, layout: str) -> dict[str, NDArray[np.float32]]:
        """Make the weights again."""
        made = {name: origin_weight(name, shape, layout) for name, shape in self.tensors.items()}
        return {name: array * np.float32(self.gain) if array.ndim == 4 else array for name, array in made.items()}


def save(path: Path, runtime: dict[str, str], cases: list[Case]) -> None:
    """Write the cases of one framework."""
    described = {
        case.name: {"tensors": case.tensors, "config": case.config} | ({"gain": case.gain} if case.gain != 1 else {})
        for case in cases
    }
    arrays = {f"{case.name}/{h}x{w}": answer for case in cases for (h, w), answer in case.answers.items()}
    meta = json.dumps({"runtime": runtime, "cases": described}, separators=(",", ":"))
    # As bytes: numpy's text takes four times as much, and compresses worse.
    np.savez_compressed(path, meta=np.frombuffer(meta.encode(), np.uint8), **arrays)
    for name, array in arrays.items():
        print(f"{name}: {array.shape}, standard deviation {array.std():.3f}")
    print(f"{path}: {path.stat().st_size} bytes")


def load(path: Path) -> list[Case]:
    """Read them back."""
    with np.load(path) as stored:
        meta = json.loads(stored["meta"].tobytes())
        cases = []
        for name, entry in meta["cases"].items():
            tensors = {tensor: tuple(shape) for tensor, shape in entry["tensors"].items()}
            keys = [key for key in stored.files if key.startswith(f"{name}/")]
            answers = {tuple(map(int, key.rpartition("/")[2].split("x"))): stored[key] for key in keys}
            cases.append(Case(name, tensors, entry["config"], answers, entry.get("gain", 1.0)))
    return cases


def restart_with(requirements: list[str], bare: tuple[str, ...] = ()) -> None:
    """Run this very command in a new environment that has the requirements; the bare ones without what they need."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", *requirements], check=True)
        if bare:
            subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *bare], check=True)
        raise SystemExit(subprocess.run([python, *sys.argv], check=False).returncode)


def run_torch(model: Any, name: str, config: dict[str, Any] | None = None, gain: float = 1.0) -> Case:
    """Fill a torch network by its own names, and ask it in float64, so that only the reader's rounding is left."""
    import torch
    from deterministic_weights import picture

    shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    shapes = {key: shape for key, shape in shapes.items() if not key.endswith("num_batches_tracked")}
    case = Case(name, shapes, config or {}, gain=gain)
    filled = {key: torch.from_numpy(array) for key, array in case.weights("torch").items()}
    missing, unexpected = model.load_state_dict(filled, strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    model = model.double().eval()
    for height, width in SIZES:
        with torch.inference_mode():
            answer = model(torch.from_numpy(picture(BATCH, height, width)).double())
        answer = getattr(answer, "logits", answer)
        case.answers[height, width] = (answer if answer.ndim == 2 else answer[:1]).numpy().astype(np.float32)
    return case
