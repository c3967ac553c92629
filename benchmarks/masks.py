"""How much faster `upsample_argmax` makes a mask than stretching every class's logits does.

    python benchmarks/masks.py [--data FOLDER] [--rounds 7] [--json]

Each question is one shape of logits and mask; every contestant makes every picture's mask, in one run, one after the
other in an order drawn anew each round:

    ours     mnv2deploy.runtime.masks, positions included
    ort1/2   an ONNX graph of Resize(linear) and ArgMax in onnxruntime, with one thread and with two
    cv2      cv2.resize of one class after the other into a running maximum, on all of OpenCV's threads (half-pixel
             centres always, since cv2.resize knows no other: the same work, a slightly different mask)

`ratio` is the median of the faster onnxruntime over ours, `worst` the same for the picture that suits us least, `mixed`
the share of cells whose corners disagree, `differ` the pixels that differ from onnxruntime's. Time depends on the
pictures, so noise will not do. Where the logits come from:

    65x65x21     What the artifact `deeplabv3-voc` answers to real pictures: those of FOLDER/voc/val/images (FOLDER is
                 $MNV2DEPLOY_DATA if not given), of which the twelve with the most mixed cells are taken; without a
                 folder, the sample photos.
    128x256x19   No Cityscapes weights to be had: a mosaic of the eight of those grids with the most mixed cells, cut to
                 64x64, and of the 19 classes seen most in them. Boundaries keep the sharpness a network gives them
                 (stretched logits would not), and there are more of them than in most pictures.
    64x64x150    No ADE20K weights either: scores made from that data set's own masks in FOLDER/ade20k/val/masks;
                 without them, from the masks of the sample photos.

A score made from a mask is the logarithm of a class's share in a cell, blurred by one cell, plus noise of standard
deviation 1 that is as smooth; so about as many cells are mixed as with the real network, but of the runners-up in them
nothing can be claimed.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from mnv2deploy.catalog.photos import load_photos
from mnv2deploy.cli.artifact import find_artifact
from mnv2deploy.runtime import images
from mnv2deploy.runtime.masks import axis_positions, upsample_argmax
from mnv2deploy.runtime.preprocessing import prepare
from mnv2deploy.runtime.session import Session
from mnv2deploy.weights.fetch import fetch

FEWEST_MIXED, MOST_PICTURES = 0.01, 12
Logits = NDArray[np.float32]
Mask = NDArray[np.generic]
Contestant = Callable[[Logits], Mask]


def scores_from_mask(mask: NDArray[np.uint8], classes: int, grid: int, seed: int) -> Logits:
    """(H, W) class numbers, 255 for padding at the right and below -> (classes, grid, grid), as described above."""
    random = np.random.default_rng(seed)
    inside = mask != 255
    mask = mask[: inside.any(axis=1).sum(), : inside.any(axis=0).sum()]
    mask = cv2.resize(mask, (8 * grid, 8 * grid), interpolation=cv2.INTER_NEAREST)
    scores = np.empty((classes, grid, grid), np.float32)
    for index in range(classes):
        share = cv2.resize((mask == index).astype(np.float32), (grid, grid), interpolation=cv2.INTER_AREA)
        noise = cv2.GaussianBlur(random.standard_normal((grid, grid)).astype(np.float32), (0, 0), 1)
        scores[index] = np.log(cv2.GaussianBlur(share, (0, 0), 1) + 1e-3) + noise / noise.std()
    return scores


def mixed_share(logits: Logits) -> float:
    """Of all cells, those whose four corners do not agree on the best class."""
    best = logits.argmax(axis=0)
    corner = best[:-1, :-1]
    return float(((corner != best[1:, :-1]) | (corner != best[:-1, 1:]) | (corner != best[1:, 1:])).mean())


def voc_grids(data: Path | None) -> list[Logits]:
    """(21, 65, 65) each, most mixed cells first; empty pictures left out, of which nothing can be learned."""
    session = Session(find_artifact("deeplabv3-voc", "segment", offline=False, quiet=False))
    pictures = sorted((data / "voc" / "val" / "images").glob("*.jpg"))[: MOST_PICTURES * 2] if data else []
    grids = []
    for picture in pictures or list(fetch(load_photos("sample-photos")[0]).files.values()):
        tensor = prepare(images.read(picture), session.contract.input, session.contract.preprocessing)
        grids.append(session.run(tensor)[0][0])
    grids = [grid for grid in grids if mixed_share(grid) > FEWEST_MIXED]
    return sorted(grids, key=mixed_share, reverse=True)


def mosaic(grids: list[Logits]) -> Logits:
    """(19, 128, 256) out of (21, 65, 65)."""
    tiles = [grids[index % len(grids)][:, :64, :64] for index in range(8)]
    tiled = np.concatenate([np.concatenate(tiles[row : row + 4], axis=2) for row in (0, 4)], axis=1)
    pixels = np.bincount(tiled.argmax(axis=0).ravel(), minlength=len(tiled))
    return np.ascontiguousarray(tiled[np.sort(np.argsort(-pixels, kind="stable")[:19])])


def ade20k_grids(data: Path | None, voc: list[Logits]) -> list[Logits]:
    """(150, 64, 64) each; the masks' 0 (none of the classes) is taken for a class, and their 150 for their 149."""
    paths = sorted((data / "ade20k" / "val" / "masks").glob("*.png"))[:MOST_PICTURES] if data else []
    masks = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8) for path in paths]
    masks = masks or [ours(513, 513, True)(grid) for grid in voc]
    masks = [np.where(mask == 150, 149, mask).astype(np.uint8) for mask in masks]
    return [scores_from_mask(mask, 150, 64, seed) for seed, mask in enumerate(masks)]


def ours(height: int, width: int, align_corners: bool) -> Contestant:
    """The product."""

    def run(logits: Logits) -> Mask:
        rows = axis_positions(logits.shape[1], height, align_corners=align_corners)
        columns = axis_positions(logits.shape[2], width, align_corners=align_corners)
        return upsample_argmax(logits, rows, columns)

    return run


def in_onnxruntime(
    grid: tuple[int, int, int], height: int, width: int, align_corners: bool, threads: int
) -> Contestant:
    """Resize and ArgMax, as a segmentation graph with its post-processing inside has them."""
    mode = "align_corners" if align_corners else "half_pixel"
    classes = grid[0]
    graph = helper.make_graph(
        [
            helper.make_node(
                "Resize", ["logits", "", "", "size"], ["full"], mode="linear", coordinate_transformation_mode=mode
            ),
            helper.make_node("ArgMax", ["full"], ["mask"], axis=1, keepdims=0),
        ],
        "upsample_argmax",
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, *grid])],
        [helper.make_tensor_value_info("mask", TensorProto.INT64, [1, height, width])],
        [helper.make_tensor("size", TensorProto.INT64, [4], [1, classes, height, width])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda logits: session.run(None, {"logits": logits[None]})[0][0]


def in_opencv(height: int, width: int) -> Contestant:
    """One class at a time, so that the planes stay few and in cache; np.argmax over all of them is slower."""

    def run(logits: Logits) -> Mask:
        best, label = cv2.resize(logits[0], (width, height)), np.zeros((height, width), np.uint8)
        for index, plane in enumerate(logits[1:], start=1):
            full = cv2.resize(plane, (width, height))
            np.maximum(label, (full > best).view(np.uint8) * np.uint8(index), out=label)
            np.maximum(best, full, out=best)
        return label

    return run


def time_of(run: Contestant, logits: Logits) -> float:
    """Seconds of a warm call, once the other contestants' threads, which spin for a while after work, sleep."""
    time.sleep(0.05)
    run(logits)
    began = time.perf_counter()
    run(logits)
    return time.perf_counter() - began


def measure(grids: list[Logits], height: int, width: int, align_corners: bool, rounds: int) -> dict[str, object]:
    """One row of the table."""
    contestants = {
        "ours": ours(height, width, align_corners),
        "ort1": in_onnxruntime(grids[0].shape, height, width, align_corners, 1),
        "ort2": in_onnxruntime(grids[0].shape, height, width, align_corners, 2),
        "cv2": in_opencv(height, width),
    }
    seconds = np.empty((len(contestants), len(grids), rounds))
    differ = 0
    for at, grid in enumerate(grids):  # not counted: warm up, and compare
        masks = {name: run(grid) for name, run in contestants.items()}
        differ += int((masks["ours"] != masks["ort1"]).sum())
        for turn in range(rounds):
            for which in np.random.default_rng(turn).permutation(len(contestants)):
                seconds[which, at, turn] = time_of(list(contestants.values())[which], grid)
    each = np.median(seconds, axis=2)
    medians = dict(zip(contestants, np.median(seconds, axis=(1, 2)) * 1e3, strict=True))
    return {
        "question": f"{'x'.join(map(str, (*grids[0].shape[1:], grids[0].shape[0])))} -> {height}x{width}",
        "pictures": len(grids),
        "mixed": float(np.mean([mixed_share(grid) for grid in grids])),
        **{f"{name}_ms": float(value) for name, value in medians.items()},
        "ratio": float(min(medians["ort1"], medians["ort2"]) / medians["ours"]),
        "worst": float((np.minimum(each[1], each[2]) / each[0]).min()),
        "differ": differ,
    }


def main() -> None:
    """Asks the three questions and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("MNV2DEPLOY_DATA"), help="real pictures, see above")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    voc = voc_grids(arguments.data)
    rows = [
        measure(voc[:MOST_PICTURES], 513, 513, True, arguments.rounds),
        measure([mosaic(voc)], 1024, 2048, False, arguments.rounds),
        measure(ade20k_grids(arguments.data, voc), 512, 512, False, arguments.rounds),
    ]
    if arguments.json:
        print(json.dumps({"results": rows}))
        return
    columns = ("ours_ms", "ort1_ms", "ort2_ms", "cv2_ms", "ratio", "worst")
    print(f"{'':26}{'mixed':>8}" + "".join(f"{name.replace('_', ' '):>10}" for name in columns) + f"{'differ':>8}")
    for row in rows:
        numbers = "".join(f"{row[name]:10.2f}" for name in columns)
        print(f"{row['question']:26}{row['mixed']:8.1%}{numbers}{row['differ']:8}")


if __name__ == "__main__":
    main()
