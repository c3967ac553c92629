"""The other commands, and what becomes of errors."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import mnv2deploy
from mnv2deploy import errors
from mnv2deploy.cli.app import COMMANDS


def test_models_as_a_table_and_as_json(cli):
    table = cli("models").stdout.splitlines()
    assert table[0].split()[:2] == ["NAME", "TASK"]
    assert table[-1].startswith("by hand: 'mnv2deploy inspect NAME' says where")
    names = [line.split()[0] for line in table[1:-2]]
    documents = json.loads(cli("models", "--json").stdout)["models"]
    assert names == sorted(names) == [document["name"] for document in documents]
    card = documents[names.index("ssdlite-coco")]
    assert card["weights"]["licence"] == "Apache-2.0"
    assert card["published"][0]["value"] == 22.1
    assert len(card["labels"]) == 80


def test_version_and_help(cli):
    assert cli("--version").stdout == f"mnv2deploy {mnv2deploy.__version__}\n"
    help_text = cli("--help").stdout
    for name, line in COMMANDS.items():
        function = getattr(import_module(f"mnv2deploy.cli.{name}"), name)
        assert line == inspect.getdoc(function).splitlines()[0]
        assert re.search(rf"^  {name} +{re.escape(line[:40])}", help_text, re.MULTILINE)
    assert cli().returncode == 2  # no command: the help, as wrong usage


def test_exit_codes_are_those_documented():
    codes = {name: kind.exit_code for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert codes == {
        "Mnv2deployError": 1,
        "UsageError": 2,
        "InputError": 3,
        "ModelError": 4,
        "CheckpointError": 4,
        "VerificationError": 5,
        "DownloadError": 6,
        "MissingDependencyError": 7,
    }


def test_export_prints_what_it_measured(cli, tmp_path):
    done = cli("export", "ssdlite-pedestrian", "-o", tmp_path / "a.onnx", "--no-simplify")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert f"{tmp_path / 'a.onnx'}  12.1 MB  sha256 " in done.stdout
    assert "opset 18, runs in onnxruntime 1.15 and later" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()[-6:]]
    assert [row[:2] for row in rows] == [[name, batch] for batch in "125" for name in ("class_logits", "box_encodings")]
    assert all(float(row[4]) < 1e-4 for row in rows)


def test_export_reads_a_recipe_and_answers_in_json(cli, tmp_path):
    recipe = tmp_path / "small.toml"
    recipe.write_text('model = "ssdlite-pedestrian"\n[export]\nopset = 20\nsimplify = false\n')
    done = cli("export", recipe, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["path"] == str(tmp_path / "build" / "small.onnx")
    assert (document["opset"], document["minimum_onnxruntime"], document["simplified"]) == (20, "1.17", False)
    assert len(document["parity"]) == 6


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["export", "unheard-of"], 2, "ssdlite-coco-mmdet, ssdlite-pedestrian"),
        (["export", "ssdlite-coco", "-o", "model.bin"], 2, "model.bin"),
        (["export", "ssdlite-coco", "--opset", "3"], 2, "18 to 23"),
        (["export", "ssdlite-pedestrian", "--weights", "nowhere.pb"], 2, "nowhere.pb"),
        (["export", "ssdlite-pedestrian", "-o", "/dev/null/a.onnx"], 2, "/dev/null"),
        (["pull", "unheard-of"], 2, "ssdlite-coco"),
        (["export", "nowhere.toml"], 2, "nowhere.toml"),
    ],
)
def test_wrong_usage_is_one_sentence_and_its_code(arguments, code, says, cli):
    done = cli(*arguments)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_with_json_errors_are_json_too(cli):
    for arguments, code in (
        (["pull", "unheard-of", "--json"], 2),
        (["detect", "--json"], 2),
        (["models", "--json", "-x"], 2),
    ):
        done = cli(*arguments)
        assert done.returncode == code
        document = json.loads(done.stdout)
        assert document["exit_code"] == code
        assert document["error"] in done.stderr


def test_a_checkpoint_that_is_none_is_exit_4(cli, tmp_path):
    (tmp_path / "bad.pb").write_text("no graph")
    done = cli("export", "ssdlite-pedestrian", "--weights", tmp_path / "bad.pb", "-o", tmp_path / "a.onnx")
    assert done.returncode == 4
    assert done.stderr.startswith(f"Error: {tmp_path / 'bad.pb'} is not a frozen TensorFlow graph")
    assert not (tmp_path / "a.onnx").exists()


def test_a_bug_shows_its_traceback_and_exits_1(tmp_path):
    code = "import mnv2deploy.cli.app as a; a.app = lambda **_: 1 / 0; a.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_a_reader_that_leaves_early_is_no_error(coco_artifact, photos):
    pictures = [str(photos["rocket.jpg"])] * 30
    command = [sys.executable, "-m", "mnv2deploy", "detect", *pictures, "--model", str(coco_artifact), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 0


def test_pull_is_offline_when_told(cli, cache, tmp_path):
    done = cli("pull", "ssdlite-coco", "--offline", MNV2DEPLOY_CACHE=str(tmp_path / "empty"))
    assert done.returncode == 6
    assert "ssdlite-coco" in done.stderr
    shutil.copytree(cache / "downloads", tmp_path / "full" / "downloads")
    done = cli("pull", "ssdlite-coco", "--offline", "--json", MNV2DEPLOY_CACHE=str(tmp_path / "full"))
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout)["files"]
    assert files[0]["name"] == "model.json"
    assert len(files) == 6
    assert all(file["cached"] for file in files)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_sentence(coco_artifact, photos):
    command = [sys.executable, "-m", "mnv2deploy", "detect", str(photos["rocket.jpg"]), "--model", str(coco_artifact)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 7
    assert done.stderr == "Error: the output could not be written: No space left on device.\n"


def test_a_name_that_is_no_text_stays_json(cli, coco_artifact, photos, tmp_path):
    picture = tmp_path / os.fsdecode(b"bad\xff.png")
    picture.write_bytes(photos["rocket.jpg"].read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "mnv2deploy", "detect", picture, "--model", coco_artifact, "--json"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout.decode("utf-8"))["source"] == str(picture)
