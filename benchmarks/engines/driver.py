"""The benchmark's side of an engine's process."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines.environments import UnavailableError
from engines.schedstat import totals

BENCHMARKS = Path(__file__).parent.parent
REPLY_SECONDS = 600.0
WINDOW_SECONDS, IDLE_SHARE, PATIENCE_SECONDS = 0.03, 0.03, 3.0


class EngineProcess:
    """A worker on exactly so many cores.

    Args:
        module: ``engines.MODULE`` has the engine.
        python: The interpreter it is installed for.
        cores: The processors it may use.
        folder: Its working folder; what it prints goes to ``stderr.txt`` there.
        environment: Variables to set.

    Attributes:
        idle_seconds: CPU time it has used between turns: see `rest` and `wake`.
    """

    def __init__(
        self, module: str, python: Path, cores: Sequence[int], folder: Path, environment: dict[str, str]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.idle_seconds = self._at_rest = 0.0
        self._log = folder / "stderr.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(python), "-m", "engines.worker", module, ",".join(map(str, cores))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=folder,
                env={**os.environ, **environment, "PYTHONPATH": str(BENCHMARKS)},
            )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """What the worker replies to a request (see `worker.Worker`).

        Raises:
            UnavailableError: it failed, died, or did not answer in ten minutes.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watchdog = threading.Timer(REPLY_SECONDS, self._process.kill)
        watchdog.start()
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watchdog.cancel()
        if not line:
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = lines[-1] if lines else "without a word"
            raise UnavailableError(f"its process ended with code {self._process.wait()} at {do}: {last}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise UnavailableError(f"{do}: {reply['error']}")
        return reply

    def settle(self) -> None:
        """Waits until its threads sleep: pools spin for a while after work, and would take the next turn's time.

        Raises:
            UnavailableError: they do not go to sleep.
        """
        used, deadline = self._ran(), time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            time.sleep(WINDOW_SECONDS)
            before, used = used, self._ran()
            if used - before <= IDLE_SHARE * WINDOW_SECONDS:
                return
        raise UnavailableError(f"its threads still keep a core busy {PATIENCE_SECONDS:g} s after its turn")

    def rest(self) -> None:
        """Begins to watch what it uses while it has nothing to do."""
        self._at_rest = self._ran()

    def wake(self) -> None:
        """Adds what it has used since `rest` to ``idle_seconds``."""
        self.idle_seconds += self._ran() - self._at_rest

    def _ran(self) -> float:
        return totals(self._process.pid)[0]

    def stop(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()
