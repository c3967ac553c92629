"""Whether a TensorFlow graph's SSD anchors are those that can be made here: it holds them, or what they are made of."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.catalog.network_specs import SsdAnchors
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.assembly import Tensors

_STORED = "Postprocessor/ExpandDims"  # (1, anchors, 4): ymin, xmin, ymax, xmax
# The generator's arithmetic, one of each a feature map, in their order: sqrt(ratios), and the heights that are scales
# over them.
_RATIOS = r"MultipleGridAnchorGenerator/Sqrt(?:_(\d+))?/x"
_SCALES = r"MultipleGridAnchorGenerator/truediv(?:_(\d+))?/x"
_TOLERANCE = 1e-4

Floats = NDArray[np.floating[Any]]


def check_anchors(raw: Tensors, anchors: SsdAnchors, where: str) -> None:
    """Compares scales and aspect ratios with the file's own.

    Args:
        raw: Every constant of the graph.
        anchors: What would be built.
        where: File name, for messages.

    Raises:
        CheckpointError: the file has other anchors, or does not show them.
    """
    maps = [(np.array(scales), np.array(ratios)) for scales, ratios in _scales_and_ratios(anchors)]
    stored = raw.get(_STORED)
    if stored is not None and stored.ndim == 3 and stored.shape[::2] == (1, 4):
        sizes = [np.stack([scales / np.sqrt(ratios), scales * np.sqrt(ratios)], axis=1) for scales, ratios in maps]
        expected = [np.tile(size, (math.prod(grid), 1)) for size, grid in zip(sizes, anchors.grids, strict=True)]
        fits = _alike([stored[0, :, 2:] - stored[0, :, :2]], [np.concatenate(expected)])
    else:
        ratios, scales = (_numbered(raw, pattern) for pattern in (_RATIOS, _SCALES))
        if not ratios or not scales:
            raise CheckpointError(f"{where} does not show its anchors; describe them in a card, see docs/cards.md.")
        fits = _alike(scales, [scale for scale, _ in maps]) and _alike(ratios, [ratio for _, ratio in maps])
    if not fits:
        raise CheckpointError(
            f"{where} has other anchors than scales {anchors.min_scale} to {anchors.max_scale} and ratios "
            f"{', '.join(map(str, anchors.aspect_ratios))}; describe them in a card, see docs/cards.md."
        )


def _scales_and_ratios(anchors: SsdAnchors) -> Iterator[tuple[list[float], list[float]]]:
    """Of each anchor of a cell, map by map; the rule is `mnv2deploy.networks.ssdlite.ssd_anchor_layers`'."""
    steps = len(anchors.grids) - 1
    scales = [anchors.min_scale + (anchors.max_scale - anchors.min_scale) * step / steps for step in range(steps + 1)]
    yield [scale for scale, _ in anchors.lowest_layer], [ratio for _, ratio in anchors.lowest_layer]
    for scale, following in zip(scales[1:], [*scales[2:], 1.0], strict=True):
        between = math.sqrt(scale * following)
        yield [scale] * len(anchors.aspect_ratios) + [between], [*anchors.aspect_ratios, 1.0]


def _numbered(raw: Tensors, pattern: str) -> list[Floats]:
    """The lists among constants of such names, by their number."""
    found = {int(match[1] or 0): raw[name] for name in raw if (match := re.fullmatch(pattern, name))}
    return [found[number] for number in sorted(found) if found[number].ndim == 1]


def _alike(found: Sequence[Floats], expected: Sequence[Floats]) -> bool:
    return len(found) == len(expected) and all(
        one.shape == other.shape and np.allclose(one, other, atol=_TOLERANCE)
        for one, other in zip(found, expected, strict=True)
    )
