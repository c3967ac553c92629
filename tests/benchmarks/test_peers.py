"""benchmarks/peers.py: do the engines of this environment agree, and is whoever does not left out? No times."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from byte_inputs import quantized_in_name

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from engines import agreement, conversion, driver, environments  # noqa: E402
from engines.driver import EngineProcess  # noqa: E402
from engines.environments import UnavailableError  # noqa: E402
from engines.peer import Peer  # noqa: E402
from engines.results import SWAP, Row, ratio, times  # noqa: E402
from engines.worker import Worker  # noqa: E402

from mnv2deploy.runtime.preprocessing import prepare  # noqa: E402
from mnv2deploy.runtime.session import Session  # noqa: E402


@pytest.fixture(scope="module")
def results(artifacts, byte_artifacts, tmp_path_factory) -> dict[str, dict]:
    """One round of the engines that need no environment of their own, by file name of the artifact."""
    folder = tmp_path_factory.mktemp("peers")
    models = [artifacts[name] for name in ("mobilenet-v2", "ssdlite-coco", "deeplabv3-voc")]
    bytes_inside = byte_artifacts["mobilenet-v2"].bytes
    quantized = quantized_in_name(models[0], folder / "quantized.onnx")
    models += [_with_other_weights(models[0], folder), quantized, bytes_inside]
    options = ["--threads", "1", "--rounds", "1", "--seconds", "0"]
    engines = ["--engines", "onnxruntime", "cv2.dnn", "torch-eager"]
    files = ["--json", folder / "peers.json", "--markdown", folder / "peers.md"]
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "peers.py", *options, *engines, *files, "--models", *models],
        env={**os.environ, "MNV2DEPLOY_DATA": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    groups = json.loads((folder / "peers.json").read_text())["groups"]
    assert [f"### {group['model']}" in (folder / "peers.md").read_text() for group in groups] == [True] * len(models)
    return {Path(group["model"]).name: group for group in groups}


def _with_other_weights(artifact: Path, folder: Path) -> Path:
    model = onnx.load(artifact)
    bias = next(tensor for tensor in model.graph.initializer if tensor.dims == [1000])
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32(0.5), bias.name))
    onnx.save(model, folder / "other_weights.onnx")
    return folder / "other_weights.onnx"


@pytest.mark.parametrize("model", ["mobilenet-v2.onnx", "ssdlite-coco.onnx", "deeplabv3-voc.onnx"])
def test_every_engine_computes_and_answers_the_same(results, model):
    group = results[model]
    assert not group["left_out"]
    assert [row["engine"] for row in group["rows"]] == ["mnv2deploy", "onnxruntime", "cv2.dnn", "torch-eager"]
    for row in group["rows"]:
        assert row["error"] <= 1e-4
        # Boxes and masks: peers stretch both as we do. Classes: they do not antialias, which moves a near tie.
        assert row["same_answers"] >= (0.8 if model == "mobilenet-v2.onnx" else 0.99)
        assert len(row["seconds"]["model"]) == len(row["seconds"]["answer"]) == 1
        assert row["seconds"]["model"][0] > 0
        assert row["description"]
        assert "fails" not in row["description"]  # as OpenCV's new engine would at a sum of two shapes


def test_an_engine_with_other_weights_is_left_out(results):
    group = results["other_weights.onnx"]
    assert [row["engine"] for row in group["rows"]] == ["mnv2deploy", "onnxruntime", "cv2.dnn"]
    assert "computes something else" in group["left_out"]["torch-eager"]


def test_an_engine_that_runs_no_quantized_network_is_left_out(results):
    group = results["quantized.onnx"]
    assert group["precision"] == "weights int8 per channel, activations uint8"
    assert [row["engine"] for row in group["rows"]] == ["mnv2deploy", "onnxruntime", "cv2.dnn"]
    assert "quantized" in group["left_out"]["torch-eager"]


def test_engines_that_run_the_artifact_itself_are_fed_bytes_where_it_takes_them(results):
    group = results["mobilenet-v2-bytes.onnx"]
    rows = {row["engine"]: row for row in group["rows"]}
    assert list(rows) == ["mnv2deploy", "onnxruntime", "cv2.dnn"]
    for row in rows.values():
        assert row["error"] <= 1e-4
        assert row["same_answers"] >= 0.8
    assert "fails" not in rows["cv2.dnn"]["description"]  # as its new engine would, tried with floats
    assert "without its normalisation" in group["left_out"]["torch-eager"]


@pytest.mark.parametrize("name", ["mobilenet-v2", "ssdlite-coco", "deeplabv3-voc"])
def test_peers_prepare_bytes_as_we_do(byte_artifacts, name):
    ours = Session(byte_artifacts[name].bytes, threads=1).contract
    rows, columns = np.mgrid[:426, :640]
    picture = np.stack([rows / 2, columns / 3, (rows + columns) / 6], axis=-1).round().astype(np.uint8)
    peer = Peer(json.loads(ours.to_json(), object_hook=lambda entries: SimpleNamespace(**entries)), 1)
    expected = peer.feed(prepare(picture, ours.input, ours.preprocessing))
    found = peer.prepare(picture)
    assert (found.dtype, found.shape) == (np.uint8, expected.shape)
    assert np.abs(found.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", ["mobilenet-v2", "ssdlite-coco", "deeplabv3-voc"])
def test_peers_prepare_a_smooth_picture_as_we_do(artifacts, name, channels_last):
    """Where neighbours hardly differ, antialiasing and rounding do not matter, and a shift of a pixel shows."""
    ours = Session(artifacts[name], threads=1).contract
    rows, columns = np.mgrid[:426, :640]
    picture = np.stack([rows / 2, columns / 3, (rows + columns) / 6], axis=-1).round().astype(np.uint8)
    contract = json.loads(ours.to_json(), object_hook=lambda entries: SimpleNamespace(**entries))
    peer = Peer(contract, 1, channels_last=channels_last)
    peer.prepare(np.full((700, 400, 3), 255, np.uint8))  # what a picture of another shape left must not show
    expected = peer.feed(prepare(picture, ours.input, ours.preprocessing))
    assert np.abs(peer.prepare(picture) - expected).max() <= 1.6 / min(ours.preprocessing.std)  # grey levels


def test_what_goes_wrong_in_an_engine_is_told_with_its_reason(tmp_path):
    process = EngineProcess("no_such_engine", Path(sys.executable), [0], tmp_path, {})
    try:
        with pytest.raises(
            UnavailableError, match=r"load: ModuleNotFoundError: No module named 'engines.no_such_engine'"
        ):
            process.ask("load", model="m", contract="{}", threads=1, options={})
        with pytest.raises(UnavailableError, match="AttributeError"):  # and it still listens
            process.ask("dance")
        process._process.kill()
        with pytest.raises(UnavailableError, match="ended with code -9 at warm_up"):
            process.ask("warm_up")
    finally:
        process.stop()


LOUD = """
import os, sys, types
class Engine:
    description = "loud"
    def __init__(self, *_, **__):
        print("hello from Python")
        os.write(1, b"hello from C")
sys.modules["engines.loud"] = types.SimpleNamespace(Engine=Engine)
from engines import worker
sys.argv = ["worker", "loud", str(min(os.sched_getaffinity(0)))]
worker.main()
"""


def test_what_an_engine_prints_does_not_get_between_the_replies():
    request = json.dumps({"do": "load", "model": "m", "contract": "{}", "threads": 1, "options": {}})
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    command = [sys.executable, "-c", LOUD]
    done = subprocess.run(command, input=request + "\n", capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == '{"description": "loud"}\n'
    assert "hello from C" in done.stderr


def test_a_worker_keeps_to_its_cores(tmp_path):
    core = max(os.sched_getaffinity(0))
    process = EngineProcess("onnxruntime_engine", Path(sys.executable), [core], tmp_path, {})
    try:
        with pytest.raises(UnavailableError):
            process.ask("load", model="m", contract="{}", threads=1, options={})
        assert os.sched_getaffinity(process._process.pid) == {core}
    finally:
        process.stop()


def test_a_process_that_does_not_go_to_sleep_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "PATIENCE_SECONDS", 0.3)
    process = EngineProcess("onnxruntime_engine", Path(sys.executable), [0], tmp_path, {})
    try:
        with pytest.raises(UnavailableError):  # once it has replied, it has nothing left to do
            process.ask("load", model="m", contract="{}", threads=1, options={})
        process.settle()
        process.rest()
        process.wake()
        assert process.idle_seconds < 0.01
    finally:
        process.stop()
    process._process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with pytest.raises(UnavailableError, match="keep a core busy"):
            process.settle()
    finally:
        process.stop()


class FakeEngine:
    """Calls take and wait as long as it was told, by clocks of its own."""

    def __init__(self, durations: list[float], waits: list[float]) -> None:
        self.script = iter(zip(durations, waits, strict=True))
        self.now, self.waited, self.calls = 0.0, 0.0, []

    def run(self, feed: str) -> None:
        self.calls.append(feed)
        took, waited = next(self.script)
        self.now += took
        self.waited += waited

    answer = run


@pytest.mark.parametrize(
    ("kind", "durations", "waits", "seconds", "calls", "expected"),
    [
        # The median, without the first.
        ("model", [9, 1, 2, 6], [0] * 4, 8.5, "f" * 4, (2, 3, 3)),
        ("model", [9, 5], [0] * 2, 0, "f" * 2, (5, 1, 1)),
        # Passes over pictures c and a: (1, 3), (2, 8), (9, 5): medians 2 and 5.
        ("answer", [7, 1, 3, 2, 8, 9, 5], [0] * 7, 15, "ccacaca", (3.5, 6, 6)),
        # Disturbed calls are not counted, and made up for ...
        ("model", [9, 8, 4, 9, 4, 5], [0, 1, 0, 1, 0, 0], 15, "f" * 6, (4, 5, 3)),
        # ... but not for ever; where there are no others, they count.
        ("model", [9, 8, 4, 9, 10, 15], [0, 1, 1, 1, 1, 1], 15, "f" * 6, (9, 5, 0)),
    ],
)
def test_a_turn_is_the_mean_of_the_pictures_medians(monkeypatch, kind, durations, waits, seconds, calls, expected):
    worker, engine = Worker("fake"), FakeEngine(durations, waits)
    worker._engine, worker._feed, worker._pictures = engine, "f", ["a", "b", "c"]
    monkeypatch.setattr("time.perf_counter", lambda: engine.now)
    monkeypatch.setattr("engines.worker.totals", lambda _: (0, engine.waited))
    result = worker.time(kind, [2, 0], seconds)
    assert (result["seconds"], result["calls"], result["undisturbed"]) == expected
    assert "".join(engine.calls) == calls


SHARE_A_CORE = """
import os, subprocess, sys, time
os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
from engines import worker
others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
began = time.process_time()
timing = worker.timed(lambda: sum(range(20_000_000)))
print(timing.took, timing.waited, time.process_time() - began)
for other in others:
    other.kill()
    other.wait()
"""


def test_a_call_that_shares_its_core_is_seen_to_wait():
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    command = [sys.executable, "-c", SHARE_A_CORE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    took, waited, worked = map(float, done.stdout.split())
    assert waited > 0.1 * took
    assert waited + worked == pytest.approx(took, rel=0.1)


def test_ratios_are_taken_round_by_round():
    ours = Row(engine="ours", description="", error=0, same_answers=1, seconds={"model": [2, 4], "answer": [3, 8]})
    theirs = Row(engine="theirs", description="", error=0, same_answers=1, seconds={"model": [3, 2], "answer": [9, 4]})
    assert ratio(theirs, ours, "model") == {"lower_quartile": 0.75, "median": 1.0, "upper_quartile": 1.25}
    assert ratio(theirs, ours, "answer")["median"] == (3 + 0.5) / 2
    assert times(theirs, ours, SWAP) == [3 - 2 + 3, 8 - 4 + 2]
    assert ratio(theirs, ours, SWAP)["median"] == (4 / 3 + 6 / 8) / 2
    assert ratio(ours, ours, SWAP)["median"] == 1


def test_an_error_is_the_worst_outputs_share_of_its_range():
    ours = [np.array([[0.0, 10.0]]), np.array([1.0, 2.0])]
    theirs = [np.array([0.0, 10.0]), np.array([1.0, 2.0])]  # another shape of as many numbers is the same
    assert agreement.output_error(ours, theirs) == 0
    assert agreement.output_error(ours, [theirs[0] + 1, theirs[1] - 0.3]) == pytest.approx(0.3)
    assert np.isnan(agreement.output_error(ours, [theirs[0] * np.nan, theirs[1]]))
    with pytest.raises(ValueError, match="outputs"):
        agreement.output_error(ours, theirs[:1])
    with pytest.raises(ValueError, match="outputs"):
        agreement.output_error(ours, [theirs[0], np.zeros(3)])


def test_agreement_counts_classes_objects_and_pixels():
    first, second = np.array([[5, 0.9], [6, 0.1]]), np.array([[6, 0.6], [5, 0.4]])
    assert agreement.agreement("classify", [first, first], [first, second]) == 0.5
    box, shifted, far = [1, 0.9, 0, 0, 10, 10], [1, 0.8, 1, 0, 11, 10], [1, 0.9, 8, 0, 18, 10]
    objects = [np.array([box, far])]
    assert agreement.agreement("detect", objects, objects) == 1
    assert agreement.agreement("detect", objects, [np.array([shifted])]) == pytest.approx(2 / 3)
    assert agreement.agreement("detect", [np.array([box, box])], [np.array([shifted])]) == pytest.approx(2 / 3)
    assert agreement.agreement("detect", [np.array([box])], [np.array([[2, *box[1:]]])]) == 0  # another class
    assert agreement.agreement("detect", [np.empty((0, 6))], [np.empty((0, 6))]) == 1
    assert agreement.agreement("segment", [np.array([[1, 2], [3, 3]])], [np.array([[1, 2], [3, 0]])]) == 0.75
    assert agreement.agreement("segment", [np.zeros((2, 2))], [np.zeros((1, 2))]) == 0


def test_tiles_that_pnnx_leaves_over_become_ncnns():
    pnnx = "torch.tile    torch.tile_36  1 1 86 87 dims=(1,1,65,65) $input=86 #86=(1,256,1,1)f32\n"
    ncnn = ["ReLU  relu  1 1 85 86", "torch.tile    torch.tile_36  1 1 86 87", "Concat  cat_0  2 1 87 84 88 0=0"]
    tiled = "Tile    torch.tile_36  1 1 86 87 -23302=3,1,65,65"
    assert conversion.write_tiles("\n".join(ncnn), pnnx).splitlines() == [ncnn[0], tiled, ncnn[2]]


def test_an_environment_is_made_once_and_a_failure_leaves_none(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    (tmp_path / "peer.txt").write_text("# 0 MB installed\n./nowhere-1.0-py3-none-any.whl\n")
    for _ in range(2):  # the second time it does not take the failure for an environment
        with pytest.raises(UnavailableError, match="the environment of peer cannot be installed: .*nowhere"):
            environments.python_of("peer", tmp_path / "environments")
    (tmp_path / "peer.txt").write_text("# 0 MB installed\n")
    python = environments.python_of("peer", tmp_path / "environments")
    assert subprocess.run([python, "-c", "import pip"], check=True).returncode == 0
    monkeypatch.setattr(environments, "run", lambda *_: pytest.fail("made again"))
    assert environments.python_of("peer", tmp_path / "environments") == python
