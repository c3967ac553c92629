"""Sets made of recipes: what is written, that it is the same every time, and what happens to what is there."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scenes import positions, scene, write, write_recipe, write_scenes

from mnv2deploy.calibration import materialise as module
from mnv2deploy.calibration.find import find_set
from mnv2deploy.calibration.materialise import materialise
from mnv2deploy.calibration.recipe import recipe_for
from mnv2deploy.calibration.sets import CalibrationSet, open_set
from mnv2deploy.errors import InputError, ModelError, UsageError
from mnv2deploy.runtime import images

TWENTY_CROPS = "[crops]\ncount = 20\nleast_scale = 0.3\n"


@pytest.fixture(autouse=True)
def new_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path_factory.mktemp("home") / "cache"
    monkeypatch.setenv("MNV2DEPLOY_CACHE", str(cache))
    return cache


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Twenty crops of seven scenes."""
    return write_recipe(tmp_path / "mine.toml", write_scenes(tmp_path / "photos", 7), TWENTY_CROPS)


def make(path: Path, folder: Path) -> CalibrationSet:
    return materialise(recipe_for(str(path)), folder, offline=True).set


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def manifest(folder: Path) -> Any:
    return json.loads((folder / "calibration.json").read_text())


def test_crops_are_spread_evenly_and_said_what_they_are(recipe: Path, tmp_path: Path) -> None:
    found = make(recipe, tmp_path / "out")
    said = manifest(tmp_path / "out")
    assert found.name == said["name"] == "mine"
    assert [path.name for path in found.pictures] == [f"{index:04}.jpg" for index in range(20)]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(p.name for p in found.pictures),
        "calibration.json",
    }
    assert [row["source"] for row in said["pictures"]] == [f"{index % 7:03}.png" for index in range(20)]
    assert len({tuple(row["box"]) for row in said["pictures"]}) == 20
    assert {row["flipped"] for row in said["pictures"]} == {False, True}
    assert found.sha256 == said["sha256"] == open_set(tmp_path / "out").sha256
    assert said["crops"] == {"count": 20, "seed": 0, "least_scale": 0.3, "flip": True, "side": 640}
    for source in said["sources"]:
        photo = tmp_path / "photos" / source["name"]
        assert source["sha256"] == hashlib.sha256(photo.read_bytes()).hexdigest()
        assert source["from"].startswith("file:")


def test_the_picture_is_the_part_of_the_photo_the_list_says(tmp_path: Path) -> None:
    photos = write_scenes(tmp_path / "photos", 4)
    write(photos / "map.png", positions(180, 250))  # red is the column, green the row
    make(write_recipe(tmp_path / "mine.toml", photos, "[crops]\ncount = 40"), tmp_path / "out")
    rows = [row for row in manifest(tmp_path / "out")["pictures"] if row["source"] == "map.png"]
    assert len(rows) == 8
    for row in rows:
        left, top, right, bottom = row["box"]
        picture = images.read(tmp_path / "out" / row["file"]).astype(int)
        assert picture.shape == (bottom - top, right - left, 3)
        columns = np.arange(left, right)[:: -1 if row["flipped"] else 1]
        assert np.abs(picture[:, :, 0] - columns).mean() < 2  # it went through a JPEG
        assert np.abs(picture[:, :, 1] - np.arange(top, bottom)[:, None]).mean() < 2


def test_another_seed_makes_another_set(recipe: Path, tmp_path: Path) -> None:
    first = make(recipe, tmp_path / "first")
    recipe.write_text(recipe.read_text() + "seed = 1\n")
    second = make(recipe, tmp_path / "second")
    assert first.sha256 != second.sha256
    boxes = [{tuple(row["box"]) for row in manifest(tmp_path / name)["pictures"]} for name in ("first", "second")]
    assert len(boxes[0] & boxes[1]) < 3


def test_two_processes_write_the_same_bytes(cli: Any, recipe: Path, tmp_path: Path) -> None:
    for name, seed in (("first", "1"), ("second", "2")):
        done = cli("calib", recipe, "-o", tmp_path / name, "--offline", PYTHONHASHSEED=seed)
        assert done.returncode == 0, done.stderr
    first, second = content(tmp_path / "first"), content(tmp_path / "second")
    assert first == second
    assert len(first) == 21


def test_without_crops_the_photos_are_taken_as_they_are(tmp_path: Path) -> None:
    photos = write_scenes(tmp_path / "photos", 5)
    own = write_scenes(tmp_path / "own", 12, suffix=".jpg", first=5)
    (own / "broken.jpg").write_text("broken")
    path = write_recipe(tmp_path / "mine.toml", photos)
    path.write_text('folder = "own"\n' + path.read_text())
    found = make(path, tmp_path / "out")
    written = content(tmp_path / "out")
    del written["calibration.json"]
    assert written == {
        file.name: file.read_bytes() for file in [*photos.iterdir(), *own.iterdir()] if file.stem != "broken"
    }
    assert found.sha256 == open_set(tmp_path / "out").sha256
    assert found.pictures == open_set(tmp_path / "out").pictures
    assert found.unreadable == ("broken.jpg",)
    (warning,) = found.warnings
    assert "broken.jpg is not a picture" in warning


def test_too_few_photos_for_many_crops_are_warned_of(recipe: Path, tmp_path: Path) -> None:
    (warning,) = make(recipe, tmp_path / "out").warnings
    assert "only 7 different photos" in warning
    few = write_recipe(tmp_path / "few.toml", write_scenes(tmp_path / "three", 3), TWENTY_CROPS)
    with pytest.raises(InputError, match=r"few\.toml has 3 different photos"):
        make(few, tmp_path / "few")
    assert not (tmp_path / "few").exists()


def test_few_crops_are_warned_of(tmp_path: Path) -> None:
    path = write_recipe(tmp_path / "mine.toml", write_scenes(tmp_path / "photos", 16), "[crops]\ncount = 5")
    found = make(path, tmp_path / "out")
    assert len(found.pictures) == 5
    (warning,) = found.warnings
    assert "only 5 different pictures" in warning


def test_a_set_that_is_there_is_used_again_with_its_warnings(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.toml"
    (write_scenes(tmp_path / "own", 7) / "broken.jpg").write_text("broken")
    path.write_text('folder = "own"\n' + TWENTY_CROPS)
    first = materialise(recipe_for(str(path)), tmp_path / "out")
    times = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(module, "fetch", lambda *_, **__: pytest.fail("nothing is to be fetched"))
    second = materialise(recipe_for(str(path)), tmp_path / "out")
    assert (first.made, second.made) == (True, False)
    assert second.set == first.set
    assert first.set.unreadable == ("broken.jpg",)
    assert len(first.set.warnings) == 2
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()} == times


def test_a_set_of_an_older_recipe_is_replaced_whole(recipe: Path, tmp_path: Path) -> None:
    make(recipe, tmp_path / "out")
    recipe.write_text(recipe.read_text().replace("count = 20", "count = 16"))
    done = materialise(recipe_for(str(recipe)), tmp_path / "out")
    assert done.made
    assert sorted(content(tmp_path / "out")) == [*(f"{index:04}.jpg" for index in range(16)), "calibration.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.toml", "out", "photos"]


@pytest.mark.parametrize("change", ["less", "other", "more", "no list", "bad list", "someone's list", "bad rows"])
def test_a_folder_that_holds_something_else_is_left_alone(recipe: Path, tmp_path: Path, change: str) -> None:
    out = tmp_path / "out"
    make(recipe, out)
    if change == "more":
        write(out / "mine.png", scene(99))
    elif change == "less":
        (out / "0003.jpg").unlink()
    elif change == "other":
        shutil.copyfile(out / "0004.jpg", out / "0003.jpg")
    elif change == "no list":
        (out / "calibration.json").unlink()
    elif change == "bad list":
        (out / "calibration.json").write_text("{")
    elif change == "someone's list":
        (out / "calibration.json").write_text(json.dumps({"pictures": manifest(out)["pictures"]}))
    else:
        (out / "calibration.json").write_text(json.dumps({**manifest(out), "pictures": [5]}))
    before = content(out)
    for _ in range(2):
        with pytest.raises(UsageError, match="out holds something else"):
            make(recipe, out)
        assert content(out) == before
        recipe.write_text(recipe.read_text() + "seed = 1\n")


@pytest.mark.parametrize("name", ["photo", "photo.mask.png", ".photo.png"])
def test_a_download_that_is_not_named_as_a_picture_is_refused(tmp_path: Path, name: str) -> None:
    photos = write_scenes(tmp_path / "photos", 5)
    (photos / "004.png").rename(photos / name)
    path = write_recipe(tmp_path / "mine.toml", photos)
    with pytest.raises(ModelError, match=rf"mine\.toml: {name} is no name for a picture"):
        make(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    path.write_text(path.read_text() + TWENTY_CROPS)  # a crop has a name of its own
    assert len(make(path, tmp_path / "out").pictures) == 20


@pytest.mark.parametrize("name", ["notes.txt", ".gitignore"])
def test_other_files_beside_a_set_are_kept(recipe: Path, tmp_path: Path, name: str) -> None:
    make(recipe, tmp_path / "out")
    (tmp_path / "out" / name).write_text("mine")
    assert not materialise(recipe_for(str(recipe)), tmp_path / "out").made
    recipe.write_text(recipe.read_text() + "seed = 1\n")
    with pytest.raises(UsageError, match="out holds something else"):
        make(recipe, tmp_path / "out")
    assert (tmp_path / "out" / name).read_text() == "mine"


def test_where_a_set_can_and_cannot_be_written(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    assert len(make(recipe, tmp_path / "empty").pictures) == 20
    assert len(make(recipe, tmp_path / "a" / "b").pictures) == 20
    (tmp_path / "file").write_text("a file")
    with pytest.raises(UsageError, match="file holds something else"):
        make(recipe, tmp_path / "file")
    with pytest.raises(UsageError, match="cannot be made a folder"):
        make(recipe, tmp_path / "file" / "below")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UsageError, match="is where you are"):
        make(recipe, Path())
    monkeypatch.chdir(tmp_path / "empty")
    recipe.write_text(recipe.read_text() + "seed = 1\n")
    with pytest.raises(UsageError, match="is where you are"):
        make(recipe, Path())
    own = write_scenes(tmp_path / "own", 5)
    with pytest.raises(UsageError, match="own is where the pictures come from"):
        materialise(recipe_for(str(own)), tmp_path / "a" / ".." / "own")
    assert len(content(own)) == 5


def test_a_failure_leaves_what_was_there(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(recipe, tmp_path / "out")
    before = content(tmp_path / "out")
    recipe.write_text(recipe.read_text() + "seed = 5\n")

    def stop(path: Path, *_: Any) -> None:
        if path.name == "0010.jpg":
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        make(recipe, tmp_path / "out")
    assert content(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.toml", "out", "photos"]


@pytest.mark.parametrize(("own", "downloaded"), [("x.png", "x.png"), ("x.PNG", "x.png"), ("x.png", "x.PNG")])
def test_two_photos_of_one_name_are_refused(tmp_path: Path, own: str, downloaded: str) -> None:
    photos = write_scenes(tmp_path / "photos", 5)
    (photos / "000.png").rename(photos / downloaded)
    (write_scenes(tmp_path / "own", 5, first=10) / "010.png").rename(tmp_path / "own" / own)
    path = write_recipe(tmp_path / "mine.toml", photos)
    path.write_text('folder = "own"\n' + path.read_text())
    with pytest.raises(ModelError, match=rf"mine\.toml: two of its pictures are named {downloaded}"):
        make(path, tmp_path / "out")


def test_a_recipe_is_made_once_in_the_cache_for_each_content(recipe: Path, new_cache: Path) -> None:
    first = find_set(str(recipe), offline=True)
    home = new_cache / "calibration"
    assert first.pictures[0].parent.parent == home
    assert first.name == "mine"
    made = first.pictures[0].stat().st_mtime_ns
    assert find_set(str(recipe), offline=True) == first
    assert first.pictures[0].stat().st_mtime_ns == made
    recipe.write_text("# a comment makes no other set\n" + recipe.read_text())
    assert find_set(str(recipe), offline=True) == first
    recipe.write_text(recipe.read_text() + "seed = 9\n")
    assert find_set(str(recipe), offline=True).sha256 != first.sha256
    assert len([path for path in home.iterdir() if path.is_dir()]) == 2


def test_damage_in_the_cache_is_made_good(recipe: Path, new_cache: Path) -> None:
    first = find_set(str(recipe), offline=True)
    first.pictures[3].write_bytes(b"damaged")
    assert find_set(str(recipe), offline=True) == first
    (first.pictures[0].parent / "calibration.json").unlink()
    assert find_set(str(recipe), offline=True) == first


def test_a_folder_is_used_where_it_is(new_cache: Path, tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "photos", 5)
    assert find_set(str(folder)) == open_set(folder)
    assert not new_cache.exists()
