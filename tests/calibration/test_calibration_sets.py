"""Folders of calibration pictures: the hash, what is warned of, what is refused."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from scenes import scene, write, write_scenes

from mnv2deploy.calibration.sets import hash_pictures, open_set
from mnv2deploy.errors import InputError


def hash_by_hand(folder: Path, names: list[str]) -> str:
    lines = "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()


def test_a_good_set_has_its_pictures_in_order_and_no_warnings(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "mine", 16)
    write(folder / "B.jpg", scene(100))  # capitals come before small letters on every system
    write(folder / "a.jpg", scene(101))
    (folder / "notes.txt").write_text("no picture")
    write(folder / ".hidden.png", scene(102))
    found = open_set(folder)
    names = [f"{number:03}.png" for number in range(16)] + ["B.jpg", "a.jpg"]
    assert found.name == "mine"
    assert [path.name for path in found.pictures] == names
    assert all(path.parent == folder for path in found.pictures)
    assert found.sha256 == hash_by_hand(folder, names)
    assert found.warnings == ()
    assert found.unreadable == ()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_the_hash_is_what_sha256sum_gives(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "mine", 4)
    command = ["sh", "-c", "sha256sum *.png | sha256sum"]
    shell = subprocess.run(command, cwd=folder, capture_output=True, check=True)
    assert open_set(folder).sha256 == hash_pictures(folder.iterdir()) == shell.stdout.split()[0].decode()


def test_the_hash_hangs_on_names_and_bytes_alone(tmp_path: Path) -> None:
    first = write_scenes(tmp_path / "first", 5)
    second = tmp_path / "elsewhere" / "second"
    second.mkdir(parents=True)
    for path in sorted(first.iterdir(), reverse=True):
        shutil.copyfile(path, second / path.name)
        os.utime(second / path.name, (1, 1))
    assert open_set(second).sha256 == open_set(first).sha256
    picture = second / "002.png"
    data = picture.read_bytes()
    picture.write_bytes(data + b"\0")  # after the end of a PNG: the same pixels
    assert open_set(second).sha256 != open_set(first).sha256
    picture.write_bytes(data)
    assert open_set(second).sha256 == open_set(first).sha256
    picture.rename(second / "002b.png")
    assert open_set(second).sha256 != open_set(first).sha256


def test_names_and_digests_cannot_change_places(tmp_path: Path) -> None:
    first, second = write_scenes(tmp_path / "first", 4), write_scenes(tmp_path / "second", 4)
    (second / "000.png").rename(second / "x.png")
    (second / "001.png").rename(second / "000.png")
    (second / "x.png").rename(second / "001.png")
    assert open_set(first).sha256 != open_set(second).sha256


def test_unreadable_pictures_are_left_out_and_each_is_named(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "mine", 17)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.png").write_text("hello")
    # In the middle of the pixels: the header is whole, and only decoding all of it tells.
    cut_short = write(folder / "016.png", np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8))
    cut_short.write_bytes(cut_short.read_bytes()[:-8000])
    found = open_set(folder)
    assert [path.name for path in found.pictures] == [f"{number:03}.png" for number in range(16)]
    assert found.sha256 == hash_by_hand(folder, [path.name for path in found.pictures])
    assert found.unreadable == ("016.png", "empty.jpg", "text.png")
    assert len(found.warnings) == 3
    for name, why, warning in zip(
        found.unreadable, ("damaged", "is empty", "not a picture"), found.warnings, strict=True
    ):
        assert name in warning
        assert why in warning
        assert warning.endswith("It was left out.")


@pytest.mark.parametrize(("count", "warned"), [(15, True), (16, False)])
def test_fewer_than_sixteen_are_warned_of_with_the_reason(tmp_path: Path, count: int, warned: bool) -> None:
    warnings = open_set(write_scenes(tmp_path / "mine", count)).warnings
    assert len(warnings) == warned
    assert all("only 15 different pictures" in warning and "ranges measured" in warning for warning in warnings)


def test_what_counts_is_how_many_differ(tmp_path: Path) -> None:
    folder = write_scenes(tmp_path / "mine", 15)
    for number in range(3):
        shutil.copyfile(folder / f"{number:03}.png", folder / f"copy{number}.png")
    (warning,) = open_set(folder).warnings
    assert "only 15 different" in warning


def test_fewer_than_four_are_refused(tmp_path: Path) -> None:
    assert len(open_set(write_scenes(tmp_path / "four", 4)).pictures) == 4
    with pytest.raises(InputError, match=r"three has 3 different pictures .* at least 4"):
        open_set(write_scenes(tmp_path / "three", 3))
    shutil.copyfile(tmp_path / "three" / "000.png", tmp_path / "three" / "again.png")
    with pytest.raises(InputError, match="three has 3 different pictures"):
        open_set(tmp_path / "three")


def test_copies_in_other_formats_sizes_and_qualities_are_all_alike(tmp_path: Path) -> None:
    photo = scene(5, 240, 320)
    write(tmp_path / "a.png", photo)
    write(tmp_path / "b.jpg", photo, cv2.IMWRITE_JPEG_QUALITY, 50)
    write(tmp_path / "c.bmp", np.asarray(cv2.resize(photo, (160, 120), interpolation=cv2.INTER_AREA), np.uint8))
    write(tmp_path / "d.webp", photo)
    with pytest.raises(InputError, match="The 4 pictures of .* all look the same"):
        open_set(tmp_path)


def test_black_pictures_of_all_sizes_are_all_alike(tmp_path: Path) -> None:
    for side in range(1, 20):
        write(tmp_path / f"{side}.png", np.zeros((side, 2 * side, 3), np.uint8))
    with pytest.raises(InputError, match="The 19 pictures of .* all look the same"):
        open_set(tmp_path)


def test_pictures_that_differ_in_one_corner_differ(tmp_path: Path) -> None:
    for number in range(16):
        picture = scene(3, 64, 64)
        picture[:8, :8] = 16 * number
        write(tmp_path / f"{number:02}.png", picture)
    assert open_set(tmp_path).warnings == ()


@pytest.mark.parametrize(("copies", "warned"), [(16, False), (17, True)])
def test_more_than_half_repeated_is_warned_of(tmp_path: Path, copies: int, warned: bool) -> None:
    folder = write_scenes(tmp_path / "mine", 16)
    for number in range(copies):
        shutil.copyfile(folder / f"{number % 16:03}.png", folder / f"copy{number:02}.png")
    warnings = open_set(folder).warnings
    assert len(warnings) == warned
    assert all("17 of 33 pictures" in warning and "copy00.png as 000.png" in warning for warning in warnings)


def test_nothing_to_calibrate_with_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere is not a folder"):
        open_set(tmp_path / "nowhere")
    with pytest.raises(InputError, match="has no pictures directly in it"):
        open_set(tmp_path)
    (tmp_path / "a.png").write_text("a")
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"None of the 2 pictures .* The first: .*a\.png is not a picture"):
        open_set(tmp_path)


def test_labelled_pictures_of_photographers_raise_no_alarm(data: Path) -> None:
    found = open_set(data / "imagenet" / "calib" / "images")
    assert len(found.pictures) == 125
    assert found.warnings == ()
