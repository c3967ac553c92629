"""One configuration in a process of its own: ``python -m mnv2deploy.benchmark.worker``, driven through pipes.

`mnv2deploy.benchmark.process` is the other end. Each message is a line of JSON: first a task comes in and goes out what
it cost to open; then, for as long as there are commands, the answer to each.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from mnv2deploy.benchmark.memory import peak_memory
from mnv2deploy.benchmark.samplers import RunSampler, Sampler, StageSampler
from mnv2deploy.benchmark.schedule import settle, warm_up
from mnv2deploy.errors import MissingDependencyError, Mnv2deployError
from mnv2deploy.runtime.session import Session


def main() -> None:
    """Serves the process that started this one, until it closes the pipe."""
    answers = _take_stdout()
    try:
        sampler, opened = _open(json.loads(sys.stdin.readline()))
        _send(answers, opened)
        for line in sys.stdin:
            _send(answers, _obey(json.loads(line), sampler))
    except Mnv2deployError as error:
        _send(answers, {"error": type(error).__name__, "message": str(error)})


def _take_stdout() -> TextIO:
    """Standard output for the answers alone: what a C library prints goes to standard error from now on."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _send(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _open(task: dict[str, Any]) -> tuple[Sampler, dict[str, Any]]:
    """Opens the artifact, first of all that needs memory or time here."""
    memory = peak_memory()
    began = time.perf_counter()
    session = Session(Path(task["artifact"]), threads=task["threads"], provider=task["provider"])
    seconds = time.perf_counter() - began
    _check_provider(session, task["provider"])
    sampler: Sampler
    if task["pictures"]:
        sampler = StageSampler(session, [Path(picture) for picture in task["pictures"]])
    else:
        sampler = RunSampler(session, task["batch"])
    return sampler, {"load_seconds": seconds, "memory_before": memory}


def _check_provider(session: Session, provider: str) -> None:
    """Where a provider does not start, onnxruntime takes the CPU without a word: those would be the CPU's times."""
    if not session.providers[0].lower().startswith(provider.lower()):
        raise MissingDependencyError(
            f"onnxruntime could not start the provider {provider} and took {session.providers[0]} instead; "
            "see what the provider needs to be installed."
        )


def _obey(command: dict[str, Any], sampler: Sampler) -> dict[str, Any]:
    if command["do"] == "warm_up":
        turns = itertools.count()
        return {"seconds": warm_up(lambda: sum(sampler(next(turns) % sampler.inputs)))}
    if command["do"] == "burst":
        settle(lambda: sum(sampler(command["inputs"][0])))
        return {"samples": [sampler(index) for index in command["inputs"]]}
    return {"peak_memory": peak_memory()}


if __name__ == "__main__":
    main()
