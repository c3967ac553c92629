"""In which line of a TOML file a value stands, which the parser does not tell."""

from __future__ import annotations

import re
from collections.abc import Iterator

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\- \"']+?)\s*=")


def line_of(text: str, path: str) -> int:
    """The line of a value, or of the nearest table around it that has a line of its own.

    Args:
        text: Of a file that tomllib has read.
        path: Such as ``artifacts[1].checks.min_speedup``.

    Returns:
        Counted from 1.
    """
    lines = {place: number for number, place in _places(text)}
    while path and path not in lines:
        path = re.sub(r"(\.?[^.\[\]]+|\[\d+\])$", "", path)
    return lines.get(path, 1)


def _places(text: str) -> Iterator[tuple[int, str]]:
    """Line and path of every header and key."""
    table, counts = "", dict[str, int]()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _indexed(_dotted(header[2]), counts, begins=header[1] == "[[")
            yield number, table
        elif key := _KEY.match(line):
            yield number, f"{table}.{_dotted(key[1])}".lstrip(".")


def _indexed(name: str, counts: dict[str, int], *, begins: bool) -> str:
    """The name with the number of each list of tables in it: ``artifacts.checks`` as ``artifacts[1].checks``."""
    if begins:
        counts[name] = counts.get(name, -1) + 1
    parts, place, bare = name.split("."), "", ""
    for part in parts:
        bare = f"{bare}.{part}".lstrip(".")
        place = f"{place}.{part}".lstrip(".")
        if bare in counts:
            place += f"[{counts[bare]}]"
    return place


def _dotted(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))
