"""COCO's run-length encoding of masks, the compressed form."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray


class Rle(TypedDict):
    """What pycocotools' ``mask.decode`` takes, and JSON too: its ``counts`` are text here, bytes there."""

    size: list[int]
    counts: str


def encode_rle(mask: NDArray[np.bool_]) -> Rle:
    """Encodes where a mask is true, to the letter as pycocotools' ``mask.encode`` does.

    Runs go down the columns, one column after the other, and alternate, beginning with what is false
    (cocodataset/cocoapi, common/maskApi.c, rleEncode and rleToString).

    Args:
        mask: (H, W) bool. Fastest where its columns lie in one piece (``np.asfortranarray``).

    Returns:
        ``size``, height and width; and ``counts``, the lengths of the runs as text.
    """
    height, width = mask.shape
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    starts = np.concatenate([[0], changes]) if pixels[:1].any() else changes  # a mask true from the start: a run of 0
    runs = np.diff(starts, prepend=0, append=pixels.size)
    return Rle(size=[height, width], counts=_pack(runs))


def _pack(runs: NDArray[np.int64]) -> str:
    """The text of runs: from the fourth on their difference to the last run but one, in base 32.

    A number is its two's complement in as few groups of five bits as hold it with its sign, the lowest first; 32 is
    added to each group but the last, and 48 makes it a character.
    """
    numbers = runs.copy()
    numbers[3:] -= runs[1:-2]
    magnitude = np.where(numbers < 0, ~numbers, numbers)
    group = np.arange(int(magnitude.max()).bit_length() // 5 + 1)[:, None]
    last = (magnitude >= 1 << (5 * group[:-1] + 4)).sum(axis=0)  # each number's last group
    characters = (numbers >> 5 * group & 31) + 32 * (group < last) + 48
    text: bytes = characters.T[(group <= last).T].astype(np.uint8).tobytes()
    return text.decode("ascii")
