"""Photo sets of the catalog, and recipes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mnv2deploy.catalog.photos import SAMPLE_PHOTOS, load_labels, load_licences, load_photos, photo_set_names
from mnv2deploy.errors import ModelError, UsageError

RECIPES = sorted((Path(__file__).parent.parent.parent / "calib").glob("*.toml"))
PHOTO = f"""
[[photos]]
name = "cat"
[[photos.sources]]
url = "https://host/cat.png"
files = {{ "cat.png" = {{ size = 5, sha256 = "{"a" * 64}" }} }}
"""


@pytest.mark.parametrize("name", photo_set_names())
def test_catalog_set_loads(name: str) -> None:
    for download in load_photos(name):
        assert download.sources
        for source in download.sources:
            assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in source.files)
        # Whichever source answers, the pictures are the same.
        assert len({frozenset((file.name, file.sha256) for file in source.files) for source in download.sources}) == 1


def test_sample_photos_are_five() -> None:
    (download,) = load_photos(SAMPLE_PHOTOS)
    names = {file.name for file in download.sources[0].files}
    assert names == {"astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg"}


def test_labels_are_those_in_the_names_of_the_pictures() -> None:
    labels = load_labels("imagenet-20")
    assert len(labels) == 20
    assert all(name.endswith(f"_{class_id}.jpg") for name, class_id in labels.items())
    assert load_labels(SAMPLE_PHOTOS) == {}


def test_a_recipe_has_the_labels_of_its_sets_and_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('sets = ["imagenet-20"]\n' + PHOTO + '[photos.labels]\n"cat.png" = 285\n')
    assert load_labels(str(tmp_path / "mine.toml")) == {**load_labels("imagenet-20"), "cat.png": 285}


def test_every_photo_but_the_labelled_ones_has_a_licence() -> None:
    for name in set(photo_set_names()) - {"imagenet-20"}:
        files = {file.name for download in load_photos(name) for file in download.sources[0].files}
        assert set(load_licences(name)) == files


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_recipe_of_the_repository_loads(recipe: Path) -> None:
    assert load_photos(str(recipe))


def test_recipe_joins_sets_and_photos_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('sets = ["sample-photos"]\n' + PHOTO)
    sample, cat = load_photos(str(tmp_path / "mine.toml"))
    assert (sample,) == load_photos("sample-photos")
    assert (cat.name, cat.sources[0].url) == ("cat", "https://host/cat.png")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists neither sets nor photos"),
        ('description = "nothing"\nsets = []', "lists neither sets nor photos"),
        ('pictures = ["a"]', "unknown key pictures"),
        ('sets = "sample-photos"', "sets should be a list, not 'sample-photos'"),
        ("sets = 5", "sets should be a list, not 5"),
        ("sets = [5]", "there is no photo set 5; the catalog has imagenet-20, kivy-photos, kodak-photos"),
        (PHOTO + '[photos.labels]\n"dog.png" = 1', "gives files of"),
        (PHOTO + '[photos.labels]\n"cat.png" = "cat"', "gives files of"),
        (PHOTO + '[photos.labels]\n"cat.png" = true', "gives files of"),
        (PHOTO + '[photos.licences]\n"dog.png" = "CC0"', "files of .* their licence"),
        (PHOTO + '[photos.licences]\n"cat.png" = 0', "files of .* their licence"),
        (PHOTO.replace('"cat"', '"cat"\nlicences = "CC0"'), "files of .* their licence"),
        (
            'sets = ["kittens"]',
            "there is no photo set 'kittens'; the catalog has imagenet-20, kivy-photos, kodak-photos",
        ),
        ('sets = ["mine.toml"]', "there is no photo set 'mine.toml'"),  # a recipe in a recipe could name itself
        ("photos = 5", "photos should be a list"),
        ('photos = ["cat.png"]', "each .* needs a name"),
        (PHOTO.replace("[[photos]]", "[photos]"), "photos should be a list"),
        (PHOTO.replace('name = "cat"', ""), "each .* needs a name"),
        (PHOTO.replace('"cat"', "5"), "each .* needs a name"),
        (PHOTO.replace("[[photos.sources]]", "[[photos.links]]"), "each .* needs a name"),
        (PHOTO.replace("[[photos.sources]]", "[photos.sources]"), "cat has no sources"),
        (PHOTO.replace("https:", "gopher:"), "unknown scheme 'gopher'"),
        (PHOTO.replace("a" * 64, "a" * 60), "is not a sha256"),
    ],
)
def test_mistake_in_a_recipe_is_said_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        load_photos("mine.toml")
    assert str(caught.value).startswith("mine.toml")


@pytest.mark.parametrize("name", ["kittens", "", "ssdlite-coco", "../photo_sets/sample-photos"])
def test_unknown_set_is_a_usage_error_that_lists_the_catalog(name: str) -> None:
    with pytest.raises(UsageError, match="the catalog has imagenet-20, kivy-photos, kodak-photos") as caught:
        load_photos(name)
    assert repr(name) in str(caught.value)
