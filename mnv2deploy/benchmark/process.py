"""The driver's end of a `worker`: one configuration in a process of its own, which stands still between its turns.

Sessions side by side disturb each other: onnxruntime's threads go on spinning after a run, 25 ms here and over a
second on other machines, and whoever comes next has to do without their processors. MobileNetV2 on two threads of two
took 2.1 ms alone; 3.9 ms after another such session in the same process and 5.2 ms after one in a process of its own;
2.9 ms with spinning switched off; and 2.1 ms after a process that was stopped.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

from mnv2deploy import errors
from mnv2deploy.benchmark.configurations import Configuration


class Worker:
    """A started worker, stopped until it is asked something.

    Args:
        configuration: What it runs.
        pictures: Files to answer, stage by stage; none times the network alone.

    Attributes:
        load_seconds: What creating the session took, with everything imported.
        memory_before: Bytes, the most the process held before that; None where the system does not tell.

    Raises:
        Mnv2deployError: whatever opening the artifact raises.
    """

    def __init__(self, configuration: Configuration, pictures: Sequence[Path] = ()) -> None:
        self._configuration = configuration
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        # A process group of its own: Ctrl-C is for the driver, which kills its workers. Should the driver itself be
        # killed, the pipe's end lets a running worker finish, and a stopped one gets the hang-up of an orphaned group.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mnv2deploy.benchmark.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            process_group=0,
        )
        self._commands, self._answers = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        task = {
            "artifact": str(configuration.artifact),
            "threads": configuration.threads,
            "batch": configuration.batch,
            "provider": configuration.provider,
            "pictures": [str(picture) for picture in pictures],
        }
        try:
            opened = self._exchange(task)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.load_seconds: float = opened["load_seconds"]
        self.memory_before: int | None = opened["memory_before"]
        self._process.send_signal(signal.SIGSTOP)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for file in (self._commands, self._answers, self._log):
            with contextlib.suppress(BrokenPipeError):  # a command that could not be delivered
                file.close()

    def warm_up(self) -> float:
        """Seconds of a warm run, from `schedule.warm_up`."""
        seconds: float = self._ask({"do": "warm_up"})["seconds"]
        return seconds

    def burst(self, inputs: Sequence[int]) -> list[list[float]]:
        """Runs these inputs one after the other; returns the seconds of each run's stages."""
        samples: list[list[float]] = self._ask({"do": "burst", "inputs": list(inputs)})["samples"]
        return samples

    def peak_memory(self) -> int | None:
        """The most bytes the process ever held."""
        peak: int | None = self._ask({"do": "peak_memory"})["peak_memory"]
        return peak

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        self._process.send_signal(signal.SIGCONT)
        answer = self._exchange(command)
        self._process.send_signal(signal.SIGSTOP)
        return answer

    def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        line = ""
        with contextlib.suppress(BrokenPipeError):
            self._commands.write(json.dumps(message) + "\n")
            self._commands.flush()
            line = self._answers.readline()
        if not line:
            raise self._end()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["message"])
        return answer

    def _end(self) -> Exception:
        """Why there is no answer: the process is no more."""
        code = self._process.wait()
        if code == -signal.SIGKILL:
            name, batch = self._configuration.model, self._configuration.batch
            return errors.MissingDependencyError(
                f"The process that ran {name} with batch {batch} was killed, most likely because memory ran out; "
                "take a smaller --batch, or time fewer configurations at once."
            )
        self._log.seek(0)
        return RuntimeError(f"a worker ended with code {code}:\n{self._log.read().decode(errors='replace')}")
