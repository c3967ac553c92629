"""Keeps what OpenCV and its C libraries print about odd pictures off the user's terminal.

OpenCV's own log has a level. libpng and libjpeg write straight to file descriptor 2 and have none, so the descriptor
points elsewhere while a picture is decoded. Whatever anything else in the process wrote there meanwhile is passed on.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2

if sys.platform != "win32":
    import fcntl

_STDERR = 2
_SILENT = 0
# OpenCV 5 moved it.
_set_log_level: Callable[[int], int] = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
# libpng: png.c; libjpeg: the JWRN_ messages of jerror.h; OpenCV: its log lines. libpng writes a message and the end of
# its line in two steps: messages that cross leave empty lines.
_DECODER_LINES = re.compile(
    rb"libpng (warning|error)|Corrupt JPEG data|Premature end of JPEG|Invalid SOS parameters|Inconsistent progression"
    rb"|Unknown Adobe color|Warning: unknown JFIF|Application transferred too many|\[ ?[A-Z]+:\d+@|\s*$"
)


class _Redirection:
    """File descriptor 2 turned away while at least one thread decodes.

    Decoding stays parallel: the lock is held only while a thread comes or goes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._terminal = -1
        self._catch = -1
        self._passed_on = 0
        self._log_level = 0

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._log_level = _set_log_level(_SILENT)
                self._turn_away()
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _set_log_level(self._log_level)
            if self._catch >= 0:
                self._give_back()

    def _turn_away(self) -> None:
        if sys.platform == "win32":  # OpenCV's wheels bring a C runtime of their own there, with a stderr of its own.
            return
        try:
            self._terminal = os.dup(_STDERR)
        except OSError:  # There is no stderr (a daemon): nothing to keep clean.
            return
        self._catch, self._passed_on = _anonymous_file(), 0
        os.dup2(self._catch, _STDERR)

    def _give_back(self) -> None:
        if self._inside == 0:
            os.dup2(self._terminal, _STDERR)
        size = os.fstat(self._catch).st_size
        if size > self._passed_on:
            caught = os.pread(self._catch, size - self._passed_on, self._passed_on)
            if self._inside > 0:  # Another thread may be in the middle of a line: leave it for the next time.
                caught = caught[: caught.rfind(b"\n") + 1]
            self._passed_on += len(caught)
            foreign = [line for line in caught.splitlines(keepends=True) if not _DECODER_LINES.match(line)]
            os.write(self._terminal, b"".join(foreign))
        if self._inside == 0:
            os.close(self._terminal)
            os.close(self._catch)
            self._catch = -1


def _anonymous_file() -> int:
    """A file descriptor for writing at the end only: threads that write at once must not overwrite each other."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("mnv2deploy-stderr", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    return descriptor


_redirection = _Redirection()


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Lets nothing that OpenCV, libpng or libjpeg print inside the block reach stderr. Reentrant and thread-safe."""
    _redirection.enter()
    try:
        yield
    finally:
        _redirection.leave()
