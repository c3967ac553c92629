"""A release's name: what stands under it is whole, whatever a killed build left beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from manifests import a_file, a_manifest

from mnv2deploy.artifacts.release import _exchange, _new_folder, _strangers


def make(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_being_written_when_a_build_was_killed_is_thrown_away(tmp_path):
    release = make(tmp_path / "small", "whole")
    make(tmp_path / ".small.new", "half")
    with _new_folder(release) as new:
        assert names(new) == []
    assert names(tmp_path) == ["small"]


def test_a_build_killed_between_two_renames_loses_nothing(tmp_path):
    """The old release had left its name, and the new one had not taken it."""
    make(tmp_path / ".small.old", "whole")
    make(tmp_path / ".small.new", "newer")
    release = tmp_path / "small"
    with pytest.raises(RuntimeError), _new_folder(release):
        raise RuntimeError
    assert names(tmp_path) == ["small"]
    assert (release / "manifest.json").read_text() == "whole"


def test_a_build_killed_after_both_renames_leaves_the_new_one(tmp_path):
    release = make(tmp_path / "small", "new")
    make(tmp_path / ".small.old", "old")
    with _new_folder(release):
        pass
    assert names(tmp_path) == ["small"]
    assert (release / "manifest.json").read_text() == "new"


@pytest.mark.parametrize("there", [True, False])
def test_the_new_release_takes_the_name_whole(tmp_path, there):
    release = tmp_path / "small"
    if there:
        make(release, "old")
        (release / "gone.txt").write_text("", encoding="utf-8")
    with _new_folder(release) as new:
        (new / "manifest.json").write_text("new", encoding="utf-8")
        _exchange(new, release)
    assert names(tmp_path) == ["small"]
    assert names(release) == ["manifest.json"]


def test_the_old_release_is_there_until_the_new_one_has_its_name(tmp_path, monkeypatch):
    release = make(tmp_path / "small", "old")
    rename = Path.rename

    def killed(source: Path, target: Path) -> Path:
        if source.name.endswith(".new"):
            raise RuntimeError
        return rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(RuntimeError), _new_folder(release) as new:
            _exchange(new, release)
    with _new_folder(release):
        assert (release / "manifest.json").read_text() == "old"


def test_what_somebody_put_into_a_release_is_told_from_what_is_its_own(tmp_path):
    assert _strangers(tmp_path / "small") == []
    release = tmp_path / "small"
    (release / "deep").mkdir(parents=True)
    manifest = a_manifest(files=(a_file("deep/own.txt"),))
    (release / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    own = ["deep/own.txt", "SHA256SUMS", "SHA256SUMS.asc", manifest.recipe.name, manifest.artifacts[0].file.name]
    for name in (*own, "deep/mine.txt", "mine.txt"):
        (release / name).write_text("", encoding="utf-8")
    assert _strangers(release) == ["deep/mine.txt", "mine.txt"]
