"""SHA256SUMS: the real sha256sum reads it, agrees, and sees a change."""

from __future__ import annotations

import hashlib
import shutil
import subprocess

import pytest

from mnv2deploy.artifacts.checksums import CHECKSUMS, checksums
from mnv2deploy.errors import UsageError


@pytest.fixture
def release(tmp_path):
    files = {
        "small-fp32.onnx": b"\x00\xff" * 70_000,
        "README.md": b"# small\n",
        "triton/a b/config.pbtxt": b"",
        "a.b": b"x",
    }
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path, files


def test_there_is_a_line_a_file_sorted_by_path(release):
    folder, files = release
    expected = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}" for name in sorted(files)]
    assert checksums(folder).decode() == "\n".join(expected) + "\n"


def test_sums_are_the_same_when_they_lie_in_the_folder_already(release):
    folder, _ = release
    first = checksums(folder)
    (folder / CHECKSUMS).write_bytes(first)
    assert checksums(folder) == first


def test_a_file_of_the_same_name_further_down_is_summed(release):
    folder, _ = release
    (folder / "triton" / CHECKSUMS).write_bytes(b"no sums")
    assert f"  triton/{CHECKSUMS}\n" in checksums(folder).decode()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum on this machine")
def test_sha256sum_agrees_and_sees_a_change(release):
    folder, files = release
    (folder / CHECKSUMS).write_bytes(checksums(folder))

    def check():
        command = ["sha256sum", "--check", "--strict", CHECKSUMS]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    good = check()
    assert good.returncode == 0
    assert good.stdout.splitlines() == [f"{name}: OK" for name in sorted(files)]
    (folder / "triton/a b/config.pbtxt").write_bytes(b"changed")
    bad = check()
    assert bad.returncode == 1
    assert "triton/a b/config.pbtxt: FAILED" in bad.stdout


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "a\rb"])
def test_names_that_would_need_escaping_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match="line break or a backslash"):
        checksums(tmp_path)


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is no folder"):
        checksums(tmp_path / "nothing")


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "secret").write_bytes(b"")

    def refuse(*_: object):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hashlib, "file_digest", refuse)
    with pytest.raises(UsageError, match="secret cannot be read: Permission denied"):
        checksums(tmp_path)


def test_signatures_of_the_sums_are_not_summed(release):
    folder, _ = release
    first = checksums(folder)
    (folder / f"{CHECKSUMS}.asc").write_bytes(b"signed")
    assert checksums(folder) == first
    (folder / f"{CHECKSUMS}.asc").unlink()
