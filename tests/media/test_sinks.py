from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mnv2deploy.errors import UsageError
from mnv2deploy.media.masks import encode_mask_png
from mnv2deploy.media.sinks import WRITABLE_SUFFIXES, plan_masks, plan_outputs, plan_overlays, save, save_mask


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures, made the working folder so that tables can hold relative paths."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "cat.jpg",
        "dog.jpg",
        "one/cat.jpg",
        "two/cat.jpg",
        "three/Cat.JPG",
        "odd.jfif",
        "anim.gif",
        "anim.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "made").mkdir()
    (tmp_path / "link.jpg").symlink_to("cat.jpg")
    return tmp_path


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("output", "inputs", "expected"),
    [
        ("out.png", ["cat.jpg"], ["out.png"]),
        ("out.JPEG", ["cat.jpg"], ["out.JPEG"]),
        ("new/out.png", ["cat.jpg"], ["new/out.png"]),
        # a folder: because it is there, ends in a slash, or there are several inputs
        ("made", ["cat.jpg"], ["made/cat.jpg"]),
        ("new/", ["cat.jpg"], ["new/cat.jpg"]),
        ("new.png/", ["cat.jpg"], ["new.png/cat.jpg"]),
        ("new", ["cat.jpg", "dog.jpg"], ["new/cat.jpg", "new/dog.jpg"]),
        ("made", [], []),
        # names that meet, in other letter case too, are told apart by the order of the inputs
        ("new", ["one/cat.jpg", "two/cat.jpg", "three/Cat.JPG"], ["new/cat.jpg", "new/cat-2.jpg", "new/Cat-3.JPG"]),
        ("new", ["one/cat.jpg", "x/cat-2.jpg", "two/cat.jpg"], ["new/cat.jpg", "new/cat-2.jpg", "new/cat-3.jpg"]),
        # what cannot be written, or not well, becomes a PNG
        ("new", ["anim.gif", "anim.png", "odd.jfif"], ["new/anim.png", "new/anim-2.png", "new/odd.png"]),
        # beside the inputs is fine as long as none is hit
        (".", ["one/dog.webp"], ["dog.webp"]),
    ],
)
def test_plans_where_pictures_go(output: str, inputs: list[str], expected: list[str]) -> None:
    assert plan_outputs(output, inputs) == [Path(path) for path in expected]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("output", "inputs", "message"),
    [
        ("out.gif", ["cat.jpg"], r"\.jpg, \.jpeg, \.png"),
        ("out", ["cat.jpg"], "add a slash"),
        ("out.png", ["cat.jpg", "dog.jpg"], "one file and there are 2 pictures"),
        ("odd.jfif", ["cat.jpg", "dog.jpg"], "one file and there are 2 pictures"),
        # an input would be overwritten: by name, by detour, by link, from a folder
        ("cat.jpg", ["cat.jpg"], "would be overwritten"),
        ("made/../cat.jpg", ["cat.jpg"], "would be overwritten"),
        ("cat.jpg", ["link.jpg"], "would be overwritten"),
        ("link.jpg", ["cat.jpg"], "would be overwritten"),
        (".", ["cat.jpg"], "would be overwritten"),
        ("one", ["two/cat.jpg", "one/cat.jpg"], "would be overwritten"),
    ],
)
def test_refuses_what_would_lose_or_confuse_pictures(output: str, inputs: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_outputs(output, inputs)


@pytest.mark.parametrize("suffix", [*WRITABLE_SUFFIXES, ".PNG"])
def test_saves_rgb_in_every_format(tmp_path: Path, suffix: str) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[:] = (250, 120, 10)
    path = tmp_path / "new" / "folder" / f"picture{suffix}"
    save(path, image)
    assert np.abs(cv2.imread(str(path))[:, :, ::-1].astype(int) - image).max() <= 3
    assert list(path.parent.iterdir()) == [path]


def test_says_when_a_format_cannot_hold_a_picture(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"wide\.webp cannot hold 20000 x 1 pixels .* \.png"):
        save(tmp_path / "wide.webp", np.zeros((1, 20_000, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_says_when_a_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file cannot be made a folder"):
        save(tmp_path / "file" / "a.png", np.zeros((1, 1, 3), np.uint8))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("folder", "inputs", "expected"),
    [
        # a folder, there or not, with or without a slash; by default the working folder
        (".", ["one/cat.jpg"], [("cat.mask.png", "cat.overlay.jpg")]),
        ("made", ["cat.jpg"], [("made/cat.mask.png", "made/cat.overlay.jpg")]),
        ("new", ["cat.jpg"], [("new/cat.mask.png", "new/cat.overlay.jpg")]),
        ("new.png/", ["cat.jpg"], [("new.png/cat.mask.png", "new.png/cat.overlay.jpg")]),
        (".", [], []),
        # what cannot be written as a picture becomes a PNG
        (".", ["anim.gif"], [("anim.mask.png", "anim.overlay.png")]),
        # names are told apart without their suffix, so that a picture's two files are numbered alike
        (
            ".",
            ["one/cat.jpg", "two/cat.jpg", "x/cat.png", "three/Cat.JPG"],
            [
                ("cat.mask.png", "cat.overlay.jpg"),
                ("cat-2.mask.png", "cat-2.overlay.jpg"),
                ("cat-3.mask.png", "cat-3.overlay.png"),
                ("Cat-4.mask.png", "Cat-4.overlay.JPG"),
            ],
        ),
    ],
)
def test_plans_where_masks_and_overlays_go(folder: str, inputs: list[str], expected: list[tuple[str, str]]) -> None:
    planned = zip(plan_masks(folder, inputs), plan_overlays(folder, inputs), strict=True)
    assert [(str(mask), str(overlay)) for mask, overlay in planned] == expected


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("folder", "inputs", "message"),
    [
        ("mask.png", ["cat.jpg"], "name a folder"),
        ("cat.jpg", ["dog.jpg"], "name a folder"),
        ("odd.jfif", ["cat.jpg"], "name a folder"),
        (".", ["cat.jpg", "cat.mask.png"], "cat.mask.png is an input picture and would be overwritten"),
    ],
)
def test_refuses_masks_that_would_lose_or_confuse_pictures(folder: str, inputs: list[str], message: str) -> None:
    Path("cat.mask.png").touch()
    with pytest.raises(UsageError, match=message):
        plan_masks(folder, inputs)


def test_saves_a_mask_where_the_folder_is_missing(tmp_path: Path) -> None:
    mask = np.array([[0, 1], [1, 2]], np.uint8)
    save_mask(tmp_path / "new" / "a.mask.png", mask, {1: (128, 0, 0)})
    assert (tmp_path / "new" / "a.mask.png").read_bytes() == encode_mask_png(mask, {1: (128, 0, 0)})
