"""Progress on the terminal: on stderr, only where a person looks at it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mnv2deploy.progress import SILENT, Progress

if TYPE_CHECKING:
    import rich.progress


def terminal_progress(*, quiet: bool = False, of_bytes: bool = False) -> Progress:
    """Returns a progress bar on stderr, or a silent one when ``quiet`` or when stderr is not a terminal.

    Args:
        quiet: The person asked for silence.
        of_bytes: Units are bytes, shown as kB and MB; otherwise they are things, counted.
    """
    return SILENT if quiet or not sys.stderr.isatty() else _TerminalProgress(of_bytes)


class _TerminalProgress:
    """One bar, gone when it is done; rich is loaded by the first `start`."""

    def __init__(self, of_bytes: bool) -> None:
        self._of_bytes = of_bytes
        self._bar: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def start(self, description: str, total: int | None) -> None:
        bar = self._bar or self._make()
        if self._task is not None:
            bar.remove_task(self._task)
        self._task = bar.add_task(description, total=total)
        if self._bar is None:
            bar.start()
            self._bar = bar

    def update(self, done: int) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None

    def _make(self) -> rich.progress.Progress:
        from rich import console, progress, table

        return progress.Progress(
            # A long address is cut, for the bar to keep its place; "[" in it is no markup.
            progress.TextColumn("{task.description}", markup=False, table_column=table.Column(ratio=1, no_wrap=True)),
            progress.BarColumn(bar_width=30),
            progress.DownloadColumn() if self._of_bytes else progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            console=console.Console(stderr=True),
            transient=True,
            expand=True,
        )
