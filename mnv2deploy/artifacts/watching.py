"""What a build says while it runs: a line a step in the log, for people and for CI alike."""

from __future__ import annotations

import logging
import sys

from mnv2deploy.artifacts.store import Kept
from mnv2deploy.progress import Progress

LOG = logging.getLogger("mnv2deploy.build")
LEVELS = ("error", "warning", "info", "debug")


class Watcher:
    """Remembers the steps, and says nothing.

    Attributes:
        steps: That are done, by recipe and name.
    """

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, Kept]] = {}

    def makes(self, recipe: str, step: str, place: str) -> None:
        """A step was not found and is being made; ``place`` is such as ``2/9``."""

    def waits(self, recipe: str, step: str, place: str) -> None:
        """Another build is making it, and is waited for."""

    def done(self, recipe: str, step: str, place: str, kept: Kept) -> None:
        """It is there."""
        del place
        self.steps.setdefault(recipe, {}).setdefault(step, kept)  # it may be found again after it was made

    def warns(self, recipe: str, message: str) -> None:
        """There is something to know."""


class StepProgress:
    """Says in front of what a step does which step it is.

    Attributes:
        step: To be said; empty says nothing.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.step = ""

    def start(self, description: str, total: int | None) -> None:
        self._progress.start(f"{self.step}: {description}" if self.step else description, total)

    def update(self, done: int) -> None:
        self._progress.update(done)

    def stop(self) -> None:
        self._progress.stop()


class LogWatcher(Watcher):
    """Writes the log.

    Args:
        announce: Whether a line says that a step begins, where no progress bar shows it.
    """

    def __init__(self, *, announce: bool) -> None:
        super().__init__()
        self._announce = announce

    def makes(self, recipe: str, step: str, place: str) -> None:
        if self._announce:
            LOG.info("%s", _line(recipe, step, place, "..."))

    def waits(self, recipe: str, step: str, place: str) -> None:
        LOG.info("%s", _line(recipe, step, place, "another build is making it"))

    def done(self, recipe: str, step: str, place: str, kept: Kept) -> None:
        if step not in self.steps.get(recipe, {}):
            LOG.info("%s", _line(recipe, step, place, f"{kept.seconds:.1f} s" if kept.was_made else "unchanged"))
        LOG.debug("%s", f"{'made' if kept.was_made else 'found'} {kept.folder}, key {kept.key}")
        super().done(recipe, step, place, kept)

    def warns(self, recipe: str, message: str) -> None:
        LOG.warning("%s", f"{recipe}: {message}")


def start_logging(level: str) -> None:
    """Sends the log to stderr, from this level on; for a program's start, not for a library's.

    Args:
        level: One of `LEVELS`.
    """
    handler = logging.StreamHandler(_CurrentStderr())
    handler.setFormatter(_Formatter())
    LOG.handlers, LOG.propagate = [handler], False
    LOG.setLevel(level.upper())


class _CurrentStderr:
    """Whatever ``sys.stderr`` is when a line is written: it moves while decoders are kept quiet."""

    def write(self, text: str) -> None:
        sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class _Formatter(logging.Formatter):
    """A step's line as it is; what needs attention begins with its level."""

    def format(self, record: logging.LogRecord) -> str:
        said = record.getMessage()
        return f"{record.levelname.capitalize()}: {said}" if record.levelno >= logging.WARNING else said


def _line(recipe: str, step: str, place: str, said: str) -> str:
    return f"{recipe:<20} {place:>5}  {step:<24} {said}"
