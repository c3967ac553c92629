"""Calibration pictures, prepared once for everybody."""

from pathlib import Path

import numpy as np

from mnv2deploy.contract import Contract
from mnv2deploy.media.sources import find_sources, read_sources
from mnv2deploy.runtime.preprocessing import prepare


def write_tensors(pictures: Path, contract: Contract, target: Path) -> int:
    """Prepares the pictures of a folder as a contract says.

    Args:
        pictures: The folder.
        contract: Of the float32 artifact.
        target: Becomes a `.npy` file, (N, 3, H, W) float32.

    Returns:
        How many there are.

    Raises:
        InputError: one cannot be read.
    """
    tensors = []
    for _, picture in read_sources(find_sources([str(pictures)])):
        if isinstance(picture, Exception):
            raise picture
        tensors.append(prepare(picture, contract.input, contract.preprocessing))
    np.save(target, np.concatenate(tensors))
    return len(tensors)
