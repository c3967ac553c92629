"""Masks made of arithmetic, with everything that metrics of segmentation may disagree on; numpy only."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CLASSES, IGNORED = 8, 255
NEVER_TRUE, NOWHERE = 6, 7  # a class that is only answered, and one that is neither true nor answered
SIZES = ((7, 5), (1, 1), (64, 33), (40, 90), (13, 128))

Mask = NDArray[np.uint8]


def made_masks() -> Iterator[tuple[Mask, Mask]]:
    """Truth and answer of each picture: right on two thirds of the pixels, a ninth of which is not counted."""
    for number, (height, width) in enumerate(SIZES):
        noise = _noise(height * width, number).reshape(3, height, width)
        truth = (noise[0] % NEVER_TRUE).astype(np.uint8)
        answer = np.where(noise[1] % 3 == 0, noise[2] % NOWHERE, truth).astype(np.uint8)
        truth[noise[1] % 9 == 4] = IGNORED
        yield truth, answer


def _noise(count: int, seed: int) -> NDArray[np.uint32]:
    """Numbers without pattern that no version of numpy changes: xorshift32 of their places, (3 * count,)."""
    values = np.arange(1, 3 * count + 1, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed)
    for shift in (13, -17, 5):
        values ^= values << np.uint32(shift) if shift > 0 else values >> np.uint32(-shift)
    return values >> np.uint32(8)
