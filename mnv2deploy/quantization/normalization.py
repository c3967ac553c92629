"""Folds ``(pixel - mean) / std`` into the first layer, so that the quantized graph reads the picture's own bytes."""

from __future__ import annotations

import numpy as np

from mnv2deploy.contract import Preprocessing
from mnv2deploy.quantization.encodings import Encoding
from mnv2deploy.quantization.graph import Graph


def fold_normalization(graph: Graph, preprocessing: Preprocessing) -> Encoding:
    """Rewrites the first layer in place to read ``pixel - zero_point``; returns the encoding of that input.

    The whole picture is exact; only the border is not, where the layer pads with ``zero_point`` in every channel and
    the float graph padded each channel with its own mean. The zero point is the one that errs least.
    """
    first = graph.consumers(graph.input)
    mean, std = np.array(preprocessing.mean, np.float64), np.array(preprocessing.std, np.float64)
    weight = [step.weight.astype(np.float64) / std.reshape(1, -1, 1, 1) for step in first]
    power = np.sum([np.square(values).sum((0, 2, 3)) for values in weight], axis=0)
    zero_point = int(np.clip(np.rint((power * mean).sum() / power.sum()), 0, 255))
    for step, values in zip(first, weight, strict=True):
        step.bias = np.asarray(
            step.bias + (values * (zero_point - mean).reshape(1, -1, 1, 1)).sum((1, 2, 3)), np.float32
        )
        step.weight = np.asarray(values, np.float32)
    return Encoding(1.0, zero_point, "uint8")
