"""The pictures that ``mnv2deploy bench --pipeline`` times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnv2deploy.errors import InputError


def sample_photos(*, offline: bool, quiet: bool) -> list[Path]:
    """The files of the sample photos.

    Raises:
        DownloadError: they cannot be had.
    """
    from mnv2deploy.catalog.photos import SAMPLE_PHOTOS, load_photos
    from mnv2deploy.cli.progress import terminal_progress
    from mnv2deploy.weights.fetch import fetch

    progress = terminal_progress(quiet=quiet, of_bytes=True)
    photos = [fetch(download, offline=offline, progress=progress) for download in load_photos(SAMPLE_PHOTOS)]
    return [path for photo in photos for path in photo.files.values()]


def readable_pictures(arguments: Sequence[str]) -> tuple[list[Path], list[tuple[str, InputError]]]:
    """Reads each picture once.

    Args:
        arguments: Files, and folders of them.

    Returns:
        The files that can be read; and of each other its name and what is wrong with it.

    Raises:
        InputError: none can be read.
    """
    from mnv2deploy.media.sources import find_sources, read_sources
    from mnv2deploy.quiet import quiet_decoders

    readable, failures = [], []
    with quiet_decoders():
        for name, picture in read_sources(find_sources(arguments)):
            if isinstance(picture, InputError):
                failures.append((name, picture))
            else:
                readable.append(Path(name))
    if not readable:
        first = failures[0][1]
        raise first if len(failures) == 1 else InputError(f"None of the {len(failures)} pictures can be read; {first}")
    return readable, failures
