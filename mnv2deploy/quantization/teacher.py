"""What the float artifact answers to crops of the calibration pictures: what refinement learns from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mnv2deploy.contract import Contract
from mnv2deploy.quantization.augmentation import augmented
from mnv2deploy.quantization.graph import Floats
from mnv2deploy.quantization.inputs import Inputs
from mnv2deploy.quantization.observation import open_session
from mnv2deploy.runtime.preprocessing import prepare


def teacher_batches(
    model: Path, outputs: Sequence[str], inputs: Inputs, contract: Contract, size: int, seed: int
) -> Iterator[tuple[Floats, list[Floats]]]:
    """Endless batches: what the equalized graph is given, and what the float artifact answers.

    Args:
        model: The float artifact.
        outputs: Names of its outputs, in the order wanted.
        inputs: The calibration pictures, and how the equalized graph takes them.
        contract: Of the float artifact.
        size: Crops in a batch.
        seed: Of the crops.
    """
    session = open_session(model.read_bytes())
    crops = augmented(inputs.pictures, seed)
    while True:
        images = list(itertools.islice(crops, size))
        given = np.concatenate([prepare(image, contract.input, contract.preprocessing) for image in images])
        answers = session.run(list(outputs), {contract.input.name: given})
        yield np.concatenate([inputs.of(image) for image in images]), answers
