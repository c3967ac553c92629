"""benchmarks/quantizers.py: are its numbers right, and does a peer take part as it should? No peer is installed."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from engines.environments import UnavailableError  # noqa: E402
from quantizers import environments, report  # noqa: E402
from quantizers.calibration import write_tensors  # noqa: E402
from quantizers.calibration_reader import TensorReader  # noqa: E402
from quantizers.comparison import Closeness, compare  # noqa: E402
from quantizers.making import make_with_peer, run_measured  # noqa: E402
from quantizers.onnxruntime_quantizer import largest_divisor  # noqa: E402
from quantizers.results import Group, Row  # noqa: E402
from quantizers.specs import NAMES, PEERS, Spec  # noqa: E402

from mnv2deploy.evaluation.dataset import Item  # noqa: E402
from mnv2deploy.runtime.pipeline import open_pipeline  # noqa: E402
from mnv2deploy.runtime.results import ClassificationResult, ClassScore, SegmentationResult  # noqa: E402
from mnv2deploy.runtime.session import Session  # noqa: E402

MINMAX = PEERS["onnxruntime-minmax"]


@pytest.fixture(scope="module")
def calibration(photos, tmp_path_factory) -> Path:
    """A folder of four photos."""
    folder = tmp_path_factory.mktemp("calibration")
    for path in sorted(photos.values())[:4]:
        (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def tensors(artifacts, calibration) -> Path:
    path = calibration.parent / "calibration.npy"
    assert write_tensors(calibration, Session(artifacts["mobilenet-v2"], threads=1).contract, path) == 4
    return path


@pytest.fixture(scope="module")
def quantized(artifacts, tensors, tmp_path_factory) -> Path:
    """By onnxruntime, with what is installed here."""
    folder = tmp_path_factory.mktemp("quantized")
    python = Path(sys.executable)
    return make_with_peer("minmax", MINMAX, artifacts["mobilenet-v2"], tensors, folder, python).path


def run_script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, BENCHMARKS / "quantizers.py", *arguments],
        env={**os.environ, "MNV2DEPLOY_DATA": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_help_names_every_quantizer():
    done = run_script("--help")
    assert done.returncode == 0, done.stderr
    assert [name for name in NAMES if not re.search(rf"\b{name}\b", done.stdout)] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--calib is needed"),
        (["--calib", "a", "b", "--eval", "c"], "--calib should name one for each of the 3 models"),
        (["--models", "x", "--calib", "a", "--eval", "c", "--seconds", "0"], "greater than 0"),
        (["--only", "nobody"], "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments, message):
    done = run_script(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_sqnr_is_of_all_elements_of_all_pictures():
    closeness = Closeness()
    closeness.add_outputs(np.array([3.0, 4.0]), np.array([3.0, 5.0]))
    assert closeness.sqnr == pytest.approx(10 * math.log10(25 / 1))
    closeness.add_outputs(np.array([[10.0], [5.0]], np.float32), np.array([[8.0], [5.0]], np.float32))
    assert closeness.sqnr == pytest.approx(10 * math.log10((25 + 125) / (1 + 4)))  # no mean of decibels


def test_an_exact_model_has_no_noise():
    closeness = Closeness()
    closeness.add_outputs(np.ones(3), np.ones(3))
    assert closeness.sqnr == math.inf


def _classes(*ids: int) -> ClassificationResult:
    return ClassificationResult(1, 1, tuple(ClassScore(str(number), number, 0.5) for number in ids))


def _mask(rows: list[list[int]]) -> SegmentationResult:
    mask = np.array(rows, np.uint8)
    return SegmentationResult(width=mask.shape[1], height=mask.shape[0], mask=mask, segments=())


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        # Only the likeliest class counts.
        ([(_classes(1, 2), _classes(1, 3)), (_classes(1, 2), _classes(2, 1))], 0.5),
        # Pixels of all pictures, not a mean of pictures: 3 of 4 and 0 of 1.
        ([(_mask([[1, 2], [3, 3]]), _mask([[1, 2], [3, 0]])), (_mask([[1]]), _mask([[0]]))], 3 / 5),
        # Boxes have no one-to-one counterpart.
        ([(None, None)], None),
    ],
)
def test_agreement_is_the_share_of_equal_answers(pairs, expected):
    closeness = Closeness()
    for reference, answer in pairs:
        closeness.add_answers(reference, answer)
    assert closeness.agreement == expected


def test_closeness_is_what_single_pictures_say(artifacts, quantized, photos):
    paths = list(photos.values())
    sessions = [Session(path, threads=1) for path in (artifacts["mobilenet-v2"], quantized)]
    outputs = [np.stack([session.run_picture(path)[0][0] for path in paths]).astype(float) for session in sessions]
    same, itself = compare(
        sessions[0], [sessions[1], sessions[0]], [Item(path.name, path, None) for path in paths], threads=2
    )
    noise = np.sum((outputs[0] - outputs[1]) ** 2)
    assert same.sqnr == pytest.approx(10 * np.log10(np.sum(outputs[0] ** 2) / noise))
    assert same.agreement == np.mean(outputs[0].argmax(axis=1) == outputs[1].argmax(axis=1))
    assert (itself.sqnr, itself.agreement) == (math.inf, 1)
    assert 5 < same.sqnr < 20  # four photos, but the same network, quantized


@pytest.mark.parametrize(("model", "agreement"), [("ssdlite-coco", None), ("deeplabv3-voc", 1.0)])
def test_the_other_tasks_are_compared_too(artifacts, photos, model, agreement):
    session, path = Session(artifacts[model], threads=1), next(iter(photos.values()))
    (itself,) = compare(session, [session], [Item("photo", path, None)], threads=1)
    assert itself.agreement == agreement
    assert itself.signal == pytest.approx(float(np.square(session.run_picture(path)[0][0].astype(float)).sum()))


def test_a_peers_model_is_int8_and_carries_the_contract(artifacts, quantized):
    ours, theirs = (Session(path, threads=1) for path in (artifacts["mobilenet-v2"], quantized))
    assert theirs.contract == ours.contract
    open_pipeline(theirs)
    graph = onnx.load(quantized).graph
    types = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in graph.initializer}
    activations = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] not in types]
    assert {types[node.input[2]][0] for node in activations} == {onnx.TensorProto.UINT8}
    assert {tuple(types[node.input[2]][1]) for node in activations} == {()}
    weights = [node for node in graph.node if types.get(node.input[0], (0, []))[0] == onnx.TensorProto.INT8]
    assert len(weights) == 53
    assert {len(types[node.input[1]][1]) for node in weights} == {1}  # a scale a channel


def test_a_model_is_kept_until_what_it_is_made_from_changes(artifacts, tensors, quantized, tmp_path):
    nobody = tmp_path / "no-python"
    made = make_with_peer("minmax", MINMAX, artifacts["mobilenet-v2"], tensors, quantized.parent, nobody)
    assert made.seconds > 0.5
    assert 50e6 < made.peak_memory < 5e9
    for spec, artifact, pictures in (
        (replace(MINMAX, options={"method": "Percentile"}), artifacts["mobilenet-v2"], tensors),
        (MINMAX, artifacts["ssdlite-coco"], tensors),
        (MINMAX, artifacts["mobilenet-v2"], quantized),  # other bytes where the pictures were
    ):
        with pytest.raises(UnavailableError, match="minmax fails"):
            make_with_peer("minmax", spec, artifact, pictures, quantized.parent, nobody)


def test_a_peer_that_fails_leaves_nothing_and_says_why(artifacts, tensors, tmp_path):
    spec = Spec(module="no_such_quantizer", environment="onnxruntime", settings="")
    with pytest.raises(UnavailableError, match="peer fails: .*no_such_quantizer"):
        make_with_peer("peer", spec, artifacts["mobilenet-v2"], tensors, tmp_path, Path(sys.executable))
    assert list(tmp_path.iterdir()) == []


def test_seconds_and_memory_are_the_commands_own(tmp_path):
    held = np.ones(300_000_000, np.uint8)  # what this process holds does not count
    small = run_measured([sys.executable, "-c", "pass"], "fails", tmp_path)
    code = "import time; block = b'1' * 200_000_000; time.sleep(0.2)"
    large = run_measured([sys.executable, "-c", code], "fails", tmp_path)
    assert held[-1] == 1
    assert small["peak_memory"] < 100e6 < 200e6 < large["peak_memory"] < 300e6
    assert large["seconds"] > 0.2
    assert 0 < small["processor_seconds"] < small["seconds"] + 0.1


def test_a_reader_hands_out_its_range_and_can_begin_again(artifacts, tensors):
    reader, pictures = TensorReader(str(artifacts["mobilenet-v2"]), str(tensors)), np.load(tensors)
    assert len(reader) == 4
    read = list(iter(reader.get_next, None))
    assert [list(feed) for feed in read] == [["image"]] * 4
    np.testing.assert_array_equal(np.concatenate([feed["image"] for feed in read]), pictures)
    reader.set_range(1, 3)
    for _ in range(2):
        read = list(iter(reader.get_next, None))
        np.testing.assert_array_equal(np.concatenate([feed["image"] for feed in read]), pictures[1:3])
        reader.reset_iter()


@pytest.mark.parametrize(("number", "expected"), [(125, 5), (128, 8), (49, 7), (8, 8), (127, 1), (6, 6)])
def test_strides_leave_no_remainder(number, expected):
    assert largest_divisor(number, 8) == expected


def _row(name: str, **values: object) -> Row:
    defaults = {"settings": "", "metrics": {"top_1": 0.85}, "milliseconds": 3.2, "size": 14_000_000}
    return Row(**{"name": name, "time_ratio": (1.0, 1.0, 1.0), **defaults, **values})  # type: ignore[arg-type]


@pytest.fixture
def group() -> Group:
    peer = _row(
        "peer",
        settings="u8",
        metrics={"top_1": 0.816, "top_5": 0.9},
        difference=(-0.034, -0.056, -0.012),
        agreement=0.9156,
        sqnr=13.64,
        milliseconds=1.536,
        time_ratio=(0.48, 0.471, 0.49),
        size=3_660_000,
        cost={"seconds": 7.6, "processor_seconds": 12.4, "peak_memory": 8_640_000_000},
    )
    given = _row("given", difference=(0.0, None, None), sqnr=math.inf)
    return Group(
        model="m",
        labelled=Path("val"),
        pictures=500,
        calibration=125,
        rows=[_row("float32"), peer, given],
        left_out={"other": "no network"},
    )


def test_a_table_has_a_line_a_model_and_says_who_is_missing(group):
    title, header, floating, peer, given, missing = report.text(group).splitlines()
    assert title == "m: 500 labelled pictures, calibrated on 125"
    assert header.split()[:3] == ["quantizer", "settings", "top-1"]
    assert floating.split() == ["float32", "85.0%", "3.20", "1", "14.0"]
    cells = "peer u8 81.6% -5.6 to -1.2 91.6% 13.6 1.54 0.48 (0.47-0.49) 3.7 8 12 8.6"
    assert peer.split() == cells.split()
    assert given.split()[:3] == ["given", "85.0%", "inf"]
    assert missing == "left out: other: no network"
    assert header.index("CPU s") + len("CPU s") == peer.index(" 12 ") + 3  # aligned right


def test_the_markdown_is_one_table_a_model(group):
    machine = {"processor": "P", "flags": [], "cores": 2, "system": "L", "python": "3"}
    text = report.markdown([group, group], machine, "2026-01-02", "the command")
    assert text.startswith("`the command`, 2026-01-02, 2 cores of P (none of note)")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 * (2 + 3)
    assert {line.count("|") for line in lines} == {13}
    assert text.count("### m: 500 labelled pictures") == text.count("- Left out: other: no network.") == 2


@pytest.mark.parametrize(("metric", "shown"), [("top_1", "37.7%"), ("AP", "0.377"), ("mean_iou", "0.377")])
def test_fractions_are_shown_as_the_field_does(group, metric, shown):
    rows = [replace(group.rows[0], metrics={metric: 0.3771})]
    header, line = report.table(replace(group, rows=rows))
    assert (header[2], line[2]) == ({"top_1": "top-1", "mean_iou": "mIoU"}.get(metric, metric), shown)


def test_given_artifacts_are_measured_from_end_to_end(artifacts, quantized, calibration, photos, tmp_path):
    """Eight labelled photos, the labels being the float32 model's own answers."""
    session = Session(artifacts["mobilenet-v2"], threads=1)
    classifier = open_pipeline(session, top=1)
    labelled = tmp_path / "labelled"
    (labelled / "images").mkdir(parents=True)
    with (labelled / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "class_index"])
        for path in photos.values():
            (labelled / "images" / path.name).symlink_to(path)
            writer.writerow([path.name, classifier(path).classes[0].class_id])
    options = ["--models", artifacts["mobilenet-v2"], "--calib", calibration, "--eval", labelled, "--seconds", "0.2"]
    files = ["--json", tmp_path / "out.json", "--markdown", tmp_path / "out.md", "--kept", tmp_path / "kept"]
    done = run_script(*options, "--only", "mnv2deploy-fast", "--ours", quantized, *files, "--date", "2026-01-02")
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "out.json").read_text())
    (group,) = document["groups"]
    floating, ours = group["rows"]
    assert (group["pictures"], group["calibration"], group["left_out"]) == (len(photos), 4, {})
    assert (floating["name"], floating["metrics"]["top_1"], floating["time_ratio"]) == ("float32", 1.0, [1.0, 1.0, 1.0])
    assert (ours["name"], ours["settings"], ours["cost"]["seconds"]) == (quantized.stem, "as given", None)
    assert ours["agreement"] == pytest.approx(ours["metrics"]["top_1"])  # the labels are float32's answers
    assert ours["difference"][0] == pytest.approx(ours["metrics"]["top_1"] - 1)
    assert ours["size"] == quantized.stat().st_size
    assert ours["milliseconds"] > 0
    assert f"| {quantized.stem} | as given |" in (tmp_path / "out.md").read_text()
    assert quantized.stem in done.stdout


def test_an_artifact_of_another_model_is_refused(artifacts, quantized, calibration):
    models = ["--models", artifacts["ssdlite-coco"], "--calib", calibration, "--eval", calibration]
    done = run_script(*models, "--ours", quantized)
    assert done.returncode == 1
    assert f"--ours {quantized} is a mobilenet-v2, which is not among the --models." in done.stderr


def test_an_environment_is_made_again_when_its_requirements_change(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    requirements, commands = tmp_path / "peer.txt", []

    def pretend(command: list[str], failure: str) -> None:
        commands.append(command)
        if command[1:3] == ["-m", "venv"]:
            Path(command[3]).mkdir()

    monkeypatch.setattr(environments, "run", pretend)
    requirements.write_text("# 0 MB installed\npeer==1\n")
    for _ in range(2):
        python = environments.python_of("peer", tmp_path / "environments")
    assert len(commands) == 2  # venv and pip, once
    assert commands[1][0] == str(python)
    assert commands[1][-2:] == ["--requirement", str(requirements)]
    requirements.write_text("# 0 MB installed\npeer==2\n")
    environments.python_of("peer", tmp_path / "environments")
    assert len(commands) == 4


@pytest.mark.parametrize("name", sorted({spec.environment for spec in PEERS.values()}))
def test_every_package_of_an_environment_is_pinned(name):
    size, *packages = environments.requirements_of(name).read_text().splitlines()
    assert re.match(r"# \d[\d.]* [MG]B installed", size)
    assert [line for line in packages if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
