"""Parity: does onnxruntime compute from the artifact what torch computes from the network?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mnv2deploy.errors import VerificationError
from mnv2deploy.runtime.preprocessing import Tensor
from mnv2deploy.runtime.session import Session

TOLERANCE = 1e-4  # of the output's range
BATCHES = (1, 2, 5)
# Of a batch: torch and onnxruntime hold all the features of a layer at once, a gigabyte a megapixel in segmenters whose
# output stride is 8. So many are two pictures of 1024 x 2048.
MOST_PIXELS = 2**22


@dataclass(frozen=True, slots=True)
class OutputParity:
    """How far one output at one batch size is from torch's.

    Attributes:
        output: Its name.
        batch: Pictures at once.
        max_error: Greatest absolute difference.
        mean_error: Mean absolute difference.
        value_range: Greatest less least value torch computed.
    """

    output: str
    batch: int
    max_error: float
    mean_error: float
    value_range: float

    @property
    def relative_error(self) -> float:
        return self.max_error / self.value_range if self.value_range else self.max_error


def measure_parity(
    session: Session, network: nn.Module, pictures: Sequence[Tensor], batches: Sequence[int] = BATCHES
) -> list[OutputParity]:
    """Runs both on the same real pictures, at several batch sizes.

    Args:
        session: The artifact in onnxruntime.
        network: The torch network it was exported from, its outputs in the same order.
        pictures: (1, 3, H, W) float32 each, prepared as the contract says; repeated where a batch needs more.
        batches: Sizes to try; those of more than `MOST_PIXELS` pixels are left out, but never a single picture.

    Raises:
        VerificationError: torch's own outputs are not finite, or onnxruntime's have another shape.
    """
    results = []
    height, width = pictures[0].shape[2:]
    for batch in (size for size in batches if size == 1 or size * height * width <= MOST_PIXELS):
        tensor = np.concatenate([pictures[index % len(pictures)] for index in range(batch)])
        with torch.inference_mode(), _one_thread():
            expected = network(torch.from_numpy(tensor))
        expected = expected if isinstance(expected, tuple) else (expected,)
        for output, actual, wanted in zip(session.contract.outputs, session.run(tensor), expected, strict=True):
            reference = wanted.numpy()
            if not np.isfinite(reference).all():
                raise VerificationError(
                    f"The network itself answers NaN or infinity in {output.name}, in torch too; its weights are bad."
                )
            if actual.shape != reference.shape:
                raise VerificationError(
                    f"{output.name} has shape {actual.shape} in onnxruntime and {reference.shape} in torch."
                )
            error = np.abs(actual - reference)
            value_range = float(np.ptp(reference))
            results.append(OutputParity(output.name, batch, float(error.max()), float(error.mean()), value_range))
    return results


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch adds up in another order with other numbers of threads; what is measured is to be the same everywhere."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def require_parity(results: Sequence[OutputParity], where: str, tolerance: float = TOLERANCE) -> None:
    """Raises VerificationError if any output is further from torch's than ``tolerance`` of its range."""
    worst = max(results, key=lambda result: result.relative_error)
    # Written so that NaN fails too.
    if not worst.relative_error <= tolerance or any(np.isnan(result.max_error) for result in results):
        raise VerificationError(
            f"{where} was not written: at batch {worst.batch} {worst.output} differs from torch by "
            f"{worst.relative_error:.1e} of its range, more than {tolerance:.0e}."
        )
