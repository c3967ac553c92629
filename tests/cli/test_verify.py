"""``mnv2deploy verify``: the table, the exit codes, the JSON."""

import json
import shutil

import pytest
from releases import write_release
from test_startup import BUILD_ONLY, modules_loaded_by
from tiny_models import GREEN, RED, save_picture, tiny_classifier


@pytest.fixture
def release(tmp_path):
    photo = save_picture(tmp_path / "photo.png", RED, RED, GREEN)
    model = tiny_classifier(tmp_path / "model.onnx", {7: "red", 8: "green", 9: "blue"})
    write_release(tmp_path / "all" / "small", {"fp32": model}, photo)
    return tmp_path / "all" / "small"


def test_a_good_release_is_a_table_and_exit_0(cli, release):
    done = cli("verify", release)
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows, result = done.stdout.splitlines()
    assert header.split() == ["FILE", "CHECKED", "RESULT"]
    assert "small-fp32.onnx  size, sha256, contract, answers  ok" in rows
    assert len(rows) == 6
    assert result == f"{release}: as it was released"
    quiet = cli("verify", release, "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_bad_files_are_named_and_exit_5(cli, release):
    for name in ("small.toml", "golden.png", "docs/README.md"):
        (release / name).write_bytes(b"bad")
    (release / "a\x07b").write_bytes(b"")  # a bell
    done = cli("verify", release)
    assert done.returncode == 5
    assert f"{release}: 5 problems" in done.stdout  # the three, the stranger, and answers that could not be checked
    assert "\x07" not in done.stdout + done.stderr
    assert done.stderr.startswith(f"Error: {release} is not as it was released. '")
    assert done.stderr.endswith(" And 2 more.\n")
    quiet = cli("verify", release, "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (5, "", done.stderr)


def test_json_is_one_document_good_or_bad(cli, release):
    shutil.copytree(release, release.parent / "broken")
    (release.parent / "broken" / "small.toml").unlink()
    done = cli("verify", release.parent, "--json")
    assert done.returncode == 5
    document = json.loads(done.stdout)
    assert document["ok"] is False
    bad, good = document["releases"]
    assert (bad["folder"], bad["ok"]) == (str(release.parent / "broken"), False)
    assert (good["folder"], good["ok"]) == (str(release), True)
    assert {"name": "small.toml", "checked": [], "problems": ["small.toml is missing."]} in bad["files"]
    assert done.stderr == f"Error: {release.parent} is not as it was released. small.toml is missing.\n"
    good = cli("verify", release, "--json")
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)["ok"] is True


def test_what_is_no_release_is_wrong_usage(cli, tmp_path):
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "folder", tmp_path / "nowhere"):
        done = cli("verify", place)
        assert done.returncode == 2
        assert "the folder of a release" in done.stderr


def test_it_needs_nothing_that_builds(release):
    loaded = modules_loaded_by("verify", release)
    assert "onnxruntime" in loaded
    assert not loaded & (BUILD_ONLY | {"matplotlib", "jinja2"})
