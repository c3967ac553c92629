"""Bytes are given their final name only after their size and sha256 are what the card says."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO

from mnv2deploy.catalog.sources import SourceFile
from mnv2deploy.errors import DownloadError

_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Returns the hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_intact(path: Path, file: SourceFile) -> bool:
    """Whether ``path`` can be read and holds exactly the bytes of ``file``."""
    try:
        return path.is_file() and path.stat().st_size == file.size and sha256_of(path) == file.sha256
    except OSError:
        return False


def check_sha256(got: str, wanted: str, what: str) -> None:
    """Compares two hex digests.

    Raises:
        DownloadError: they differ; the message shows enough of both to tell them apart.
    """
    if got != wanted:
        raise DownloadError(f"{what} has the wrong sha256: got {got[:12]}..., wanted {wanted[:12]}...")


def write_verified(stream: IO[bytes], file: SourceFile, folder: Path) -> Path:
    """Copies a stream to ``folder / file.name``, through a temporary name beside it.

    The bytes are counted while they are copied, so a stream that never ends stops at ``file.size``.

    Raises:
        DownloadError: the stream is longer or shorter than ``file.size``, or its sha256 is another one.
    """
    if Path(file.name).name != file.name:
        raise DownloadError(f"{file.name!r} is not a plain file name.")
    target = folder / file.name
    temporary = folder / f".{file.name}.{os.getpid()}.part"
    digest, count = hashlib.sha256(), 0
    try:
        with temporary.open("wb") as out:
            while chunk := stream.read(_CHUNK):
                count += len(chunk)
                if count > file.size:
                    raise DownloadError(f"{file.name} is larger than the {file.size} bytes the card declares.")
                digest.update(chunk)
                out.write(chunk)
        if count < file.size:
            raise DownloadError(f"{file.name} ends after {count} of {file.size} bytes.")
        check_sha256(digest.hexdigest(), file.sha256, file.name)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def copy_verified(path: Path, file: SourceFile, folder: Path) -> Path:
    """Copies a file the way `write_verified` does."""
    with path.open("rb") as stream:
        return write_verified(stream, file, folder)
