"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from mnv2deploy.errors import MissingDependencyError, Mnv2deployError, UsageError


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that nobody ever sees half of it, and a failure leaves what was there before.

    The bytes go to a new file in the same folder, which then takes the name. Its permissions are those of any new file
    (0666 less the umask). Nothing is forced to the disk: this guards against a killed program, not a power cut.

    Args:
        path: Replaced where it exists. Its folder must exist.
        data: The whole content.

    Raises:
        UsageError: the file cannot be written there.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(data)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; choose another place.") from error


def explain(error: OSError, where: Path) -> Mnv2deployError:
    """What to tell a person of files that could not be written.

    Args:
        error: As the system raised it.
        where: The folder they were to be in.
    """
    if error.errno == errno.ENOSPC:
        return MissingDependencyError(f"{where}: the disk is full; make room and try again.")
    return UsageError(f"{where} cannot be written: {error.strerror or error}; choose another place.")


def make_folder(path: Path) -> list[Path]:
    """Makes a folder and those above it, where they are missing.

    Returns:
        Those that were missing, the innermost first.

    Raises:
        UsageError: it cannot be made there.
    """
    try:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be made a folder: {error.strerror}; choose another place.") from error
    return missing


@contextlib.contextmanager
def output_folder(path: Path) -> Iterator[None]:
    """Makes a folder before the work on what is to be written there, and takes it away again if nothing was.

    Raises:
        UsageError: it cannot be made there.
    """
    made = make_folder(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it is not empty
            for folder in made:
                folder.rmdir()


def sync(folder: Path, *, deep: bool = True) -> None:
    """Has the disk hold a folder, so that a power cut after a rename finds whole files under the new name.

    Args:
        folder: To be held.
        deep: With all that is in it; otherwise only the names of what is directly in it.

    Raises:
        OSError: the disk refuses.
    """
    for path in [*(folder.rglob("*") if deep else ()), folder]:
        if path.is_dir() and os.name == "nt":
            continue  # Windows cannot open folders, and writes their entries through
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
