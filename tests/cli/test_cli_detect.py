"""``mnv2deploy detect`` as a user meets it: a process, its two streams and its exit code."""

import json
import shutil
import struct
import subprocess
import sys
import zlib

import cv2
import pytest


@pytest.fixture
def model(coco_artifact):
    return ["--model", coco_artifact]


def test_a_table_for_people(cli, photos, model):
    done = cli("detect", photos["coffee.png"], *model)
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == f"{photos['coffee.png']}  600x400"
    assert lines[1].split() == ["LABEL", "SCORE", "X1", "Y1", "X2", "Y2"]
    assert [line.split()[:-5] for line in lines[2:]] == [["cup"], ["dining", "table"]]


def test_json_lines_for_programs_in_input_order(cli, photos, model):
    names = [str(photos[name]) for name in ("coffee.png", "chelsea.png", "rocket.jpg")]
    done = cli("detect", *names, *model, "--json")
    assert done.returncode == 0
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [document["source"] for document in documents] == names
    assert set(documents[0]) == {"source", "width", "height", "detections"}
    cat = documents[1]["detections"][0]
    assert (cat["label"], cat["class_id"]) == ("cat", 17)
    assert 0.9 < cat["score"] < 1
    left, top, right, bottom = cat["box"]
    assert 0 <= left < right <= 451
    assert 0 <= top < bottom <= 300
    assert documents[2]["detections"] == []  # no rockets in COCO


def test_one_bad_picture_never_stops_the_others(cli, photos, model, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("this is not a picture")
    names = [str(photos["coffee.png"]), str(bad), str(tmp_path / "missing.png"), str(photos["chelsea.png"])]
    done = cli("detect", *names, *model, "--json")
    assert done.returncode == 3
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [document["source"] for document in documents] == names
    assert ["error" in document for document in documents] == [False, True, True, False]
    errors = done.stderr.splitlines()
    assert "bad.jpg" in errors[0]
    assert "missing.png" in errors[1]
    assert errors[2] == "2 of 4 pictures could not be read."


def test_o_draws_every_picture_and_leaves_the_inputs_alone(cli, photos, model, tmp_path):
    source = tmp_path / "in.png"
    shutil.copy(photos["coffee.png"], source)
    done = cli("detect", source, *model, "-o", tmp_path / "out.jpg", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["picture"] == str(tmp_path / "out.jpg")
    before, after = cv2.imread(str(source)), cv2.imread(str(tmp_path / "out.jpg"))
    assert before.shape == after.shape
    assert (cv2.absdiff(before, after) > 60).any(axis=2).mean() > 0.005  # boxes were drawn
    done = cli("detect", source, photos["chelsea.png"], *model, "-o", tmp_path / "drawn")
    assert done.returncode == 0
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["chelsea.png", "in.png"]
    assert source.read_bytes() == photos["coffee.png"].read_bytes()


def test_a_folder_stands_for_the_pictures_in_it(cli, photos, model, tmp_path):
    for name in ("coffee.png", "rocket.jpg"):
        shutil.copy(photos[name], tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    done = cli("detect", tmp_path, *model, "--json")
    assert done.returncode == 0
    sources = [json.loads(line)["source"] for line in done.stdout.splitlines()]
    assert sources == [str(tmp_path / "coffee.png"), str(tmp_path / "rocket.jpg")]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--score", "7"], 2, "score 7 is not between 0 and 1"),
        (["--classes", "cup", "--classes", "unicorn"], 2, "'unicorn'"),
        (["--classes", "Bycicle"], 2, "bicycle"),
        (["--classes", ""], 2, "empty name"),
        (["--threads", "1000000"], 2, "at most"),
        (["--model", "card.toml"], 2, "mnv2deploy export card.toml"),
        (["--provider", "tpu"], 7, "'tpu'"),
        (["--threads", "0"], 2, "threads 0"),
        (["--model", "unheard-of"], 2, "ssdlite-coco"),
        (["--model", "nowhere.onnx"], 2, "nowhere.onnx"),
        (["-o", "result.docx"], 2, "result.docx"),
        (["--no-such-option"], 2, "No such option"),
    ],
)
def test_wrong_usage_is_one_sentence_and_its_code(options, code, says, cli, photos, coco_artifact, tmp_path):
    model = [] if "--model" in options else ["--model", coco_artifact]
    done = cli("detect", photos["coffee.png"], *model, *options)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07" + bytes(1000)])
def test_a_model_that_is_none_is_exit_4(content, cli, photos, tmp_path):
    model = tmp_path / "model.onnx"
    model.write_bytes(content)
    done = cli("detect", photos["coffee.png"], "--model", model, "--json")
    assert done.returncode == 4
    assert done.stderr.startswith(f"Error: {model} ")
    assert len(done.stderr.splitlines()) == 1
    assert json.loads(done.stdout)["exit_code"] == 4


def test_no_model_and_no_build_extra_names_the_commands(cli, photos, tmp_path):
    blocked = tmp_path / "without_torch"
    blocked.mkdir()
    # What a machine without the extra looks like: find_spec has no torch.
    (blocked / "sitecustomize.py").write_text("import sys; sys.modules['torch'] = None\n")
    done = cli("detect", photos["coffee.png"], PYTHONPATH=str(blocked), MNV2DEPLOY_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 7
    assert "pip install 'mnv2deploy[build]'" in done.stderr
    assert "mnv2deploy export ssdlite-coco" in done.stderr


def test_the_default_artifact_is_built_once_and_said(cli, photos, cache, tmp_path):
    downloads = tmp_path / "cache" / "downloads"
    shutil.copytree(cache / "downloads", downloads)
    environment = {"MNV2DEPLOY_CACHE": str(tmp_path / "cache")}
    first = cli("detect", photos["chelsea.png"], "--offline", **environment)
    assert first.returncode == 0, first.stderr
    assert "Building the artifact of ssdlite-coco" in first.stderr
    second = cli("detect", photos["chelsea.png"], "--offline", **environment)
    assert second.returncode == 0
    assert second.stderr == ""
    assert first.stdout == second.stdout


def test_the_decoders_own_noise_never_reaches_the_terminal(cli, photos, model, tmp_path):
    """A PNG with a broken colour profile, a JPEG with junk between segments, one cut short, a PNG with a bad CRC."""
    encoded = {
        kind: cv2.imencode(kind, cv2.imread(str(photos["coffee.png"])))[1].tobytes() for kind in (".png", ".jpg")
    }
    png, jpeg = encoded[".png"], encoded[".jpg"]
    profile = b"iCCPx\0\0junk"
    noisy = {
        "profile.png": png[:33] + struct.pack(">I", 7) + profile + struct.pack(">I", zlib.crc32(profile)) + png[33:],
        "junk.jpg": jpeg[:20] + b"junk" + jpeg[20:],
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "crc.png": png[:60] + bytes([png[60] ^ 255]) + png[61:],
    }
    for name, content in noisy.items():
        (tmp_path / name).write_bytes(content)
    bare = subprocess.run(
        [sys.executable, "-c", "import cv2, sys; [cv2.imread(name) for name in sys.argv[1:]]", *noisy],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert len(bare.stderr.splitlines()) >= 3, "these files no longer make any noise"
    done = cli("detect", *(tmp_path / name for name in noisy), *model, "--json")
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    failed = [document["error"] for document in documents if "error" in document]
    assert done.returncode == 3
    assert [f"Error: {error}" for error in failed] == done.stderr.splitlines()[:-1]
    assert done.stderr.splitlines()[-1] == f"{len(failed)} of 4 pictures could not be read."
    assert "cut.jpg" in done.stderr
    assert "profile.png" not in done.stderr
