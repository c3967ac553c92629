"""An engine's process: reads one JSON request a line on stdin, writes one JSON reply a line on stdout.

    python -m engines.worker MODULE CORES      (CORES like 0,1)

What a request asks for is the method of `Worker` that ``do`` names; what failed is answered as ``error``.
"""

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from engines.schedstat import totals

DISTURBANCE = 0.02  # of a call's time, waited for a processor
ENOUGH, PATIENCE = 3, 3  # undisturbed calls of each picture; a turn takes at most so many times its seconds


class Worker:
    """Holds the engine between requests."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._engine: Any = None
        self._feed: Any = None
        self._pictures: list[str] = []

    def load(self, model: str, contract: str, threads: int, options: dict[str, Any]) -> dict[str, Any]:
        """Opens a model, given as a path and its contract as JSON; says what runs it, with versions."""
        parsed = json.loads(contract, object_hook=lambda entries: SimpleNamespace(**entries))
        engine = importlib.import_module(f"engines.{self._module}").Engine
        self._engine = engine(model, parsed, threads, **options)
        return {"description": self._engine.description}

    def outputs(self, tensor: str, to: str) -> dict[str, Any]:
        """Runs the input in a .npy file, saves the raw outputs in the contract's order, and keeps the input."""
        self._feed = self._engine.feed(np.load(tensor))
        np.savez(to, *self._engine.run(self._feed))
        return {}

    def answers(self, pictures: list[str], to: str) -> dict[str, Any]:
        """Answers picture files, saves the answers, and keeps the pictures for `time`."""
        self._pictures = pictures
        np.savez(to, *(self._engine.as_array(self._engine.answer(picture)) for picture in pictures))
        return {}

    def warm_up(self, seconds: float) -> dict[str, Any]:
        """Turns of both kinds that are not counted: allocators, caches, clock frequency."""
        for kind in ("model", "answer"):
            self.time(kind, [0], seconds)
        return {}

    def time(self, kind: str, pictures: Iterable[int], seconds: float) -> dict[str, Any]:
        """One turn: passes over the pictures until ``seconds`` are over; one call before them is not counted.

        Where other programs take the processors away from some calls, these are made up for, for a while.

        Args:
            kind: ``model``: prepared input to raw outputs. ``answer``: picture file to final answer.
            pictures: Which of them make a pass. A pass of ``model`` is one call.
            seconds: At least so long; the pass that is running then is finished.

        Returns:
            ``seconds`` of one picture, the mean of the pictures' `typical`; the number of ``calls``, and how many of
            them were ``undisturbed``.
        """
        calls: list[Callable[[], object]]
        if kind == "model":
            calls = [partial(self._engine.run, self._feed)]
        else:
            calls = [partial(self._engine.answer, self._pictures[index]) for index in pictures]
        calls[0]()
        timings: list[list[Timing]] = [[] for _ in calls]
        began = time.perf_counter()
        while True:
            for call, past in zip(calls, timings, strict=True):
                past.append(timed(call))
            elapsed = time.perf_counter() - began
            calm = [sum(timing.undisturbed for timing in past) for past in timings]
            if elapsed >= seconds and (min(calm) >= ENOUGH or elapsed >= PATIENCE * seconds):
                return {
                    "seconds": statistics.fmean(typical(past) for past in timings),
                    "calls": sum(map(len, timings)),
                    "undisturbed": sum(calm),
                }


class Timing(NamedTuple):
    """One call: how long it took, and what its threads waited meanwhile for a processor, in seconds."""

    took: float
    waited: float

    @property
    def undisturbed(self) -> bool:
        return self.waited <= DISTURBANCE * self.took


def timed(call: Callable[[], object]) -> Timing:
    """Makes a call."""
    _, waited = totals("self")
    began = time.perf_counter()
    call()
    took = time.perf_counter() - began
    return Timing(took, totals("self")[1] - waited)


def typical(timings: list[Timing]) -> float:
    """The median of the undisturbed calls; of all, where none was."""
    return statistics.median(
        [timing.took for timing in timings if timing.undisturbed] or [timing.took for timing in timings]
    )


def main() -> None:
    """Serves until stdin ends."""
    module, cores = sys.argv[1:]
    # Before anything starts threads: they inherit it, and no engine can use more cores than it was given.
    os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not get between the replies
    worker = Worker(module)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # every library has its own; whatever it is, the driver is told
            text = " ".join(str(error).split())
            reply = {"error": f"{type(error).__name__}: {text}"[:300]}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
