"""Recipes of calibration sets, and each kind of mistake in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenes import write_recipe, write_scenes

from mnv2deploy.calibration.recipe import Crops, recipe_for
from mnv2deploy.catalog.photos import load_photos
from mnv2deploy.errors import InputError, ModelError, UsageError

REPOSITORY = Path(__file__).parent.parent.parent


def test_everything_a_recipe_can_say(tmp_path: Path) -> None:
    write_scenes(tmp_path / "photos", 2)
    path = write_recipe(
        tmp_path / "mine.toml",
        tmp_path / "photos",
        '[photos.licences]\n"000.png" = "CC0"\n'
        "[crops]\ncount = 9\nseed = 3\nleast_scale = 1\nflip = false\nside = 100\n",
    )
    path.write_text('description = "all"\nfolder = "own"\nsets = ["sample-photos"]\n' + path.read_text())
    recipe = recipe_for(str(path))
    assert (recipe.name, recipe.where, recipe.folder) == ("mine", str(path), tmp_path / "own")
    assert [download.name for download in recipe.downloads] == ["sample-photos", "scenes"]
    assert recipe.licences["000.png"] == "CC0"
    assert recipe.licences["chelsea.png"].startswith("CC0")
    assert recipe.crops == Crops(count=9, seed=3, least_scale=1.0, flip=False, side=100)


def test_a_folder_a_photo_set_and_a_recipe_without_crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_for(str(tmp_path))
    assert (recipe.name, recipe.folder, recipe.downloads, recipe.crops) == (tmp_path.name, tmp_path, (), None)
    assert recipe_for("imagenet-20").downloads == load_photos("imagenet-20")
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('folder = "../elsewhere"')
    assert recipe_for("mine.toml").folder == Path("../elsewhere")
    assert recipe_for("mine.toml").crops is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no pictures"),
        ("[crops]\ncount = 8", "names no pictures"),
        ("sets = []", "lists neither sets nor photos"),
        ('sets = ["kittens"]', "there is no photo set 'kittens'"),
        ("folder = 5", "folder should be str, not 5"),
        ('folder = "a"\nsuffix = ".png"', "unknown key suffix"),
        ('sets = ["sample-photos"]\ncrop = 1', "unknown key crop"),
        ('folder = "a"\ncrops = 5', "crops should be a table, not 5"),
        ('folder = "a"\n[crops]\nseed = 1', "no count in crops"),
        ('folder = "a"\n[crops]\ncount = 8\nflips = true', "unknown key flips in crops"),
        ('folder = "a"\n[crops]\ncount = 8.0', "crops.count should be int"),
        ('folder = "a"\n[crops]\ncount = true', "crops.count should be int"),
        ('folder = "a"\n[crops]\ncount = 3', "crops.count should be 4 to 10000, not 3"),
        ('folder = "a"\n[crops]\ncount = 10001', "crops.count should be 4 to 10000"),
        ('folder = "a"\n[crops]\ncount = 8\nseed = -1', "crops.seed should be 0 or more"),
        ('folder = "a"\n[crops]\ncount = 8\nseed = "x"', "crops.seed should be int"),
        ('folder = "a"\n[crops]\ncount = 8\nleast_scale = 0', "crops.least_scale is a share"),
        ('folder = "a"\n[crops]\ncount = 8\nleast_scale = 1.01', "crops.least_scale is a share"),
        ('folder = "a"\n[crops]\ncount = 8\nleast_scale = nan', "crops.least_scale should be a finite number"),
        ('folder = "a"\n[crops]\ncount = 8\nflip = 1', "crops.flip should be bool"),
        ('folder = "a"\n[crops]\ncount = 8\nside = 31', "crops.side should be 32 to 4096"),
        ('folder = "a"\n[crops]\ncount = 8\nside = 4097', "crops.side should be 32 to 4096"),
        ("folder = ", "is not valid TOML"),
    ],
)
def test_mistake_is_said_with_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        recipe_for(str(path))
    assert str(caught.value).startswith(str(path))


def test_what_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="kittens is no folder .*; it has imagenet-20"):
        recipe_for("kittens")
    with pytest.raises(UsageError, match="No such file"):
        recipe_for(str(tmp_path / "none.toml"))
    (tmp_path / "mine.toml").write_text('folder = "nowhere"')
    with pytest.raises(InputError, match="nowhere is not a folder"):
        recipe_for(str(tmp_path / "mine.toml")).key()


def test_the_key_changes_with_everything_that_changes_the_pictures(tmp_path: Path) -> None:
    photos = write_scenes(tmp_path / "photos", 2)
    path = tmp_path / "mine.toml"
    keys = [recipe_for(str(write_recipe(path, photos, crops))).key() for crops in ("", "[crops]\ncount = 8")]
    keys += [
        recipe_for(str(write_recipe(path, photos, f"[crops]\ncount = 8\n{line}"))).key()
        for line in ("seed = 1", "least_scale = 0.5", "flip = false", "side = 64")
    ]
    write_scenes(photos, 1, first=2)
    keys.append(recipe_for(str(write_recipe(path, photos))).key())
    path.write_text('folder = "photos"')
    keys.append(recipe_for(str(path)).key())
    (photos / "000.png").write_bytes((photos / "001.png").read_bytes())
    keys.append(recipe_for(str(path)).key())
    assert len(set(keys[:6])) == 6
    assert keys[6] not in keys[:6]
    assert keys[7] == keys[6]  # the same files, downloaded or not
    assert keys[8] not in keys[:8]
    path.write_text('description = "said otherwise"\nfolder = "photos"')
    assert recipe_for(str(path)).key() == keys[8]


def test_the_recipe_that_is_shipped_leaves_out_what_is_measured_on() -> None:
    recipe = recipe_for(str(REPOSITORY / "calib" / "wheel-photos.toml"))
    files = [file.name for download in recipe.downloads for file in download.sources[0].files]
    measured = {file.sha256 for download in load_photos("imagenet-20") for file in download.sources[0].files}
    assert recipe.crops == Crops(count=128, seed=0)
    assert len(set(files)) == len(files) == 18
    assert not measured & {file.sha256 for download in recipe.downloads for file in download.sources[0].files}
    assert set(recipe.licences) == set(files)
