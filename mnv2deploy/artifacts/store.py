"""Steps of a build, each kept under a hash of all that decides what comes out of it.

A step's files are made in a folder nobody else sees and then take their names, its record last: a build that is killed
leaves either a whole step or none. The record holds a hash of every file, so what a crash of the machine or a hand has
damaged is noticed and made again. Builds that want the same step at the same time wait for the one that makes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from mnv2deploy.files import explain, make_folder, sync
from mnv2deploy.weights.verified import sha256_of

_RECORD = "step.json"
# Changes with the layout of what is kept.
_VERSION = 1
# Seconds; who waits longer is told for whom.
_PATIENCE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A step that is done.

    Attributes:
        folder: Its files; nobody may change them.
        key: Of what went into it.
        was_made: Whether it was made now, and not found.
        seconds: It took, now.
    """

    folder: Path
    key: str
    was_made: bool
    seconds: float


class Store:
    """A folder of steps, which several builds may use at once.

    Args:
        root: The folder.
        force: Make every step again, once.

    Attributes:
        locks: Folder of the locks.
        made: Keys of the steps that were made, and need not be made again.
    """

    def __init__(self, root: Path, *, force: bool = False) -> None:
        self._root = root
        self.locks = root / "locks"
        self._force = force
        self.made: set[str] = set()

    def find(self, name: str, inputs: Mapping[str, Any]) -> Kept | None:
        """A step that need not be made; None where it must be.

        Args:
            name: Of the step.
            inputs: All that decides what comes out of it, as JSON has it.
        """
        key = _key(name, inputs)
        folder = self._folder(name, key)
        if (self._force and key not in self.made) or not _is_intact(folder):
            return None
        return Kept(folder=folder, key=key, was_made=False, seconds=0.0)

    def run(
        self,
        name: str,
        inputs: Mapping[str, Any],
        make: Callable[[Path], None],
        waits: Callable[[], None] = lambda: None,
    ) -> Kept:
        """Finds a step, or makes it.

        Args:
            name: Of the step.
            inputs: All that decides what comes out of it, as JSON has it.
            make: Writes the step's files into the empty folder it is given.
            waits: Called where another build is making it, which is waited for.

        Raises:
            UsageError: the folder of steps cannot be written.
            MissingDependencyError: the disk is full.
        """
        key = _key(name, inputs)
        folder = self._folder(name, key)
        make_folder(self.locks)
        with _held(filelock.FileLock(self.locks / f"{folder.name}.lock"), waits):
            if kept := self.find(name, inputs):
                return kept
            start = time.monotonic()
            making = folder.with_name(f".{folder.name}")  # whoever has the lock is alone with it
            try:
                with _empty(making):
                    make(making)
                    _write_record(making, name, inputs)
                    sync(making)
                    _move(making, folder)
            except OSError as error:
                raise explain(error, self._root) from error
            self.made.add(key)
            return Kept(folder=folder, key=key, was_made=True, seconds=time.monotonic() - start)

    def _folder(self, name: str, key: str) -> Path:
        return self._root / f"{name}-{key[:24]}"


def _key(name: str, inputs: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([_VERSION, name, inputs], sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def _held(lock: filelock.BaseFileLock, waits: Callable[[], None]) -> Iterator[None]:
    try:
        lock.acquire(timeout=_PATIENCE)
    except filelock.Timeout:
        waits()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _empty(folder: Path) -> Iterator[None]:
    """The folder is empty at first, whatever a killed build left there, and gone in the end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path != folder / _RECORD
    )


def _write_record(folder: Path, name: str, inputs: Mapping[str, Any]) -> None:
    files = {file: sha256_of(folder / file) for file in _files(folder)}
    record = {"step": name, "inputs": inputs, "files": files}
    (folder / _RECORD).write_text(json.dumps(record, sort_keys=True, indent=1), encoding="utf-8")


def _is_intact(folder: Path) -> bool:
    try:
        files = json.loads((folder / _RECORD).read_text(encoding="utf-8"))["files"]
        return bool({name: sha256_of(folder / name) for name in files} == files)
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _move(source: Path, folder: Path) -> None:
    """Gives every file its name, the record last; another build may be reading files of the same content."""
    for name in [*_files(source), _RECORD]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).replace(folder / name)
    sync(folder)
