"""``mnv2deploy segment`` as a user meets it: a process, the files it writes and its exit code."""

import json
import shutil

import cv2
import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from PIL import Image

import mnv2deploy

PNG = "chelsea.png"


@pytest.fixture
def model(artifacts):
    return ["--model", artifacts["deeplabv3-voc"]]


@pytest.fixture
def here(tmp_path, monkeypatch, photos):
    """The working folder, with a cat in ``in/cat.png``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    shutil.copy(photos[PNG], tmp_path / "in" / "cat.png")
    return tmp_path


def ids_in(path):
    """The pixel values of an indexed PNG."""
    with Image.open(path) as picture:
        assert picture.mode == "P"
        return np.array(picture)


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


def files(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_a_mask_and_an_overlay_land_in_the_working_folder(cli, here, model, photos, artifacts):
    done = cli("segment", "in/cat.png", *model)
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "in/cat.png  451x300"
    assert lines[1].split() == ["LABEL", "PIXELS", "SHARE"]
    assert [line.split()[0] for line in lines[2:4]] == ["cat", "background"]
    assert lines[-2:] == ["  mask in cat.mask.png", "  overlay in cat.overlay.png"]
    assert files(here) == ["cat.mask.png", "cat.overlay.png"]
    assert (here / "in" / "cat.png").read_bytes() == photos[PNG].read_bytes()
    expected = mnv2deploy.load(artifacts["deeplabv3-voc"])(photos[PNG]).mask
    np.testing.assert_array_equal(ids_in(here / "cat.mask.png"), expected)
    with Image.open(here / "cat.mask.png") as mask:
        assert mask.getpalette()[24:27] == [64, 0, 0]  # VOC's colour of cats, 8
        assert len(mask.getpalette()) == 3 * 21  # the same in every mask of the model
    before, after = cv2.imread(str(photos[PNG])), cv2.imread(str(here / "cat.overlay.png"))
    different = (before != after).any(axis=2)
    assert different[expected == 8].mean() > 0.99
    assert different[expected == 0].mean() < 0.25  # the legend and the outline


def test_json_says_what_is_there_and_where_it_was_written(cli, here, model):
    done = cli("segment", "in/cat.png", *model, "-o", "out", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert set(document) == {"source", "width", "height", "segments", "mask", "overlay"}
    assert (document["source"], document["width"], document["height"]) == ("in/cat.png", 451, 300)
    assert (document["mask"], document["overlay"]) == ("out/cat.mask.png", "out/cat.overlay.png")
    mask = ids_in(here / document["mask"])
    counts = {int(k): int(n) for k, n in zip(*np.unique(mask, return_counts=True), strict=True)}
    assert {one["class_id"]: one["pixels"] for one in document["segments"]} == counts
    for one in document["segments"]:
        assert set(one) == {"label", "class_id", "pixels", "share"}
        assert one["share"] == pytest.approx(one["pixels"] / mask.size, abs=1e-6)


def test_rle_is_read_by_the_peers_as_the_mask(cli, here, model):
    done = cli("segment", "in/cat.png", *model, "--json", "--rle", "--no-overlay")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert "overlay" not in document
    assert files(here) == ["cat.mask.png"]
    mask = ids_in(here / document["mask"])
    for one in document["segments"]:
        rle = {**one["rle"], "counts": one["rle"]["counts"].encode()}
        np.testing.assert_array_equal(coco_mask.decode(rle), mask == one["class_id"])


def test_equal_names_from_different_folders_are_told_apart(cli, here, model, photos):
    for folder in ("one", "two"):
        (here / folder).mkdir()
        shutil.copy(photos["rocket.jpg"], here / folder / "cat.jpg")
    done = cli("segment", "in/cat.png", "one", "two", *model, "--json", "-o", "out")
    assert done.returncode == 0, done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(document["mask"], document["overlay"]) for document in documents] == [
        ("out/cat.mask.png", "out/cat.overlay.png"),
        ("out/cat-2.mask.png", "out/cat-2.overlay.jpg"),
        ("out/cat-3.mask.png", "out/cat-3.overlay.jpg"),
    ]
    assert len(files(here / "out")) == 6
    assert size_of(here / "out" / "cat-2.mask.png") == (640, 427)


def test_one_bad_picture_never_stops_the_others(cli, here, model):
    (here / "in" / "bad.jpg").write_text("this is not a picture")
    (here / "empty").mkdir()
    done = cli("segment", "in", "empty", "in/cat.png", *model, "--json")
    assert done.returncode == 3
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["error" in document for document in documents] == [True, False, True, False]
    assert [document.get("mask") for document in documents] == [None, "cat.mask.png", None, "cat-2.mask.png"]
    assert done.stderr.splitlines()[-1] == "2 of 4 pictures could not be read."
    assert files(here) == ["cat-2.mask.png", "cat-2.overlay.png", "cat.mask.png", "cat.overlay.png"]


def test_grey_see_through_and_single_pixel_pictures(cli, here, model, photos):
    colour = cv2.imread(str(photos[PNG]))
    grey = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    cv2.imwrite("in/grey.png", grey)
    cv2.imwrite("in/alpha.png", np.dstack([colour, np.full_like(grey, 255)]))
    cv2.imwrite("in/dot.png", colour[:1, :1])
    done = cli("segment", "in", *model, "--json")
    assert done.returncode == 0, done.stderr
    alpha, cat, dot, grey = (json.loads(line) for line in done.stdout.splitlines())
    assert alpha["segments"] == cat["segments"]
    assert grey["segments"][0]["label"] == "cat"
    assert [one["pixels"] for one in dot["segments"]] == [1]
    for document in (alpha, cat, dot, grey):
        for file in (document["mask"], document["overlay"]):
            assert size_of(here / file) == (document["width"], document["height"])


def test_a_second_run_replaces_its_files_but_never_an_input(cli, here, model):
    for _ in range(2):
        done = cli("segment", "in/cat.png", *model, "--no-overlay", "-o", "in")
        assert done.returncode == 0, done.stderr
    assert files(here / "in") == ["cat.mask.png", "cat.png"]
    kept = (here / "in" / "cat.mask.png").read_bytes()
    done = cli("segment", "in/cat.png", "in/cat.mask.png", *model, "--no-overlay", "-o", "in")  # the mask is named now
    assert done.returncode == 2
    assert "cat.mask.png is an input picture and would be overwritten" in done.stderr
    assert (here / "in" / "cat.mask.png").read_bytes() == kept


def test_quiet_writes_and_says_nothing(cli, here, model):
    done = cli("segment", "in/cat.png", *model, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert files(here) == ["cat.mask.png", "cat.overlay.png"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--rle"], "add --json"),
        (["-o", "mask.png"], "name a folder"),
        (["-o", "in/cat.png"], "name a folder"),
        (["-o", "in/cat.png/"], "in/cat.png"),
        (["--model", "unheard-of"], "deeplabv3-voc"),
        (["--top", "3"], "No such option"),
    ],
)
def test_wrong_usage_is_one_sentence_and_writes_nothing(options, says, cli, here, artifacts):
    model = [] if "--model" in options else ["--model", artifacts["deeplabv3-voc"]]
    done = cli("segment", "in/cat.png", *model, *options)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert files(here) == []
    assert files(here / "in") == ["cat.png"]


def test_a_second_run_in_the_same_folder_gives_the_same(cli, photos, artifacts, tmp_path):
    shutil.copy(photos["chelsea.png"], tmp_path / "chelsea.png")
    command = ["segment", tmp_path, "--model", artifacts["deeplabv3-voc"], "-o", tmp_path, "--json"]
    first = cli(*command)
    assert first.returncode == 0, first.stderr
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["chelsea.mask.png", "chelsea.overlay.png", "chelsea.png"]
    again = cli(*command)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_model_for_another_task_is_refused_before_anything_is_fetched(cli, photos, tmp_path):
    done = cli("segment", photos["chelsea.png"], "--model", "mobilenet-v2", MNV2DEPLOY_CACHE=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == (
        "Error: mobilenet-v2 is a model to classify with; use 'mnv2deploy classify', or another --model.\n"
    )
    assert list(tmp_path.iterdir()) == []
