"""The files of a release's folder: which are there, which names may be opened, and the list of their sums."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def is_safe(name: str) -> bool:
    """Whether a name out of a manifest is the path of something inside the release, on every system.

    It is relative, its separator is ``/``, it has neither ``..`` nor what another system would read otherwise (a
    backslash, a drive, a stream), and it can be shown.
    """
    return name.isprintable() and not {"\\", ":"} & set(name) and not {"", ".", ".."} & set(name.split("/"))


def walk(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Everything in a folder and those below it that is not a folder itself.

    Yields:
        The path inside the folder, with ``/``, and what is wrong with it: None of a plain file. Links are not followed,
        and nothing is opened.
    """
    for entry in sorted(_entries(folder), key=lambda entry: entry.relative_to(folder).as_posix()):
        name = entry.relative_to(folder).as_posix()
        mode = entry.lstat().st_mode
        if not is_safe(name):
            yield name, f"{name!r} is a name that not every system can have; nothing in a release is called so."
        elif stat.S_ISLNK(mode):
            yield name, f"{name} is a link to elsewhere; a release consists of files."
        elif stat.S_ISDIR(mode):
            yield name, f"{name} is a folder that cannot be read."
        else:
            yield name, None if stat.S_ISREG(mode) else f"{name} is no plain file."


def _entries(folder: Path) -> Iterator[Path]:
    failed: list[str] = []
    for parent, folders, files in os.walk(folder, onerror=lambda error: failed.append(str(error.filename))):
        yield from (Path(parent, name) for name in files)
        yield from (path for name in folders if (path := Path(parent, name)).is_symlink())
    yield from map(Path, failed)


def read_sums(path: Path) -> tuple[dict[str, str], list[str]]:
    """Reads a list of sums as ``sha256sum`` writes it.

    Returns:
        The digest of each name, and what is wrong with the list, in sentences.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}, [f"{path.name} cannot be read."]
    sums: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        match = _LINE.fullmatch(line)
        if match is None or not is_safe(match[2]):
            problems.append(f"{path.name}, line {number}, is not the sum of a file of the release: {line[:120]!r}.")
        elif match[2] in sums:
            problems.append(f"{path.name} lists {match[2]} twice.")
        else:
            sums[match[2]] = match[1]
    return sums, problems
