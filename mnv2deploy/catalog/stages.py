"""The rows of the paper's Table 2, and how every framework scales them. Numbers alone, no torch.

Sources: Sandler et al. 2018, arXiv 1801.04381; ``_make_divisible`` of the authors' slim code; timm's
``_efficientnet_builder.py`` for the depth multiplier.
"""

from __future__ import annotations

import math

# Paper, Table 2: expansion t, channels c, repetitions n, stride s of the first of them.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
STEM_CHANNELS = 32
LAST_CHANNELS = 1280


def make_divisible(value: float, divisor: int = 8) -> int:
    """Rounds a channel count to a multiple of ``divisor``, never losing more than 10 %.

    Source: ``_make_divisible`` of the authors' slim code, kept by every port since.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def scaled_stages(
    width_multiplier: float, depth_multiplier: float = 1.0, divisor: int = 8
) -> tuple[tuple[int, int, int, int], ...]:
    """The stages at a width and a depth, in the columns of `STAGES`, channels multiples of ``divisor``.

    The first and the last stage have one block at any depth; repetitions of the others are rounded up (timm's
    ``fix_first_last``, in its mobilenetv2_110d and 120d).
    """
    last = len(STAGES) - 1
    return tuple(
        (
            expansion,
            make_divisible(channels * width_multiplier, divisor),
            repetitions if stage in (0, last) else math.ceil(repetitions * depth_multiplier),
            stride,
        )
        for stage, (expansion, channels, repetitions, stride) in enumerate(STAGES)
    )


def stem_channels(width_multiplier: float, divisor: int = 8) -> int:
    """Of the first convolution."""
    return make_divisible(STEM_CHANNELS * width_multiplier, divisor)


def last_channels(width_multiplier: float) -> int:
    """Of the last 1x1 convolution, the paper's and torchvision's rule: narrow networks keep the whole 1280."""
    return make_divisible(LAST_CHANNELS * max(1.0, width_multiplier))
