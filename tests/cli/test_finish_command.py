"""`mnv2deploy finish` as its users run it, and the commands that run what it makes."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import onnx
import pytest

from mnv2deploy.cli.finish import finish
from mnv2deploy.errors import MissingDependencyError
from mnv2deploy.runtime.session import Session

sys.path.insert(0, str(Path(__file__).parent.parent / "evaluation"))
from tiny_models import BLUE, GREEN, RED, save_picture, tiny_classifier, tiny_segmenter

LABELS = {3: "red", 5: "green", 9: "blue"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder, with a small classifier and segmenter and labelled pictures."""
    monkeypatch.chdir(tmp_path)
    tiny_classifier(tmp_path / "raw.onnx", LABELS)
    tiny_segmenter(tmp_path / "masks.onnx", LABELS)
    for name, colour in {"red": RED, "green": GREEN, "blue": BLUE}.items():
        for number in range(2):
            save_picture(tmp_path / f"val/{name}/{number}.png", colour)
    return tmp_path


def test_it_says_what_it_wrote(cli, here):
    done = cli("finish", "raw.onnx", "-o", "done.onnx", "--input", "uint8", "--end-to-end")
    assert (done.returncode, done.stderr) == (0, "")
    digest = hashlib.sha256((here / "done.onnx").read_bytes()).hexdigest()
    first, _, header, *lines = done.stdout.splitlines()
    assert first == f"done.onnx  0.0 MB  sha256 {digest}"
    assert header == "CONTRACT"
    shown = {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in lines}
    assert shown["input"] == "images (N, 8, 8, 3) uint8, NHWC"
    assert shown["outputs"] == "scores (class_scores), class_ids (class_ids)"
    assert shown["decoding"] == "in the graph: activation softmax, top 5"


def test_json_is_one_document_and_quiet_is_quiet(cli, here):
    done = cli("finish", "masks.onnx", "-o", "new/done.onnx", "--end-to-end", "--json")
    document = json.loads(done.stdout)
    assert document["outputs"] == [{"name": "mask", "meaning": "mask"}]
    assert document["input"]["dtype"] == "float32"
    assert document["size"] == (here / "new/done.onnx").stat().st_size
    assert (document["path"], len(document["sha256"])) == ("new/done.onnx", 64)
    done = cli("finish", "masks.onnx", "-o", "again.onnx", "--end-to-end", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (here / "again.onnx").read_bytes() == (here / "new/done.onnx").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["raw.onnx", "-o", "x.onnx"], "Say what is to go into the graph of raw.onnx"),
        (["raw.onnx", "-o", "x.onnx", "--input", "float32"], "--input float32: it should be uint8"),
        (["raw.onnx", "-o", "x.tflite", "--end-to-end"], "an artifact's name ends in .onnx"),
        (["raw.onnx", "-o", "raw.onnx", "--end-to-end"], "is the artifact itself"),
        (["raw.onnx", "-o", "folder.onnx", "--end-to-end"], "is a folder"),
        (["raw.onnx", "-o", "x.onnx", "--end-to-end", "--score", "0.1"], "a model to detect with"),
        (["nowhere.onnx", "-o", "x.onnx", "--end-to-end"], "there is no such file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_2(arguments, says, cli, here):
    (here / "folder.onnx").mkdir()
    before = sorted(here.iterdir())
    done = cli("finish", *arguments)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert done.stderr.startswith("Error: ")
    assert sorted(here.iterdir()) == before


def test_without_onnx_the_extra_is_named(here, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'mnv2deploy\[build\]'"):
        finish("raw.onnx", Path("x.onnx"), end_to_end=True)


def test_every_command_runs_a_finished_artifact(cli, here):
    for model in ("raw.onnx", "masks.onnx"):
        assert cli("finish", model, "-o", f"done-{model}", "--input", "uint8", "--end-to-end").returncode == 0
    raw, done = (cli("classify", "val/green/0.png", "--model", model) for model in ("raw.onnx", "done-raw.onnx"))
    assert "green" in raw.stdout.splitlines()[2]
    assert done.stdout == raw.stdout
    for model in ("masks.onnx", "done-masks.onnx"):
        assert cli("segment", "val/blue/1.png", "--model", model, "-o", model.partition(".")[0]).returncode == 0
    assert Path("masks/1.mask.png").read_bytes() == Path("done-masks/1.mask.png").read_bytes()
    raw, done = (json.loads(cli("evaluate", model, "val", "--json").stdout) for model in ("raw.onnx", "done-raw.onnx"))
    assert done["models"][0]["metrics"]["top_1"] == raw["models"][0]["metrics"]["top_1"] == 1
    shown = cli("inspect", "done-masks.onnx").stdout
    assert "mask (mask)" in shown
    assert "in the graph: align corners False" in shown
    timed = cli(
        "bench", "done-raw.onnx", "raw.onnx", "--pipeline", "--pictures", "val/red/0.png", "--seconds", "0.1", "--json"
    )
    assert timed.returncode == 0, timed.stderr


def test_detectors_are_finished_with_a_threshold_of_their_own(cli, coco_artifact, photos, tmp_path):
    low, done = tmp_path / "low.onnx", tmp_path / "done.onnx"
    for path, more in ((done, []), (low, ["--score", "0.1"])):
        assert cli("finish", coco_artifact, "-o", path, "--end-to-end", *more).returncode == 0
    assert (Session(done).contract.decoding.score_threshold, Session(low).contract.decoding.score_threshold) == (
        0.5,
        0.1,
    )
    shown = [
        cli("detect", photos["coffee.png"], "--model", model, *more, "--json").stdout
        for model, more in ((coco_artifact, []), (done, []), (coco_artifact, ["--score", "0.1"]), (low, []))
    ]
    assert json.loads(shown[0])["detections"]
    assert shown[1] == shown[0] != shown[2] == shown[3]
    refused = cli("detect", photos["coffee.png"], "--model", done, "--iou", "0.5")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "leave iou out" in refused.stderr
    assert onnx.load(done).metadata_props[0].key == "mnv2deploy"
