"""What one run is: of the network alone, or of the whole way from a picture file to the answer."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from mnv2deploy.errors import MissingDependencyError, ModelError, UsageError
from mnv2deploy.runtime.images import as_image
from mnv2deploy.runtime.pipeline import open_pipeline
from mnv2deploy.runtime.preprocessing import Tensor, prepare
from mnv2deploy.runtime.session import Session

STAGES = ("decode", "preprocess", "run", "postprocess")


class Sampler(Protocol):
    """Something to be timed.

    Attributes:
        inputs: How many different inputs it has.
    """

    inputs: int

    def __call__(self, index: int) -> tuple[float, ...]:
        """Runs input ``index`` once; returns the seconds of each stage."""


class RunSampler:
    """The network alone: one stage, and one input.

    Args:
        session: The artifact.
        batch: Pictures a run.

    Raises:
        UsageError: the graph takes another number of pictures, and no other.
        ModelError: the graph fails at this batch.
        MissingDependencyError: the input does not fit into memory.
    """

    def __init__(self, session: Session, batch: int) -> None:
        check_batch(session, batch)
        self._session = session
        try:
            self._tensors = [synthetic_input(session, batch)]
            session.run(self._tensors[0])
        except MemoryError as error:
            raise MissingDependencyError(
                f"There is not memory enough for {batch} pictures a run of {session.name}; take a smaller --batch."
            ) from error
        except Exception as error:  # onnxruntime's own exceptions have no common base
            reason = str(error).strip().partition("\n")[0][:200]
            raise ModelError(f"{session.name} fails with {batch} pictures a run ({reason}).") from error
        self.inputs = len(self._tensors)

    def __call__(self, index: int) -> tuple[float, ...]:
        """Runs it once."""
        tensor = self._tensors[index]
        began = time.perf_counter()
        self._session.run(tensor)
        return (time.perf_counter() - began,)


class StageSampler:
    """From a picture file to the answer, in the four `STAGES`.

    Reading the file belongs to ``decode``, but not the disk: the system has the file in memory after the first time.

    Args:
        session: The artifact.
        pictures: Files.

    Attributes:
        answer: To the picture last run; what `mnv2deploy.load` would have answered.

    Raises:
        UsageError: the graph takes several pictures a run, and no other number.
    """

    def __init__(self, session: Session, pictures: Sequence[Path]) -> None:
        check_batch(session, 1)
        self._session = session
        self._decode: Callable[..., object] = open_pipeline(session).decode
        self._pictures = pictures
        self.inputs = len(pictures)
        self.answer: object = None

    def __call__(self, index: int) -> tuple[float, ...]:
        """Answers one picture; the steps of `Session.run_picture` and the pipeline's own, with a clock between them."""
        contract = self._session.contract
        times = [time.perf_counter()]
        image = as_image(self._pictures[index])
        times.append(time.perf_counter())
        tensor = prepare(image, contract.input, contract.preprocessing)
        times.append(time.perf_counter())
        outputs = self._session.run(tensor)
        times.append(time.perf_counter())
        self.answer = self._decode(*[output[0] for output in outputs], height=image.shape[0], width=image.shape[1])
        times.append(time.perf_counter())
        return tuple(after - before for before, after in itertools.pairwise(times))


def check_batch(session: Session, batch: int) -> None:
    """Raises UsageError where the graph fixes another number of pictures a run."""
    if session.fixed_batch not in (None, batch):
        raise UsageError(
            f"{session.name} takes {session.fixed_batch} pictures a run and no other number, so batch {batch} cannot "
            "be timed; export it with a free batch dimension."
        )


def synthetic_input(session: Session, batch: int) -> Tensor:
    """A batch of one and the same noisy picture, prepared as the contract says: the same input on every machine.

    The time of these networks hangs on shapes, not on what a picture shows: no value is skipped, none is looked up.

    Returns:
        As many inputs of the kind the graph takes, (batch, 3, H, W) float32 or (batch, H, W, 3) uint8.
    """
    contract = session.contract
    shape = (contract.input.height, contract.input.width, 3)
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return np.repeat(prepare(picture, contract.input, contract.preprocessing), batch, axis=0)
