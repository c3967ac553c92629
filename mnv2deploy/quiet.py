"""Keeps what OpenCV and its C libraries print about odd pictures off the user's terminal."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

_STDERR = 2


@contextlib.contextmanager
def quiet_decoders() -> Iterator[None]:
    """Inside the block only Python writes to stderr.

    OpenCV, libpng and libjpeg write straight to file descriptor 2, and only OpenCV can be told not to. So
    ``sys.stderr`` moves to another descriptor of the same terminal, and 2 leads nowhere. For this program's own
    process only: a library must not do that to its caller.
    """
    sys.stderr.flush()
    terminal, nowhere = os.dup(_STDERR), os.open(os.devnull, os.O_WRONLY)
    usual = sys.stderr
    sys.stderr = os.fdopen(terminal, "w", buffering=1, encoding=usual.encoding, errors=usual.errors)
    os.dup2(nowhere, _STDERR)
    try:
        yield
    finally:
        os.dup2(terminal, _STDERR)
        sys.stderr.close()
        sys.stderr = usual
        os.close(nowhere)
