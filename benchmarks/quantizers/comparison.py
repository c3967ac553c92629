"""How far quantized models are from the float32 one they came from, on the pictures of a labelled set."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.evaluation.dataset import Item
from mnv2deploy.progress import SILENT, Progress
from mnv2deploy.runtime import images
from mnv2deploy.runtime.pipeline import open_pipeline
from mnv2deploy.runtime.results import ClassificationResult, SegmentationResult
from mnv2deploy.runtime.session import Session


@dataclass(slots=True)
class Closeness:
    """Of one model's answers to the float32 model's, added up over pictures.

    Attributes:
        signal: Sum of the squares of the float32 model's first output.
        noise: Sum of the squares of its differences.
        same: Pictures of the same likeliest class, or pixels of the same class.
        answers: Pictures, or pixels; 0 for detectors, whose answers have no one-to-one counterpart.
    """

    signal: float = 0.0
    noise: float = 0.0
    same: int = 0
    answers: int = 0

    @property
    def agreement(self) -> float | None:
        """Share of the answers that are the same, 0..1; None for detectors."""
        return self.same / self.answers if self.answers else None

    @property
    def sqnr(self) -> float:
        """Signal to quantization noise of the first output, dB."""
        return 10 * math.log10(self.signal / self.noise) if self.noise else math.inf

    def add_outputs(self, reference: NDArray[Any], output: NDArray[Any]) -> None:
        """Counts the first output of one picture, of the same shape for both."""
        expected = reference.astype(np.float64)
        self.signal += float(np.square(expected).sum())
        self.noise += float(np.square(expected - output).sum())

    def add_answers(self, reference: object, answer: object) -> None:
        """Counts the answer to one picture."""
        if isinstance(reference, ClassificationResult) and isinstance(answer, ClassificationResult):
            self.same += reference.classes[0].class_id == answer.classes[0].class_id
            self.answers += 1
        elif isinstance(reference, SegmentationResult) and isinstance(answer, SegmentationResult):
            self.same += int((reference.mask == answer.mask).sum())
            self.answers += reference.mask.size


def compare(
    reference: Session, others: Sequence[Session], items: Sequence[Item], threads: int, progress: Progress = SILENT
) -> list[Closeness]:
    """Runs models on the same pictures, each prepared as the model's own contract says.

    Args:
        reference: The float32 model.
        others: Of the same task and outputs.
        items: Pictures that can be read.
        threads: Pictures at a time; sessions have one thread each.
        progress: Told how many pictures are done.
    """
    sessions = [reference, *others]
    pipelines: list[Any] = [open_pipeline(session) for session in sessions]

    def answer(item: Item) -> list[tuple[NDArray[Any], object]]:
        image = images.read(item.path)
        pairs = []
        for session, pipeline in zip(sessions, pipelines, strict=True):
            outputs, height, width = session.run_picture(image)
            # What boxes come out of detectors is not compared, so none are decoded.
            decoded = pipeline.decode(*outputs, height=height, width=width) if len(outputs) == 1 else None
            pairs.append((outputs[0], decoded))
        return pairs

    totals = [Closeness() for _ in others]
    progress.start("Comparing with float32", total=len(items))
    with ThreadPoolExecutor(threads) as pool:
        for done, (expected, *answers) in enumerate(pool.map(answer, items), 1):
            for total, (output, decoded) in zip(totals, answers, strict=True):
                total.add_outputs(expected[0], output)
                total.add_answers(expected[1], decoded)
            progress.update(done)
    progress.stop()
    return totals
