"""``mnv2deploy evaluate`` as a user meets it: tables, JSON, files and exit codes."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import mnv2deploy
from mnv2deploy.cli.evaluate import _FORMATS
from mnv2deploy.cli.evaluation_report import Report
from mnv2deploy.evaluation.layouts import TASKS
from mnv2deploy.evaluation.measuring import Difference, Evaluation, Measurement

sys.path.insert(0, str(Path(__file__).parent.parent / "evaluation"))
from tiny_models import BLUE, GREEN, RED, save_mask, save_picture, tiny_classifier, tiny_segmenter

LABELS = {3: "red", 5: "green", 9: "blue"}
COLOURS = {"red": RED, "green": GREEN, "blue": BLUE}
MASK_LABELS = {0: "red", 1: "green", 2: "blue"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder: a good and a bad classifier, and ``val`` with 8 pictures of each of three classes."""
    monkeypatch.chdir(tmp_path)
    tiny_classifier(tmp_path / "good.onnx", LABELS)
    tiny_classifier(tmp_path / "bad.onnx", LABELS, ((0, 0, 9), (0, 9, 0), (0, 0, 9)))  # red is blue
    for name, colour in COLOURS.items():
        for number in range(8):
            save_picture(tmp_path / f"val/{name}/{number}.png", colour)
    return tmp_path


@pytest.fixture
def masks(tmp_path, monkeypatch):
    """The working folder: a segmenter, and ``set`` with two pictures and their masks, one of them not all labelled."""
    monkeypatch.chdir(tmp_path)
    tiny_segmenter(tmp_path / "masks.onnx", MASK_LABELS)
    for name, values in (("a", (0, 1, 2, 0)), ("b", (0, 1, 255, 0))):
        save_picture(tmp_path / f"set/images/{name}.png", RED, GREEN, BLUE, RED, height=16, width=48)
        save_mask(tmp_path / f"set/masks/{name}.png", *values, height=16, width=48)
    return tmp_path


def test_a_table_of_one_model(cli, here):
    done = cli("evaluate", "good.onnx", "val")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "good on 24 pictures of val (imagenet)",
        "",
        "METRIC             VALUE  95 % INTERVAL",
        "top-1              100.0",
        "calibration error    0.0",
        "",
        "No interval is given for top-1, calibration error. The calibration error is",
        "better the lower it is.",
    ]


def test_a_table_of_two_says_what_is_certain(cli, here):
    done = cli("evaluate", "good.onnx", "bad.onnx", "good.onnx", "val")
    assert done.returncode == 0, done.stderr
    rows = [re.split(r"  +", line.strip()) for line in done.stdout.splitlines()]
    assert rows[0] == ["24 pictures of val (imagenet)"]
    assert rows[2] == ["METRIC", "MODEL", "VALUE", "DIFFERENCE", "95 % OF DIFFERENCE"]
    assert rows[3] == ["top-1", "good.onnx", "100.0"]
    assert rows[4][:3] == ["bad.onnx", "66.7", "-33.3"]
    assert rows[4][4] == "lower"
    assert rows[5] == ["good.onnx", "100.0", "+0.0", "+0.0 to +0.0", "same"]
    words = " ".join(done.stdout.split())
    assert "Differences are to good.onnx, on the same pictures. No interval is given for calibration error." in words
    assert "unclear" not in words
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_an_unclear_difference_and_one_that_rounding_hides_are_explained():
    def compared(base, other, interval):
        models = [Measurement([], {"AP": value}, {}) for value in (base, other)]
        difference = Difference({"AP": other - base}, {"AP": interval})
        evaluation = Evaluation([None] * 20, models, [difference], [])
        dataset = SimpleNamespace(items=evaluation.items, format="coco")
        models = [("a", Path("a")), ("b", Path("b"))]
        return " ".join(Report(Path("set"), dataset, 20, models, evaluation).to_text(per_class=False).split())

    plain = "Differences are to a, on the same pictures."
    assert compared(0.5, 0.25, (-0.3, -0.2)).endswith(plain)
    assert compared(0.0793, 0.0716, (-0.02, -0.001)).endswith(f"{plain} They are taken before rounding.")
    assert compared(0.5, 0.25, (-0.3, 0.1)).endswith(
        f"{plain} Where they are unclear, other pictures might as well show none, or the opposite."
    )


def test_json_has_everything_in_one_document(cli, here):
    done = cli("evaluate", "good.onnx", "bad.onnx", "val", "--json", "--per-class")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["dataset"] == {"path": "val", "format": "imagenet", "pictures": 24, "pictures_in_set": 24}
    good, bad = document["models"]
    assert (good["model"], good["path"]) == ("good.onnx", "good.onnx")
    assert good["sha256"] == hashlib.sha256((here / "good.onnx").read_bytes()).hexdigest()
    assert good["metrics"]["top_1"] == 1
    assert bad["metrics"]["top_1"] == pytest.approx(16 / 24)
    low, high = bad["intervals"]["top_1"]
    assert low < 16 / 24 < high
    assert bad["per_class"] == [
        {"class_id": 3, "label": "red", "pictures": 8, "top_1": 0},
        {"class_id": 5, "label": "green", "pictures": 8, "top_1": 1},
        {"class_id": 9, "label": "blue", "pictures": 8, "top_1": 1},
    ]
    (difference,) = document["differences"]
    assert (difference["model"], difference["baseline"]) == ("bad.onnx", "good.onnx")
    assert difference["metrics"]["top_1"] == pytest.approx(-8 / 24)
    assert difference["distinguishable"] == {"top_1": True}
    assert set(difference["intervals"]) == {"top_1"}
    assert document["failures"] == []


def test_the_numbers_do_not_depend_on_threads_or_batches(cli, here):
    printed = [
        cli("evaluate", "bad.onnx", "val", "--json", *more).stdout
        for more in ([], ["--threads", "1"], ["--threads", "3"], ["--batch", "5"], ["--threads", "2", "--batch", "24"])
    ]
    assert len(set(printed)) == 1
    assert json.loads(printed[0])["models"]


def test_a_limit_spreads_over_the_classes(cli, here):
    done = cli("evaluate", "bad.onnx", "val", "--limit", "3", "--per-class")
    lines = done.stdout.splitlines()
    assert lines[0] == "bad on 3 pictures of 24, evenly spaced, of val (imagenet)"
    assert "\nFewer than 20 pictures are too few for intervals." in done.stdout
    assert "No interval" not in done.stdout
    assert [line.split() for line in lines[-4:]] == [
        ["CLASS", "ID", "PICTURES", "TOP-1"],
        ["red", "3", "1", "0.0"],
        ["green", "5", "1", "100.0"],
        ["blue", "9", "1", "100.0"],
    ]
    document = json.loads(cli("evaluate", "bad.onnx", "val", "--limit", "3", "--json").stdout)
    assert (document["dataset"]["pictures"], document["dataset"]["pictures_in_set"]) == (3, 24)
    assert "per_class" not in document["models"][0]


def test_confusion_and_predictions_are_written(cli, here):
    done = cli("evaluate", "bad.onnx", "val", "--confusion", "c.csv", "--save-predictions", "p.jsonl", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (here / "c.csv").read_text().splitlines()[1] == "3,red,0,0,8"
    lines = [json.loads(line) for line in (here / "p.jsonl").read_text().splitlines()]
    assert len(lines) == 24
    assert lines[0]["file"] == "val/blue/0.png"
    assert lines[0]["true_class_id"] == 9
    assert [one["class_id"] for one in lines[0]["classes"]] == [9, 3, 5]
    assert sum(one["score"] for one in lines[0]["classes"]) == pytest.approx(1, abs=1e-5)
    assert lines[0]["classes"] == mnv2deploy.load("bad.onnx")("val/blue/0.png").to_json()["classes"]


@pytest.mark.parametrize("option", ["--save-predictions", "--confusion"])
@pytest.mark.parametrize("output", ["listed/labels.csv", "./listed/../link.csv", "listed/0.csv", "good.csv"])
def test_nothing_that_is_measured_is_overwritten(option, output, cli, here):
    """Whatever it is called: the labels, under a link's name too, a picture that --limit leaves out, the model."""
    (here / "listed").mkdir()
    for number in range(3):
        (here / f"listed/{number}.csv").hardlink_to(here / f"val/red/{number}.png")
    (here / "listed/labels.csv").write_text("file,class_index\n1.csv,3\n2.csv,3\n0.csv,3\n")
    (here / "link.csv").symlink_to("listed/labels.csv")
    (here / "good.csv").hardlink_to(here / "good.onnx")
    before = (here / output).read_bytes()
    done = cli("evaluate", "good.onnx", "listed", "--limit", "1", option, output)
    assert done.returncode == 2
    assert f"{option} {Path(output)} would overwrite " in done.stderr
    assert (here / output).read_bytes() == before
    (here / "other.csv").write_text("old")
    assert cli("evaluate", "good.onnx", "listed", option, "other.csv").returncode == 0
    assert (here / "other.csv").read_text() != "old"


def test_masks_are_measured_and_written_by_name(cli, masks):
    done = cli("evaluate", "masks.onnx", "set", "--json", "--per-class", "--save-predictions", "new")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["dataset"]["format"] == "voc"
    (model,) = document["models"]
    assert model["metrics"] == {"mean_iou": 1, "pixel_accuracy": 1, "mean_accuracy": 1}
    assert [one["pixels"] for one in model["per_class"]] == [768, 384, 192]
    assert sorted(path.name for path in (masks / "new").iterdir()) == ["a.png", "b.png"]
    with Image.open(masks / "new/b.png") as mask:
        assert mask.mode == "P"
        np.testing.assert_array_equal(np.array(mask), mnv2deploy.load("masks.onnx")("set/images/b.png").mask)
    again = cli("evaluate", "masks.onnx", "set", "--save-predictions", "new")
    assert (again.returncode, "new is not an empty folder" in again.stderr) == (2, True)
    over = cli("evaluate", "masks.onnx", "set", "--save-predictions", "set/masks")
    assert over.returncode == 2
    with Image.open(masks / "set/masks/a.png") as mask:
        assert mask.mode == "L"


def test_detections_are_measured_and_written_as_coco_results(cli, tmp_path, photos, coco_artifact):
    """The cat and the cup of the sample photos, labelled by hand."""
    labelled = {"chelsea.png": (451, 300, 17, [0, 2, 400, 296]), "coffee.png": (600, 400, 47, [173, 22, 241, 228])}
    for name in labelled:
        (tmp_path / name).symlink_to(photos[name])
    rows = list(enumerate(labelled.items(), start=1))
    instances = {
        "images": [{"id": i, "file_name": name, "width": w, "height": h} for i, (name, (w, h, _, _)) in rows],
        "annotations": [
            {"id": i, "image_id": i, "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for i, (_, (_, _, category, box)) in rows
        ],
        "categories": [{"id": 17, "name": "cat"}, {"id": 47, "name": "cup"}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    done = cli("evaluate", coco_artifact, tmp_path, "--json", "--save-predictions", tmp_path / "results.json")
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)["models"][0]["metrics"]
    assert metrics["AP50"] == 1
    results = json.loads((tmp_path / "results.json").read_text())
    best = {entry["image_id"]: entry for entry in sorted(results, key=lambda entry: entry["score"])}
    assert {image: entry["category_id"] for image, entry in best.items()} == {1: 17, 2: 47}


def test_a_picture_that_cannot_be_decoded_is_listed_and_the_others_measured(cli, here):
    picture = here / "val/red/3.png"
    picture.write_bytes(picture.read_bytes()[:60])
    done = cli("evaluate", "good.onnx", "val", "--json")
    assert done.returncode == 3
    document = json.loads(done.stdout)
    assert document["dataset"]["pictures"] == 23
    assert document["models"][0]["metrics"]["top_1"] == 1
    (failure,) = document["failures"]
    assert failure["file"] == "val/red/3.png"
    assert f"Error: {failure['error']}" in done.stderr.splitlines()
    assert "1 of 24 pictures could not be measured." in done.stderr


def test_what_is_wrong_with_a_set_is_listed_before_anything_runs(cli, here):
    for number in range(8):
        (here / f"val/red/{number}.png").write_bytes(b"")
    (here / "val/red").rename(here / "val/rouge")
    done = cli("evaluate", "good.onnx", "val", "--json", "--save-predictions", "p.jsonl")
    assert done.returncode == 3
    assert done.stderr.startswith("Error: val cannot be measured on as it is (imagenet), 9 problems:\n")
    assert "class 'rouge' is no class of the model tiny (8 pictures)" in done.stderr
    assert done.stderr.count("is empty") == 8
    assert json.loads(done.stdout)["exit_code"] == 3
    assert not (here / "p.jsonl").exists()


def test_a_long_list_of_problems_is_cut(cli, here):
    for name in COLOURS:
        for number in range(8):
            (here / f"val/{name}/{number}.png").write_bytes(b"")
    lines = cli("evaluate", "good.onnx", "val").stderr.splitlines()
    assert (len(lines), lines[-1]) == (22, "  and 4 more")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "MODEL... DATASET"),
        (["good.onnx"], 2, "No data set was given to measure good.onnx on: mnv2deploy evaluate good.onnx DATASET"),
        (["val"], 2, "No model was given to measure on val"),
        (["val", "good.onnx"], 2, "good.onnx is a model; the data set comes last"),
        (["val", "mobilenet-v2"], 2, "mobilenet-v2 is a model; the data set comes last"),
        (["val", "val"], 2, "val is a folder, not a model"),
        (["mobilnet-v2", "val"], 2, "Did you mean mobilenet-v2?"),
        (["good.onnx", "nowhere"], 3, "nowhere does not exist"),
        (["good.onnx", "."], 3, "none of the labelled sets"),
        (["good.onnx", "val", "--format", "lvis"], 2, "one of imagenet, coco, voc, ade20k, cityscapes"),
        (["good.onnx", "set", "--format", "cityscapes"], 4, "good.onnx is a model to classify with"),
        (["masks.onnx", "val"], 4, "masks.onnx is a model to segment with, and val (imagenet) is labelled for"),
        (["good.onnx", "masks.onnx", "val"], 4, "masks.onnx is a model to segment with"),
        (["masks.onnx", "val", "--format", "cityscapes"], 3, "it looks like imagenet: leave --format out"),
        (["good.onnx", "val", "--batch", "0"], 2, "--batch 0"),
        (["good.onnx", "val", "--limit", "0"], 2, "--limit 0"),
        (["good.onnx", "val", "--threads", "0"], 2, "--threads 0"),
        (["good.onnx", "val", "--threads", "100000"], 2, "8 a processor"),
        (["fixed.onnx", "val", "--batch", "4"], 2, "the graph of fixed.onnx takes 1 in each run"),
        (["nowhere.onnx", "val"], 2, "nowhere.onnx: there is no such file"),
        (["unheard-of", "val"], 2, "unheard-of"),
        (["good.onnx", "val", "--provider", "tpu"], 7, "tpu"),
        (["good.onnx", "good.onnx", "val", "--save-predictions", "p.jsonl"], 2, "--save-predictions p.jsonl is for"),
        (["good.onnx", "good.onnx", "val", "--confusion", "c.csv"], 2, "--confusion c.csv is for"),
        (["good.onnx", "val", "--confusion", "c.pdf"], 2, "should end in .csv"),
        (["good.onnx", "val", "--confusion", "no/c.csv"], 2, "there is no folder no; make it first"),
        (["good.onnx", "val", "--save-predictions", "val"], 2, "val: that is a folder; name a file"),
        (["masks.onnx", "set", "--save-predictions", "good.onnx"], 2, "good.onnx is a file; name a new folder"),
        (["good.onnx", "val", "--save-predictions", "a.csv", "--confusion", "./a.csv"], 2, "name two files"),
        (["masks.onnx", "set", "--format", "voc", "--confusion", "c.csv"], 2, "for models to classify with"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(arguments, code, says, cli, here):
    tiny_segmenter(here / "masks.onnx", MASK_LABELS)
    save_picture(here / "set/images/a.png", RED)
    save_mask(here / "set/masks/a.png", 0)
    tiny_classifier(here / "fixed.onnx", LABELS, batch=1)
    done = cli("evaluate", *arguments)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_help_loads_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mnv2deploy", "evaluate", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "mnv2deploy.cli.options" in loaded
    assert not loaded & {"numpy", "cv2", "onnxruntime", "onnx", "torch", "matplotlib", "rich"}


def test_the_formats_of_the_help_are_those_there_are():
    assert list(_FORMATS) == list(TASKS)
