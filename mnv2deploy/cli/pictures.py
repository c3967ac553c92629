"""What every picture command does with its pictures: read, answer, print, write files, and go on after a bad one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import typer

from mnv2deploy.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mnv2deploy.media.sources import Source

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _File(Generic[R]):
    """A file to be written for one picture, if it can be read."""

    field: str
    phrase: str
    path: Path
    write: Callable[[Path, NDArray[np.uint8], R], None]


class PictureRun(Generic[R]):
    """One command's run over its pictures.

    Args:
        arguments: Files and folders as the user wrote them.
        quiet: Print no answers.
        json: Print JSON Lines instead of text.
    """

    def __init__(self, arguments: Sequence[str], *, quiet: bool, json: bool) -> None:
        from mnv2deploy.media.sources import find_sources

        self._sources: list[Source] = find_sources(arguments)
        self._files: list[list[_File[R]]] = [[] for _ in self._sources]
        self._quiet = quiet
        self._json = json

    @property
    def names(self) -> list[str]:
        """The pictures that will be opened: what files are planned for."""
        return [source.name for source in self._sources if source.error is None]

    def add_files(
        self, field: str, phrase: str, paths: Sequence[Path], write: Callable[[Path, NDArray[np.uint8], R], None]
    ) -> None:
        """Has a file written for every picture that can be read.

        Args:
            field: What JSON calls it.
            phrase: What the text says before its path.
            paths: One for each of `names`.
            write: Takes the path, the picture and the result.
        """
        opened = [files for source, files in zip(self._sources, self._files, strict=True) if source.error is None]
        for files, path in zip(opened, paths, strict=True):
            files.append(_File(field, phrase, path, write))

    def add_drawings(self, output: str | None, draw: Callable[[NDArray[np.uint8], R], NDArray[np.uint8]]) -> None:
        """Has every picture drawn as ``-o PICTURE_OR_DIR`` says; None draws nothing.

        Raises:
            UsageError: ``output`` cannot take the pictures.
        """
        if output is None or not self.names:
            return
        from mnv2deploy.media.sinks import plan_outputs, save

        self.add_files(
            "picture",
            "drawn in",
            plan_outputs(output, self.names),
            lambda path, picture, result: save(path, draw(picture, result)),
        )

    def __call__(
        self,
        answer: Callable[[NDArray[np.uint8]], R],
        *,
        to_json: Callable[[R], dict[str, Any]],
        to_text: Callable[[R], str],
    ) -> None:
        """Answers every picture in order.

        Args:
            answer: The task; takes a (H, W, 3) uint8 RGB picture.
            to_json: Its result's fields, less ``source`` and those of the files.
            to_text: Its result for people.

        Raises:
            typer.Exit: with code 3 if some picture could not be read; the others are done.
        """
        from mnv2deploy.quiet import quiet_decoders

        with quiet_decoders():
            failures = self._answer_all(answer, to_json if self._json else to_text)
        if failures:
            if len(self._sources) > 1:
                typer.echo(f"{failures} of {len(self._sources)} pictures could not be read.", err=True)
            raise typer.Exit(InputError.exit_code)

    def _answer_all(
        self, answer: Callable[[NDArray[np.uint8]], R], to_output: Callable[[R], dict[str, Any] | str]
    ) -> int:
        """Returns how many pictures could not be read."""
        from mnv2deploy.media.sources import read_sources

        progress = self._progress()
        progress.start("Pictures", total=len(self._sources))
        failures = 0
        try:
            pictures = zip(read_sources(self._sources), self._files, strict=True)
            for done, ((name, picture), files) in enumerate(pictures, start=1):
                if isinstance(picture, InputError):
                    failures += 1
                    self._print_failure(name, picture)
                else:
                    result = answer(picture)
                    for file in files:
                        file.write(file.path, picture, result)
                    self._print_result(name, files, to_output(result))
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

    def _print_result(self, name: str, files: Sequence[_File[R]], result: dict[str, Any] | str) -> None:
        if isinstance(result, dict):
            self._print_json({"source": name, **result, **{file.field: str(file.path) for file in files}})
        elif not self._quiet:
            written = "".join(f"\n  {file.phrase} {file.path}" for file in files)
            typer.echo(f"{name}  {result}{written}")

    def _print_json(self, document: dict[str, Any]) -> None:
        from json import dumps

        typer.echo(dumps(document))
