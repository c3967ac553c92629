"""``SHA256SUMS``: what ``sha256sum -c`` reads."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mnv2deploy.errors import UsageError

CHECKSUMS = "SHA256SUMS"


def checksums(folder: Path) -> bytes:
    """The sums of all files below a folder, `CHECKSUMS` itself and its signatures (``SHA256SUMS.asc``) aside.

    Args:
        folder: Of a release.

    Returns:
        A line ``<hex digest>  <path>`` a file, sorted by path; paths are from the folder on, with ``/``.

    Raises:
        UsageError: it is no folder, a file cannot be read, or a name has a line break or a backslash, which stand in
            such a file as something else.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; give the folder of a release.")
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    names = sorted(name for name in files if name != CHECKSUMS and not name.startswith(f"{CHECKSUMS}."))
    return "".join(f"{_digest(files[name])}  {_checked(name, folder)}\n" for name in names).encode()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def _checked(name: str, folder: Path) -> str:
    if any(character in name for character in "\n\r\\"):
        raise UsageError(f"{folder}: the name {name!r} has a line break or a backslash; rename the file.")
    return name
