"""How much `mnv2deploy detect` costs over the least that could do the same work.

    python benchmarks/detect.py [--rounds 15] [--json]

Three questions, each answered as a ratio of medians out of one run in which both sides take turns, so that a machine
that slows down slows both:

    process    `mnv2deploy detect photo.jpg`, artifact present, against bare_detect.py: a script that imports cv2, numpy
               and onnxruntime, loads the same file and runs it once
    help       `mnv2deploy --help` against `python -c "import typer"`
    warm       picture file to boxes in a running process, against decode + resize + onnxruntime alone
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

import mnv2deploy
from mnv2deploy.catalog.photos import load_photos
from mnv2deploy.cli.artifact import find_artifact
from mnv2deploy.weights.fetch import fetch

BINARY = str(Path(sys.executable).with_name("mnv2deploy"))
LIMITS = {"process": 1.5, "help": 1.5, "warm": 1.15}


def process(*command: str) -> Callable[[], object]:
    """A whole process, its output thrown away."""
    return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def bare_pipeline(artifact: Path, photo: Path) -> Callable[[], object]:
    """Decode, resize and run, on an input made before: no normalisation, nothing done with the outputs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))  # as many as the product takes
    session = onnxruntime.InferenceSession(str(artifact), options, providers=["CPUExecutionProvider"])
    tensor = np.random.default_rng(0).uniform(-1, 1, (1, 3, 300, 300)).astype(np.float32)

    def run() -> object:
        cv2.resize(cv2.imread(str(photo)), (300, 300))
        return session.run(None, {"image": tensor})

    return run


def take_turns(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of each call, after one round that is not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for side, call in enumerate((ours, theirs) if turn % 2 else (theirs, ours)):
            began = time.perf_counter()
            call()
            if turn:
                times[side if turn % 2 else 1 - side].append(time.perf_counter() - began)
    return times


def main() -> None:
    """Asks the three questions and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="of whole processes; warm calls run 20 times as many")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    artifact = find_artifact("ssdlite-coco", "detect", offline=False, quiet=False)
    photo = fetch(load_photos("sample-photos")[0]).files["rocket.jpg"]
    bare = str(Path(__file__).with_name("bare_detect.py"))
    detect = mnv2deploy.load(artifact)
    questions = {
        "process": (
            process(BINARY, "detect", str(photo), "--model", str(artifact)),
            process(sys.executable, bare, str(artifact), str(photo)),
            arguments.rounds,
        ),
        "help": (process(BINARY, "--help"), process(sys.executable, "-c", "import typer"), arguments.rounds),
        "warm": (lambda: detect(photo), bare_pipeline(artifact, photo), 20 * arguments.rounds),
    }
    results = []
    for name, (ours, theirs, rounds) in questions.items():
        mine, others = take_turns(ours, theirs, rounds)
        ratios = sorted(a / b for a, b in zip(mine, others, strict=True))
        results.append(
            {
                "question": name,
                "ours_ms": statistics.median(mine) * 1e3,
                "bare_ms": statistics.median(others) * 1e3,
                "ratio": statistics.median(mine) / statistics.median(others),
                "ratio_quartiles": [ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]],
                "limit": LIMITS[name],
            }
        )
    if arguments.json:
        print(json.dumps({"results": results}))
        return
    print(f"{'':10}{'ours ms':>10}{'bare ms':>10}{'ratio':>8}{'quartiles':>14}{'limit':>8}")
    for row in results:
        quartiles = "-".join(f"{ratio:.2f}" for ratio in row["ratio_quartiles"])
        print(
            f"{row['question']:10}{row['ours_ms']:10.1f}{row['bare_ms']:10.1f}{row['ratio']:8.2f}{quartiles:>14}"
            f"{row['limit']:8.2f}"
        )


if __name__ == "__main__":
    main()
