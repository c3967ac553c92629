"""Arguments and options that the picture commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Images = Annotated[
    list[str], typer.Argument(metavar="IMG...", help="Picture files, or folders of them.", show_default=False)
]
Model = Annotated[
    str, typer.Option(metavar="FILE_OR_NAME", help="An artifact, or a model of the catalog (built on first use).")
]
Drawings = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="PICTURE_OR_DIR", help="Draw the answers and write the pictures here."),
]
Threads = Annotated[
    int | None, typer.Option(help="Threads for one picture.  [default: every processor]", show_default=False)
]
Provider = Annotated[str, typer.Option(help="Execution provider of onnxruntime.")]
Offline = Annotated[bool, typer.Option("--offline", help="Open no connection.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors and, with --json, the JSON.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON Lines, one object a picture.")]
