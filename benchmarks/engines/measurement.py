"""One model, one number of threads: every engine's process started, checked, and timed in turns."""

import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engines import agreement, conversion, environments
from engines.driver import EngineProcess
from engines.environments import UnavailableError
from engines.results import KINDS, Group, Row
from engines.specs import ENGINES, LOOSE, OURS, Spec
from mnv2deploy.contract import Contract, Quantization
from mnv2deploy.progress import Progress
from mnv2deploy.runtime import images
from mnv2deploy.runtime.preprocessing import prepare

WARM_UP_TURNS = 3
PASS = 4  # pictures of one pass of answers; the next round takes the next four
# Of answers, with an exact tolerance of the outputs and with a loose one: peers resize differently, which may change a
# class or a box that is near another or near the threshold.
LEAST_AGREEMENT, LEAST_LOOSE_AGREEMENT = 0.75, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to measure.

    Attributes:
        engines: Names, ours the first.
        rounds: In each, every engine has a turn for the model and one for answers.
        seconds: Of a turn, at least.
        scratch: A folder for this run.
        cache: A folder kept from run to run: converted models, compiled code.
        environments: Where the engines are installed.
    """

    engines: tuple[str, ...]
    rounds: int
    seconds: float
    scratch: Path
    cache: Path
    environments: Path


class Measurement:
    """The engines' processes for one artifact and number of threads.

    Args:
        name: What to call the artifact.
        artifact: The file.
        contract: Its contract.
        threads: Of each engine.
        settings: How to measure.
        progress: Watches.
    """

    def __init__(
        self, name: str, artifact: Path, contract: Contract, threads: int, settings: Settings, progress: Progress
    ) -> None:
        self._name, self._artifact, self._contract, self._threads = name, artifact, contract, threads
        self._settings, self._progress = settings, progress
        self._cores = sorted(os.sched_getaffinity(0))[:threads]
        self._processes: dict[str, EngineProcess] = {}
        self._rows: dict[str, Row] = {}
        self._left_out: dict[str, str] = {}

    def run(self, pictures: list[Path], what: str) -> Group:
        """Starts, checks and times everybody.

        Args:
            pictures: To answer.
            what: They are.

        Raises:
            UnavailableError: our own engine failed.
        """
        try:
            self._admit_all(pictures)
            self._time(len(pictures))
        finally:
            for process in self._processes.values():
                process.stop()
        return Group(
            model=self._name,
            precision=precision_of(self._contract.provenance.quantization),
            threads=self._threads,
            pictures=what,
            rows=list(self._rows.values()),
            left_out=self._left_out,
        )

    def _admit_all(self, pictures: list[Path]) -> None:
        tensor = prepare(images.read(pictures[0]), self._contract.input, self._contract.preprocessing)
        np.save(self._settings.scratch / "tensor.npy", tensor)
        self._progress.start(f"{self._name}, threads {self._threads}: loading", len(self._settings.engines))
        for done, engine in enumerate(self._settings.engines):
            self._progress.update(done)
            try:
                self._admit(engine, pictures)
            except UnavailableError as error:
                self._leave_out(engine, error)

    def _admit(self, engine: str, pictures: list[Path]) -> None:
        """Starts an engine, has it prove that it computes what ours does, and warms it up."""
        spec, folder = ENGINES[engine], self._settings.scratch / engine
        model = self._model_for(spec)
        process = self._processes[engine] = self._start(spec, folder)
        contract, threads = self._contract.to_json(), self._threads
        loaded = process.ask("load", model=str(model), contract=contract, threads=threads, options=spec.options)
        process.ask("outputs", tensor=str(self._settings.scratch / "tensor.npy"), to=str(folder / "outputs.npz"))
        process.ask("answers", pictures=[str(path) for path in pictures], to=str(folder / "answers.npz"))
        error, same = self._compare(folder, LOOSE if self._quantized else spec.tolerance)
        process.ask("warm_up", seconds=WARM_UP_TURNS * self._settings.seconds)
        process.settle()
        self._rows[engine] = Row(engine=engine, description=loaded["description"], error=error, same_answers=same)

    @property
    def _quantized(self) -> bool:
        return self._contract.provenance.quantization is not None

    def _model_for(self, spec: Spec) -> Path:
        """The artifact, or what it is converted to."""
        if self._quantized and not spec.runs_quantized:
            raise UnavailableError("it runs the float32 network only, and this artifact is quantized")
        if self._contract.input.dtype == "uint8" and not spec.runs_quantized:
            raise UnavailableError("it runs the network without its normalisation, which this artifact has inside")
        if spec.converter is None:
            return self._artifact
        cache, environments = self._settings.cache / "converted", self._settings.environments
        return conversion.convert(spec.converter, self._artifact, self._contract, cache, environments)

    def _start(self, spec: Spec, folder: Path) -> EngineProcess:
        python = Path(sys.executable)
        if spec.environment is not None:
            python = environments.python_of(spec.environment, self._settings.environments)
        # One compiling thread keeps torch from starting processes that would outlive their use.
        compiled = str(self._settings.cache / "inductor")
        variables = {"TORCHINDUCTOR_CACHE_DIR": compiled, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        return EngineProcess(spec.module, python, self._cores, folder, variables)

    def _compare(self, folder: Path, tolerance: float) -> tuple[float, float]:
        """Error and agreement, against what our own engine saved."""
        ours = self._settings.scratch / OURS
        try:
            error = agreement.output_error(*(agreement.read(each / "outputs.npz") for each in (ours, folder)))
        except ValueError as failure:
            raise UnavailableError(f"it computes something else: {failure}") from failure
        if not error <= tolerance:
            raise UnavailableError(f"it computes something else: its outputs differ by {error:.2g} of their range")
        answers = [agreement.read(each / "answers.npz") for each in (ours, folder)]
        same = agreement.agreement(self._contract.task, *answers)
        if not same >= (LEAST_LOOSE_AGREEMENT if tolerance == LOOSE else LEAST_AGREEMENT):
            raise UnavailableError(f"it answers something else: only {same:.1%} of its answers are ours")
        return error, same

    def _leave_out(self, engine: str, error: UnavailableError) -> None:
        """Ends an engine's part, unless it is ours: then nothing is left to compare with."""
        if engine == OURS:
            raise error
        self._left_out[engine] = str(error)
        self._rows.pop(engine, None)
        if process := self._processes.pop(engine, None):
            process.stop()
        print(f"{self._name}, threads {self._threads}: {engine} is left out: {error}.", file=sys.stderr)

    def _time(self, pictures: int) -> None:
        """All rounds."""
        began = time.monotonic()
        for process in self._processes.values():
            process.rest()
        turns = [(engine, kind) for engine in self._processes for kind in KINDS]
        shuffle = random.Random(0)  # noqa: S311 - a fixed order is wanted
        self._progress.start(f"{self._name}, threads {self._threads}", self._settings.rounds * len(turns))
        for done in range(self._settings.rounds):
            shuffle.shuffle(turns)
            chosen = [(done * PASS + index) % pictures for index in range(PASS)]
            for index, (engine, kind) in enumerate(turns):
                self._progress.update(done * len(turns) + index)
                if engine in self._rows:
                    self._turn(engine, kind, chosen)
        elapsed = time.monotonic() - began
        for engine, row in self._rows.items():
            row.idle_share = self._processes[engine].idle_seconds / elapsed

    def _turn(self, engine: str, kind: str, pictures: list[int]) -> None:
        process = self._processes[engine]
        try:
            process.wake()
            reply = process.ask("time", kind=kind, pictures=pictures, seconds=self._settings.seconds)
            process.settle()
        except UnavailableError as error:
            self._leave_out(engine, error)
            return
        process.rest()
        row = self._rows[engine]
        row.seconds[kind].append(reply["seconds"])
        row.calls += reply["calls"]
        row.undisturbed += reply["undisturbed"]


def precision_of(quantization: Quantization | None) -> str:
    """In few words."""
    if quantization is None:
        return "float32"
    return f"weights {quantization.weights}, activations {quantization.activations}"
