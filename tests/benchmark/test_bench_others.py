"""Whether others had the processors meanwhile."""

import subprocess
import sys
import time

import pytest

from mnv2deploy.benchmark import others as module
from mnv2deploy.benchmark.others import Others, OthersWatch


def write_stat(root, ticks, processors=2):
    (root / "proc").mkdir(exist_ok=True)
    lines = [f"cpu  {' '.join(map(str, ticks))}", *(f"cpu{index} 1 1" for index in range(processors)), "intr 5", ""]
    (root / "proc/stat").write_text("\n".join(lines), encoding="ascii")


@pytest.fixture
def clocks(monkeypatch):
    """Ten seconds pass between two looks, in which this process works for four."""
    monkeypatch.setattr(module.os, "sysconf", lambda name: 100)
    monkeypatch.setattr(module.time, "monotonic", iter([50.0, 60.0]).__next__)
    monkeypatch.setattr(module.os, "times", iter([(1, 1, 1, 1, 7), (2, 2, 2, 2, 9)]).__next__)


def test_others_had_what_was_used_less_what_we_used(clocks, tmp_path):
    write_stat(tmp_path, [100, 100, 100, 5000, 900, 100, 100, 100, 50, 50])
    watch = OthersWatch(2, tmp_path)
    # 2 s each of user, nice, system, irq, softirq and steal; idle, waiting and guests do not count
    write_stat(tmp_path, [300, 300, 300, 9000, 990, 300, 300, 300, 250, 250])
    others = watch.read()
    assert others == Others(processors_used=pytest.approx(0.8), processors=2, available=2)
    assert others.to_json() == {"processors_used": 0.8, "processors": 2, "available": 2, "disturbed": True}


def test_rounding_never_makes_others_work_backwards(clocks, tmp_path):
    write_stat(tmp_path, [100] * 10)
    watch = OthersWatch(2, tmp_path)
    assert watch.read().processors_used == 0


@pytest.mark.parametrize("text", [None, "", "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0\n", "cpu 1 2\n", "what else\n"])
def test_a_system_that_does_not_tell_is_not_called_idle(text, tmp_path):
    if text is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/stat").write_text(text, encoding="ascii")
    assert OthersWatch(2, tmp_path).read() is None


@pytest.mark.parametrize(
    ("used", "processors", "available", "disturbed"),
    [
        (0.3, 2, 2, False),
        (0.5, 2, 2, True),
        (6.0, 8, 2, False),  # six of eight are busy, and two are left for the two we may use
        (7.0, 8, 2, True),
    ],
)
def test_what_counts_is_what_they_leave(used, processors, available, disturbed):
    assert Others(used, processors, available).disturbed == disturbed


def test_an_ended_child_is_not_another_program(monkeypatch):
    """The system's own clock: a child that worked for half a second belongs to this process's time once it ended."""
    before, began = module._own_seconds(), time.monotonic()
    code = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert time.monotonic() - began >= 0.3
    assert module._own_seconds() - before >= 0.29
