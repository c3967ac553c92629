"""The first convolution, of three channels, as one of twelve: what onnxruntime's eight-bit kernels are fast at.

They multiply channels in fours, and what has no four (a picture) they first copy, patch by patch; on MobileNetV2's stem
that copying takes longer than anything else in the network. Four pixels that lie beside each other in (N, H, W, 3) are
one of (N, H, W / 4, 12) without a byte being moved. The same products are summed up by a convolution over these: it
answers the pixels of one such group side by side in its channels, its weights are the stem's at the places where they
belong and 0 elsewhere. The sums are of whole numbers, so the answers are the same to the bit; the stem takes half the
time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.quantization.graph import Step

# Pixels of a group: the fewest whose values are a multiple of four.
GROUP = 4


@dataclass(frozen=True, slots=True, eq=False)
class WideStem:
    """A convolution over groups of pixels.

    Attributes:
        weight: (A * O, 4 * I, kh, kw'), where A answers of a row lie in one group.
        answers: A.
        attributes: Of the ONNX node.
    """

    weight: NDArray[np.int8]
    answers: int
    attributes: dict[str, Any]


def widen(stem: Step, whole: NDArray[np.int8], width: int) -> WideStem | None:
    """The stem over groups of pixels; None where it does not divide into them, or gains nothing by it.

    Args:
        stem: The first layer.
        whole: Its weights, (O, I, kh, kw).
        width: Of the picture, pixels.
    """
    if stem.op != "Conv" or stem.groups != 1 or whole.shape[1] % GROUP == 0:
        return None
    kernel = whole.shape[3]
    top, left, bottom, right = stem.attributes.get("pads", (0, 0, 0, 0))
    down, across = stem.attributes.get("strides", (1, 1))
    plain = set(stem.attributes.get("dilations", (1, 1))) == {1}
    if not plain or GROUP % across or width % GROUP or (width + left + right - kernel) // across + 1 != width // across:
        return None
    answers = GROUP // across
    # Pixels that the answers of one group read, counted from its first; and the groups these lie in.
    reads = np.arange(answers)[:, None] * across - left + np.arange(kernel)
    first, last = reads.min() // GROUP, reads.max() // GROUP
    outputs, channels, height, _ = whole.shape
    weight = np.zeros((answers, outputs, GROUP, channels, height, last - first + 1), np.int8)
    for answer, pixels in enumerate(reads):
        for column, pixel in enumerate(pixels):
            weight[answer, :, pixel % GROUP, :, :, pixel // GROUP - first] = whole[..., column]
    return WideStem(
        weight.reshape(answers * outputs, GROUP * channels, height, -1),
        answers,
        {"strides": [down, 1], "pads": [top, int(-first), bottom, int(last)]},
    )
