"""Files a person got some other way: checked against the card exactly like downloaded ones."""

from __future__ import annotations

from pathlib import Path

from mnv2deploy.catalog.sources import Download, Source, SourceFile
from mnv2deploy.errors import DownloadError
from mnv2deploy.weights.archives import unpack
from mnv2deploy.weights.verified import copy_verified, is_intact, sha256_of

_ARCHIVES = (".whl", ".zip", ".tgz", ".tar.gz", ".tar")


def take_local(path: Path, download: Download, folder: Path) -> Source:
    """Copies the files of the first source that ``path`` turns out to hold into ``folder``.

    Args:
        path: One of the sources' archives or files, or a folder with the archive or the plain files in it.
        download: What it should be.
        folder: Receives the verified files.

    Returns:
        The source it matched.

    Raises:
        DownloadError: nothing there has a sha256 the card names.
    """
    if not path.exists():
        raise DownloadError(f"{path} does not exist.")
    candidates = [path]
    if path.is_dir():
        for source in download.sources:
            if _take_plain(path, source, folder):
                return source
        candidates = sorted(entry for entry in path.iterdir() if entry.name.endswith(_ARCHIVES))
    for candidate in candidates:
        digest = sha256_of(candidate)
        for source in download.sources:
            if _take_file(candidate, digest, source, folder):
                return source
    if path.is_dir():
        names = ", ".join(dict.fromkeys(file.name for source in download.sources for file in source.files))
        raise DownloadError(
            f"{path} holds neither {names} of {download.name} nor an archive of them, as the card knows."
        )
    wanted = " or ".join(
        dict.fromkeys(f"{digest[:12]}..." for source in download.sources for digest in _digests(source))
    )
    raise DownloadError(f"{path} is not {download.name}: its sha256 is {digest[:12]}..., wanted {wanted}.")


def _take_plain(where: Path, source: Source, folder: Path) -> bool:
    """Takes plain files, lying side by side or as they lay in the archive."""
    found = [(_find(where, file), file) for file in source.files]
    if not all(path for path, _ in found):
        return False
    for path, file in found:
        if path is not None:
            copy_verified(path, file, folder)
    return True


def _find(where: Path, file: SourceFile) -> Path | None:
    names = dict.fromkeys((file.name, Path(file.member).name, file.member))
    return next((where / name for name in names if is_intact(where / name, file)), None)


def _take_file(path: Path, digest: str, source: Source, folder: Path) -> bool:
    if len(source.files) == 1 and digest == source.files[0].sha256:
        copy_verified(path, source.files[0], folder)
        return True
    if not source.is_archive or source.sha256 not in (digest, None):
        return False
    if source.sha256 is None and not path.name.endswith(_ARCHIVES):
        return False
    try:
        unpack(path, source.files, folder)
    except DownloadError:
        if source.sha256 is not None:
            raise
        return False  # an archive of no known digest is known by its members alone
    return True


def _digests(source: Source) -> list[str]:
    archive = [source.sha256] if source.sha256 is not None else []
    return archive + [file.sha256 for file in source.files if len(source.files) == 1 or not archive]
