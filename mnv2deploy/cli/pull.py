"""``mnv2deploy pull``: weights and photo sets into the cache, checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv2deploy.errors import UsageError

if TYPE_CHECKING:
    from mnv2deploy.weights.fetch import Fetched

_CATALOG = "the catalog"


def pull(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="A model or photo set of the catalog, or the path of a TOML.")
    ],
    offline: Annotated[bool, typer.Option("--offline", help="Open no connection: only look into the cache.")] = False,
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="PATH", help="Take this file or folder, got some other way, and check it."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Copy the files into this folder too.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Download weights and photo sets into the cache, and check their hashes."""
    from mnv2deploy.catalog import resolve_downloads, resolve_labels
    from mnv2deploy.cli.progress import terminal_progress
    from mnv2deploy.weights.fetch import fetch

    if from_ is not None and len(names) != 1:
        raise UsageError("--from says where one NAME comes from; pull the others in a command of their own.")
    if output is not None and output.exists() and not output.is_dir():
        raise UsageError(f"{output} is not a folder.")
    # Every name is looked up before anything is downloaded: a typing error shows at once.
    downloads = list(dict.fromkeys(download for name in names for download in resolve_downloads(name)))
    progress = terminal_progress(quiet=quiet, of_bytes=True)
    fetched = [fetch(download, offline=offline, local=from_, progress=progress) for download in downloads]
    rows = [row for one in fetched for row in _rows(one)]
    if output is not None:
        _copy(rows, output)
        rows += _write_labels({file: label for name in names for file, label in resolve_labels(name).items()}, output)
    if json:
        from json import dumps

        typer.echo(dumps({"files": rows}))
    elif not quiet:
        for row in rows:
            brought = from_ if row["source"] != _CATALOG else None
            origin = "already in the cache" if row["cached"] else brought or row["source"]
            typer.echo(f"{row['path']}  {row['size'] / 1e6:.1f} MB  {origin}")


def _rows(fetched: Fetched) -> list[dict[str, Any]]:
    return [
        {
            "name": file.name,
            "path": str(fetched.files[file.name]),
            "sha256": file.sha256,
            "size": file.size,
            "source": fetched.source.url,
            "cached": fetched.cached,
        }
        for file in fetched.source.files
    ]


def _write_labels(labels: dict[str, int], folder: Path) -> list[dict[str, Any]]:
    """Writes ``labels.csv``, as `mnv2deploy evaluate` reads it; returns its row, or none where nothing has a label."""
    if not labels:
        return []
    import hashlib

    from mnv2deploy.files import write_atomically

    path = folder / "labels.csv"
    content = "".join(["file,class_index\n", *(f"{file},{labels[file]}\n" for file in sorted(labels))]).encode()
    write_atomically(path, content)
    digest = hashlib.sha256(content).hexdigest()
    return [
        {
            "name": path.name,
            "path": str(path),
            "sha256": digest,
            "size": len(content),
            "source": _CATALOG,
            "cached": False,
        }
    ]


def _copy(rows: list[dict[str, Any]], folder: Path) -> None:
    """Copies the files and makes the rows name the copies."""
    from mnv2deploy.catalog.sources import SourceFile
    from mnv2deploy.weights.verified import copy_verified, is_intact

    digests: dict[str, str] = {}
    for row in rows:
        if digests.setdefault(row["name"], row["sha256"]) != row["sha256"]:
            raise UsageError(f"Two of these have a file named {row['name']}; give each a folder of its own.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for row in rows:
            file = SourceFile(row["name"], row["name"], row["sha256"], row["size"])
            if not is_intact(folder / file.name, file):
                copy_verified(Path(row["path"]), file, folder)
            row["path"] = str(folder / file.name)
    except OSError as error:
        raise UsageError(f"{error.filename or folder} could not be written: {error.strerror or error}.") from error
