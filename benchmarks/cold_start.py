"""What a start costs: whole processes, and the session that is created in each of them.

    python benchmarks/cold_start.py [--rounds 15] [--json]

Every figure comes out of one run in which all sides take turns, so that a machine that slows down slows all.

    classify, detect, segment    `mnv2deploy COMMAND photo.jpg`, artifact present, against bare_start.py: a script that
                                 imports cv2, numpy and onnxruntime, loads the same file and runs it once
    help                         `mnv2deploy --help` against `python -c "import typer"`

The second table asks what it would gain to store the graph as onnxruntime leaves it after its own optimizations, so
that a session has less to do; each as ONNX and in onnxruntime's own format. ``extended`` still runs on any processor,
and is given the rest of the optimizations when it is loaded; ``all`` has the memory layout of this processor's vector
instructions in it and is loaded as it is. Beside them stands what it costs to hash the artifact, which a cache of such
files would have to do to know them again.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import onnxruntime

from mnv2deploy.catalog.photos import load_photos
from mnv2deploy.cli.artifact import find_artifact
from mnv2deploy.cli.table import format_table
from mnv2deploy.runtime.processors import available_processors
from mnv2deploy.weights.fetch import fetch

MODELS = {"classify": "mobilenet-v2", "detect": "ssdlite-coco", "segment": "deeplabv3-voc"}
BINARY = str(Path(sys.executable).with_name("mnv2deploy"))
LEVELS = {
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def process(*command: str) -> Callable[[], object]:
    """A whole process, its output thrown away; files it writes go into a folder that is removed."""

    def run() -> object:
        with tempfile.TemporaryDirectory() as folder:
            return subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)

    return run


def take_turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call by name, after one round that is not counted; the order turns with each round."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name in sorted(calls, reverse=turn % 2 == 1):
            began = time.perf_counter()
            calls[name]()
            if turn:
                times[name].append((time.perf_counter() - began) * 1e3)
    return times


def compare(question: str, ours: Callable[[], object], bare: Callable[[], object], rounds: int) -> dict[str, object]:
    """Medians of both sides, and the ratio with the quartiles of the single rounds' ratios."""
    times = take_turns({"ours": ours, "bare": bare}, rounds)
    ratios = sorted(a / b for a, b in zip(times["ours"], times["bare"], strict=True))
    mine, other = statistics.median(times["ours"]), statistics.median(times["bare"])
    quartiles = [ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]]
    return {"question": question, "ours_ms": mine, "bare_ms": other, "ratio": mine / other, "quartiles": quartiles}


def session(path: Path, level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.InferenceSession:
    """A session as the product creates it, but for the level."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = available_processors()
    options.graph_optimization_level = level
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def store_optimized(artifact: Path, level: str, file: Path) -> Path:
    """Writes the graph as it is after onnxruntime's optimizations; the suffix ``.ort`` takes its own format."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it warns, rightly, that "all" belongs to this processor
    options.graph_optimization_level = LEVELS[level]
    options.optimized_model_filepath = str(file)
    if file.suffix == ".ort":
        options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(artifact), options, providers=["CPUExecutionProvider"])
    return file


def session_creation(name: str, artifact: Path, folder: Path, rounds: int) -> dict[str, object]:
    """Milliseconds to create a session from the artifact and from each stored form of it."""
    calls: dict[str, Callable[[], object]] = {
        "artifact": lambda: session(artifact, LEVELS["all"]),
        "hash": lambda: hashlib.sha256(artifact.read_bytes()).digest(),
    }
    for level in LEVELS:
        left = LEVELS["all"] if level == "extended" else onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        for suffix in ("onnx", "ort"):
            stored = store_optimized(artifact, level, folder / f"{name}-{level}.{suffix}")
            calls[f"{level} .{suffix}"] = lambda stored=stored, left=left: session(stored, left)
    times = take_turns(calls, rounds)
    return {"model": name, **{f"{side}_ms": statistics.median(values) for side, values in times.items()}}


def main() -> None:
    """Asks the questions and prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    artifacts = {task: find_artifact(name, task, offline=False, quiet=False) for task, name in MODELS.items()}
    photo = str(fetch(load_photos("sample-photos")[0]).files["rocket.jpg"])
    bare = str(Path(__file__).with_name("bare_start.py"))
    starts = [
        compare(
            task,
            process(BINARY, task, photo, "--model", str(artifact)),
            process(sys.executable, bare, str(artifact), photo),
            arguments.rounds,
        )
        for task, artifact in artifacts.items()
    ]
    starts.append(
        compare("help", process(BINARY, "--help"), process(sys.executable, "-c", "import typer"), arguments.rounds)
    )
    with tempfile.TemporaryDirectory() as folder:
        sessions = [
            session_creation(MODELS[task], artifact, Path(folder), arguments.rounds)
            for task, artifact in artifacts.items()
        ]
    if arguments.json:
        print(json.dumps({"starts": starts, "sessions": sessions}))
        return
    rows = [
        [
            str(row["question"]),
            f"{row['ours_ms']:.0f}",
            f"{row['bare_ms']:.0f}",
            f"{row['ratio']:.2f}",
            "-".join(f"{ratio:.2f}" for ratio in row["quartiles"]),
        ]
        for row in starts
    ]
    print(format_table(["START", "OURS MS", "BARE MS", "RATIO", "QUARTILES"], rows, right=range(1, 5)))
    columns = [column for column in sessions[0] if column != "model"]
    header = ["SESSION, MS", *[column.removesuffix("_ms").upper() for column in columns]]
    rows = [[str(row["model"]), *[f"{row[column]:.1f}" for column in columns]] for row in sessions]
    print("\n" + format_table(header, rows, right=range(1, len(header))))


if __name__ == "__main__":
    main()
