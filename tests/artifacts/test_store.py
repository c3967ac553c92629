"""The store of steps: made once for the same inputs, whole or not at all, by several builds at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnv2deploy.artifacts import store as store_module
from mnv2deploy.artifacts.store import Store
from mnv2deploy.errors import MissingDependencyError, UsageError

# Writes half of a step, says so, and waits to be killed, or for a file to appear.
_SLOW = """
import sys, time
from pathlib import Path
from mnv2deploy.artifacts.store import Store

root, go = Path(sys.argv[1]), Path(sys.argv[2])

def make(folder):
    (folder / "a.txt").write_text("half")
    print("half", flush=True)
    while not go.exists():
        time.sleep(0.02)
    (folder / "a.txt").write_text("whole")

kept = Store(root).run("slow", {"n": 1}, make)
print(kept.was_made, (kept.folder / "a.txt").read_text(), flush=True)
"""


class Maker:
    """Writes a file, and counts how often."""

    def __init__(self, text: str = "whole") -> None:
        self.times = 0
        self.text = text

    def __call__(self, folder: Path) -> None:
        self.times += 1
        (folder / "deep").mkdir()
        (folder / "deep" / "a.txt").write_text(self.text)


def slow_build(root: Path, go: Path) -> subprocess.Popen[str]:
    """A process that is in the middle of a step."""
    process = subprocess.Popen([sys.executable, "-c", _SLOW, str(root), str(go)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    return process


def test_a_step_is_made_once_for_the_same_inputs(tmp_path):
    store, make = Store(tmp_path), Maker()
    first = store.run("export", {"opset": 18, "tools": {"a": "1"}}, make)
    again = Store(tmp_path).run("export", {"tools": {"a": "1"}, "opset": 18}, make)
    assert (first.was_made, again.was_made, make.times) == (True, False, 1)
    assert first.folder == again.folder
    assert (again.folder / "deep" / "a.txt").read_text() == "whole"


@pytest.mark.parametrize(
    ("name", "inputs"), [("export", {"opset": 19}), ("export", {"opset": "18"}), ("quantize", {"opset": 18})]
)
def test_other_inputs_are_another_step(tmp_path, name, inputs):
    store, make = Store(tmp_path), Maker()
    first = store.run("export", {"opset": 18}, make)
    other = store.run(name, inputs, make)
    assert make.times == 2
    assert first.folder != other.folder


def test_find_makes_nothing(tmp_path):
    store = Store(tmp_path)
    assert store.find("export", {}) is None
    store.run("export", {}, Maker())
    assert store.find("export", {}) is not None


def test_force_makes_every_step_again_but_only_once(tmp_path):
    make = Maker()
    Store(tmp_path).run("export", {}, make)
    forced = Store(tmp_path, force=True)
    assert forced.find("export", {}) is None
    make.text = "new"
    assert forced.run("export", {}, make).was_made
    kept = forced.run("export", {}, make)
    assert (kept.was_made, make.times) == (False, 2)
    assert (kept.folder / "deep" / "a.txt").read_text() == "new"


@pytest.mark.parametrize(
    "damage", ["changed", "gone", "record gone", '{"files": {"deep/a.txt"', "[]", "{}", '{"files": 3}']
)
def test_what_is_damaged_is_made_again(tmp_path, damage):
    make = Maker()
    folder = Store(tmp_path).run("export", {}, make).folder
    if damage == "changed":
        (folder / "deep" / "a.txt").write_text("wholf")
    elif damage == "gone":
        (folder / "deep" / "a.txt").unlink()
    elif damage == "record gone":
        (folder / "step.json").unlink()
    else:
        (folder / "step.json").write_text(damage)
    kept = Store(tmp_path).run("export", {}, make)
    assert (kept.was_made, make.times) == (True, 2)
    assert (kept.folder / "deep" / "a.txt").read_text() == "whole"


def test_a_step_that_fails_leaves_nothing(tmp_path):
    def fail(folder: Path) -> None:
        (folder / "a.txt").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        Store(tmp_path).run("export", {}, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["locks"]


def test_another_layout_of_the_store_is_another_step(tmp_path, monkeypatch):
    make = Maker()
    Store(tmp_path).run("export", {}, make)
    monkeypatch.setattr(store_module, "_VERSION", 2)
    assert Store(tmp_path).run("export", {}, make).was_made


def test_a_step_is_on_the_disk_before_it_takes_its_names_the_record_last(tmp_path, monkeypatch):
    """Else a killed build leaves a record of files that are not there, and a power cut names of empty files."""
    done: list[str] = []
    replace = Path.replace

    def noted(source: Path, target: Path) -> Path:
        done.append(target.name)
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", noted)
    monkeypatch.setattr(store_module, "sync", lambda folder: done.append(f"sync {folder.name.partition('-')[0]}"))
    kept = Store(tmp_path).run("export", {}, Maker())
    assert done == ["sync .export", "a.txt", "step.json", "sync export"]
    assert kept.seconds > 0


def test_the_record_says_what_went_in(tmp_path):
    folder = Store(tmp_path).run("export", {"opset": 18}, Maker()).folder
    record = json.loads((folder / "step.json").read_text())
    assert record["step"] == "export"
    assert record["inputs"] == {"opset": 18}
    assert list(record["files"]) == ["deep/a.txt"]


def test_a_build_that_is_killed_leaves_no_step_and_the_next_one_makes_it(tmp_path):
    process = slow_build(tmp_path, tmp_path / "never")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    store = Store(tmp_path)
    assert store.find("slow", {"n": 1}) is None
    kept = store.run("slow", {"n": 1}, Maker())
    assert kept.was_made
    assert sorted(path.name for path in kept.folder.iterdir()) == ["deep", "step.json"]
    assert not list(tmp_path.glob(".slow*"))


def test_a_build_waits_for_the_one_that_makes_the_same_step(tmp_path):
    go = tmp_path / "go"
    first = slow_build(tmp_path / "store", go)
    second = subprocess.Popen(
        [sys.executable, "-c", _SLOW, str(tmp_path / "store"), str(go)], stdout=subprocess.PIPE, text=True
    )
    time.sleep(0.5)
    assert second.poll() is None
    go.touch()
    answers = [process.communicate(timeout=30)[0] for process in (first, second)]
    assert answers == ["True whole\n", "False whole\n"]


def test_a_full_disk_is_said_in_a_sentence(tmp_path):
    def fill(folder: Path) -> None:
        with Path("/dev/full").open("w") as file:
            file.write("x")

    with pytest.raises(MissingDependencyError, match="the disk is full; make room and try again"):
        Store(tmp_path).run("export", {}, fill)
    assert [path.name for path in tmp_path.iterdir()] == ["locks"]


def test_a_store_that_cannot_be_written_is_said_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made a folder"):
        Store(tmp_path / "file").run("export", {}, Maker())


def test_who_waits_for_another_build_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("mnv2deploy.artifacts.store._PATIENCE", 0.05)
    go, told = tmp_path / "go", []
    first = slow_build(tmp_path / "store", go)
    kept = Store(tmp_path / "store").run("slow", {"n": 1}, Maker(), lambda: told.append(go.touch()))
    first.communicate(timeout=30)
    assert (kept.was_made, len(told)) == (False, 1)
