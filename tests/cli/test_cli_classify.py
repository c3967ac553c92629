"""``mnv2deploy classify`` as a user meets it: a process, its two streams and its exit code."""

import json
import shutil

import cv2
import numpy as np
import pytest


@pytest.fixture
def model(artifacts):
    return ["--model", artifacts["mobilenet-v2"]]


def test_a_table_for_people(cli, photos, model):
    done = cli("classify", photos["chelsea.png"], *model)
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == f"{photos['chelsea.png']}  451x300"
    assert lines[1].split() == ["LABEL", "SCORE"]
    assert len(lines) == 7
    assert lines[2].split()[-2] == "cat"
    scores = [float(line.split()[-1]) for line in lines[2:]]
    assert scores == sorted(scores, reverse=True)


def test_json_lines_for_programs_in_input_order(cli, photos, model):
    names = [str(photos[name]) for name in ("coffee.png", "chelsea.png", "rocket.jpg")]
    done = cli("classify", *names, *model, "--json", "--top", "3")
    assert done.returncode == 0
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [document["source"] for document in documents] == names
    for document in documents:
        assert set(document) == {"source", "width", "height", "classes"}
        assert len(document["classes"]) == 3
        assert all(set(one) == {"label", "class_id", "score"} for one in document["classes"])
    assert (documents[1]["width"], documents[1]["height"]) == (451, 300)
    coffee, cat, rocket = ([one["class_id"] for one in document["classes"]] for document in documents)
    assert coffee[0] == 967  # ImageNet's espresso
    assert cat[0] in range(281, 286)  # its house cats
    assert 812 in rocket  # its space shuttle


def test_one_bad_picture_never_stops_the_others(cli, photos, model, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("this is not a picture")
    names = [str(photos["coffee.png"]), str(bad), str(photos["chelsea.png"])]
    done = cli("classify", *names, *model, "--json", "-o", tmp_path / "drawn")
    assert done.returncode == 3
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [document["source"] for document in documents] == names
    assert ["error" in document for document in documents] == [False, True, False]
    assert [document.get("picture") for document in documents] == [
        str(tmp_path / "drawn" / "coffee.png"),
        None,
        str(tmp_path / "drawn" / "chelsea.png"),
    ]
    assert done.stderr.splitlines()[-1] == "1 of 3 pictures could not be read."


def test_grey_see_through_and_single_pixel_pictures(cli, photos, model, tmp_path):
    colour = cv2.imread(str(photos["chelsea.png"]))
    grey = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([colour, np.full_like(grey, 255)]))
    cv2.imwrite(str(tmp_path / "dot.png"), colour[:1, :1])
    done = cli("classify", tmp_path, *model, "--json", "-o", tmp_path / "drawn")
    assert done.returncode == 0, done.stderr
    alpha, dot, grey = (json.loads(line) for line in done.stdout.splitlines())
    assert "cat" in alpha["classes"][0]["label"]
    assert (dot["width"], dot["height"]) == (1, 1)
    assert "cat" in grey["classes"][0]["label"]
    sizes = {path.name: cv2.imread(str(path)).shape for path in (tmp_path / "drawn").iterdir()}
    assert sizes == {"alpha.png": (300, 451, 3), "dot.png": (1, 1, 3), "grey.png": (300, 451, 3)}


def test_o_draws_a_panel_and_leaves_the_input_alone(cli, photos, model, tmp_path):
    source = tmp_path / "in.png"
    shutil.copy(photos["coffee.png"], source)
    done = cli("classify", source, *model, "-o", tmp_path / "out.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"  drawn in {tmp_path / 'out.png'}"
    before, after = cv2.imread(str(source)), cv2.imread(str(tmp_path / "out.png"))
    different = (before != after).any(axis=2)
    assert different[:80, :150].mean() > 0.9
    assert not different[100:].any()
    assert source.read_bytes() == photos["coffee.png"].read_bytes()


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--top", "0"], 2, "top 0"),
        (["--top", "many"], 2, "many"),
        (["--model", "unheard-of"], 2, "mobilenet-v2"),
        (["-o", "result.docx"], 2, "result.docx"),
        (["--score", "0.5"], 2, "No such option"),
    ],
)
def test_wrong_usage_is_one_sentence_and_its_code(options, code, says, cli, photos, artifacts):
    model = [] if "--model" in options else ["--model", artifacts["mobilenet-v2"]]
    done = cli("classify", photos["coffee.png"], *model, *options)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("command", "other"), [("classify", "deeplabv3-voc"), ("segment", "mobilenet-v2"), ("detect", "mobilenet-v2")]
)
def test_a_model_of_another_task_is_exit_4(command, other, cli, photos, artifacts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli(command, photos["coffee.png"], "--model", artifacts[other], "--json")
    assert done.returncode == 4
    assert f"Error: {artifacts[other]} is a model to " in done.stderr
    assert json.loads(done.stdout)["exit_code"] == 4
    assert list(tmp_path.iterdir()) == []
