"""What a slow step tells whoever is watching; the terminal's side of it is `mnv2deploy.cli.progress`."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A watcher of one thing at a time: every `start` ends what was shown before."""

    def start(self, description: str, total: int | None) -> None:
        """Begins something of ``total`` units (bytes, pictures), None where nobody knows."""

    def update(self, done: int) -> None:
        """Says how many units are done since `start`, in all."""

    def stop(self) -> None:
        """Ends it; harmless when nothing was started."""


class Silent:
    """Shows nothing."""

    def start(self, description: str, total: int | None) -> None: ...

    def update(self, done: int) -> None: ...

    def stop(self) -> None: ...


SILENT: Progress = Silent()
