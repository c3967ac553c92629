"""Do two engines compute the same?"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAME_OBJECT = 0.7  # intersection over union: resizing and precision move a box a little


def read(path: Path) -> list[NDArray[Any]]:
    """The arrays a worker saved, in order."""
    with np.load(path) as saved:
        return [saved[name] for name in saved.files]


def output_error(ours: list[NDArray[Any]], theirs: list[NDArray[Any]]) -> float:
    """The largest difference over the range of ours; of several outputs, the worst.

    Raises:
        ValueError: other outputs, or other shapes.
    """
    if [len(ours)] + [array.size for array in ours] != [len(theirs)] + [array.size for array in theirs]:
        raise ValueError(f"outputs {[array.shape for array in theirs]}, not {[array.shape for array in ours]}")
    pairs = zip(ours, theirs, strict=True)
    errors = [np.abs(a.ravel() - b.ravel().astype(np.float64)).max() / np.ptp(a) for a, b in pairs]
    return float(max(errors))


def agreement(task: str, ours: list[NDArray[Any]], theirs: list[NDArray[Any]]) -> float:
    """Share of answers that are the same, 0..1; answers as in `decoding`.

    To classify, pictures with the same first class; to detect, F1 of their objects against ours, an object being the
    same if its class is and the boxes overlap by 0.7; to segment, pixels of the same class.
    """
    pairs = list(zip(ours, theirs, strict=True))
    if task == "classify":
        return float(np.mean([a[0, 0] == b[0, 0] for a, b in pairs]))
    if task == "segment":
        return float(np.mean([(a == b).mean() if a.shape == b.shape else 0.0 for a, b in pairs]))
    objects = sum(len(a) + len(b) for a, b in pairs)
    return 2 * sum(matches(a, b) for a, b in pairs) / objects if objects else 1.0


def matches(ours: NDArray[Any], theirs: NDArray[Any]) -> int:
    """How many of our objects `(K, 6)` are among theirs; each of theirs counts once."""
    free = np.ones(len(theirs), bool)
    for entry in ours:
        overlaps = np.where(free & (theirs[:, 0] == entry[0]), overlap(entry[2:], theirs[:, 2:]), 0)
        if len(overlaps) and overlaps.max() >= SAME_OBJECT:
            free[overlaps.argmax()] = False
    return int((~free).sum())


def overlap(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of a box `(4,)` and others `(K, 4)`, ``xyxy``."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    both = sides.clip(0).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - both
    return both / np.maximum(union, 1e-12)
