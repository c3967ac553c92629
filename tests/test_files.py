from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mnv2deploy.errors import MissingDependencyError, UsageError
from mnv2deploy.files import explain, output_folder, sync, write_atomically


def test_writes_a_new_file_and_replaces_an_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for content in (b"first, and longer", b"second"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_writes_beside_the_longest_name_a_folder_takes(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".bin")
    write_atomically(path, b"x")
    assert path.read_bytes() == b"x"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_gives_the_permissions_of_any_new_file(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), UsageError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_failure_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, raised: type[BaseException]
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(raised):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where", ["absent/a.bin", "file/a.bin", "folder"])
def test_says_which_file_cannot_be_written(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=f"{where} cannot be written: "):
        write_atomically(tmp_path / where, b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def _fail_in(folder: Path, error: BaseException) -> None:
    assert folder.is_dir()
    raise error


@pytest.mark.parametrize("error", [UsageError("no such model"), KeyboardInterrupt()])
def test_a_folder_for_what_was_never_written_is_gone_again(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "before").mkdir()
    for folder in (tmp_path / "before", tmp_path / "before" / "new" / "newer"):
        with pytest.raises(type(error)), output_folder(folder):
            _fail_in(folder, error)
    assert list(tmp_path.rglob("*")) == [tmp_path / "before"]


def test_a_folder_that_was_written_to_stays(tmp_path: Path) -> None:
    with output_folder(tmp_path / "new" / "newer"):
        write_atomically(tmp_path / "new" / "a", b"x")
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "new", tmp_path / "new" / "a"]


def test_a_folder_that_cannot_be_made_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match="file/new cannot be made a folder: "),
        output_folder(tmp_path / "file" / "new"),
    ):
        pytest.fail("work was begun")


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot open folders")
@pytest.mark.parametrize("deep", [True, False])
def test_sync_has_the_disk_hold_every_file_and_folder_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, deep: bool
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "in/b"):
        (tmp_path / name).write_bytes(b"x")
    held, handles = list[int](), Path("/proc/self/fd")
    monkeypatch.setattr(os, "fsync", lambda handle: held.append(os.fstat(handle).st_ino))
    opened = len(list(handles.iterdir())) if handles.exists() else 0
    sync(tmp_path, deep=deep)
    wanted = [tmp_path, *(tmp_path.rglob("*") if deep else ())]
    assert sorted(held) == sorted(path.stat().st_ino for path in wanted)
    assert held[-1] == tmp_path.stat().st_ino  # names after what they name
    assert opened == (len(list(handles.iterdir())) if opened else 0)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError(28, "No space left on device"), MissingDependencyError, "there: the disk is full; make room"),
        (PermissionError(13, "Permission denied"), UsageError, "there cannot be written: Permission denied; choose"),
        (OSError("odd"), UsageError, "there cannot be written: odd; choose"),
    ],
)
def test_what_the_system_refused_is_told_in_a_sentence(error: OSError, kind: type[Exception], message: str) -> None:
    told = explain(error, Path("there"))
    assert type(told) is kind
    assert str(told).startswith(message)
