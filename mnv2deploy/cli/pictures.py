"""What every picture command does with its pictures: read, answer, print, draw, and go on after a bad one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import typer

from mnv2deploy.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mnv2deploy.media.sources import Source

R = TypeVar("R")


class PictureRun(Generic[R]):
    """One command's run over its pictures.

    Args:
        arguments: Files and folders as the user wrote them.
        output: Value of ``-o``, or None to draw nothing.
        quiet: Print no answers.
        json: Print JSON Lines instead of text.

    Raises:
        UsageError: ``output`` cannot take the pictures.
    """

    def __init__(self, arguments: Sequence[str], *, output: str | None, quiet: bool, json: bool) -> None:
        from mnv2deploy.media.sources import find_sources

        self._sources: list[Source] = find_sources(arguments)
        self._quiet = quiet
        self._json = json
        self._outputs: list[Path | None] = [None] * len(self._sources)
        if output is not None:
            from mnv2deploy.media.sinks import plan_outputs

            readable = [index for index, source in enumerate(self._sources) if source.error is None]
            planned = plan_outputs(output, [self._sources[index].name for index in readable]) if readable else []
            for index, path in zip(readable, planned, strict=True):
                self._outputs[index] = path

    def __call__(
        self,
        answer: Callable[[NDArray[np.uint8]], R],
        *,
        to_json: Callable[[R], dict[str, Any]],
        to_text: Callable[[R], str],
        draw: Callable[[NDArray[np.uint8], R], NDArray[np.uint8]],
    ) -> None:
        """Answers every picture in order.

        Args:
            answer: The task; takes a (H, W, 3) uint8 RGB picture.
            to_json: Its result's fields, less ``source``.
            to_text: Its result for people.
            draw: Its result on the picture.

        Raises:
            typer.Exit: with code 3 if some picture could not be read; the others are done.
        """
        from mnv2deploy.cli.quiet import quiet_decoders

        with quiet_decoders():
            failures = self._answer_all(answer, to_json, to_text, draw)
        if failures:
            if len(self._sources) > 1:
                typer.echo(f"{failures} of {len(self._sources)} pictures could not be read.", err=True)
            raise typer.Exit(InputError.exit_code)

    def _answer_all(
        self,
        answer: Callable[[NDArray[np.uint8]], R],
        to_json: Callable[[R], dict[str, Any]],
        to_text: Callable[[R], str],
        draw: Callable[[NDArray[np.uint8], R], NDArray[np.uint8]],
    ) -> int:
        """Returns how many pictures could not be read."""
        from mnv2deploy.media.sources import read_sources

        progress = self._progress()
        progress.start("Pictures", total=len(self._sources))
        failures = 0
        try:
            pictures = zip(read_sources(self._sources), self._outputs, strict=True)
            for done, ((name, picture), output) in enumerate(pictures, start=1):
                if isinstance(picture, InputError):
                    failures += 1
                    self._print_failure(name, picture)
                else:
                    result = answer(picture)
                    if output is not None:
                        from mnv2deploy.media.sinks import save

                        save(output, draw(picture, result))
                    self._print_result(name, output, to_json(result) if self._json else to_text(result))
                progress.update(done)
        finally:
            progress.stop()
        return failures

    def _progress(self) -> Any:
        """A bar, unless the answers themselves scroll by on the same terminal."""
        from mnv2deploy.cli.progress import terminal_progress

        return terminal_progress(quiet=self._quiet or len(self._sources) < 2 or sys.stdout.isatty())

    def _print_failure(self, name: str, error: InputError) -> None:
        typer.echo(f"Error: {error}", err=True)
        if self._json:
            self._print_json({"source": name, "error": str(error)})

    def _print_result(self, name: str, output: Path | None, result: dict[str, Any] | str) -> None:
        if isinstance(result, dict):
            picture = {} if output is None else {"picture": str(output)}
            self._print_json({"source": name, **result, **picture})
        elif not self._quiet:
            written = "" if output is None else f"\n  drawn in {output}"
            typer.echo(f"{name}  {result}{written}")

    def _print_json(self, document: dict[str, Any]) -> None:
        from json import dumps

        typer.echo(dumps(document, ensure_ascii=False))
