"""What a build says while it runs."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mnv2deploy.artifacts.store import Kept
from mnv2deploy.artifacts.watching import LOG, LogWatcher, StepProgress, Watcher, start_logging


def kept(*, was_made: bool) -> Kept:
    return Kept(folder=Path("store/export-1"), key="123", was_made=was_made, seconds=1.25)


@pytest.fixture
def log(capsys):
    """Starts the log at a level; what is written since, in lines."""
    handlers, propagate, level = LOG.handlers, LOG.propagate, LOG.level

    def start(name: str):
        start_logging(name)
        return lambda: capsys.readouterr().err.splitlines()

    yield start
    LOG.handlers, LOG.propagate = handlers, propagate
    LOG.setLevel(level)


def tell(watcher: Watcher) -> None:
    watcher.makes("small", "export", "1/2")
    watcher.done("small", "export", "1/2", kept(was_made=True))
    watcher.done("small", "export", "1/2", kept(was_made=False))
    watcher.done("small", "time", "2/2", kept(was_made=False))
    watcher.warns("small", "few pictures.")


def test_a_step_is_a_line_and_one_that_is_found_again_none(log):
    lines = log("info")
    tell(LogWatcher(announce=False))
    assert [line.split() for line in lines()] == [
        ["small", "1/2", "export", "1.2", "s"],
        ["small", "2/2", "time", "unchanged"],
        ["Warning:", "small:", "few", "pictures."],
    ]


def test_where_no_bar_shows_it_a_line_says_that_a_step_begins(log):
    lines = log("info")
    tell(LogWatcher(announce=True))
    assert [line.split()[-1] for line in lines()] == ["...", "s", "unchanged", "pictures."]


@pytest.mark.parametrize(("level", "count"), [("debug", 7), ("info", 4), ("warning", 1), ("error", 0)])
def test_the_level_says_how_much(log, level, count):
    lines = log(level)
    tell(LogWatcher(announce=True))
    assert len(lines()) == count


def test_debug_says_where_a_step_is_and_its_key(log):
    lines = log("debug")
    LogWatcher(announce=False).done("small", "export", "1/2", kept(was_made=True))
    assert lines()[1] == f"made {Path('store/export-1')}, key 123"


def test_the_log_is_started_once_however_often(log):
    log("info")
    lines = log("info")
    LOG.log(logging.ERROR, "once")
    assert lines() == ["Error: once"]


def test_a_step_that_was_made_stays_made_when_it_is_found_again():
    watcher = Watcher()
    tell(watcher)
    assert [step.was_made for step in watcher.steps["small"].values()] == [True, False]


def test_progress_says_the_step_before_what_it_does():
    said: list[str | int | None] = []

    class Told:
        def start(self, description: str, total: int | None) -> None:
            said.extend([description, total])

        def update(self, done: int) -> None:
            said.append(done)

        def stop(self) -> None:
            said.append(None)

    progress = StepProgress(Told())
    progress.start("Reading", 3)
    progress.step = "small 1/2 export"
    progress.start("Reading", None)
    progress.update(2)
    progress.stop()
    assert said == ["Reading", 3, "small 1/2 export: Reading", None, 2, None]
