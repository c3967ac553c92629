"""The rules SSD's anchors are made by, in TensorFlow and in OpenMMLab."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mnv2deploy.catalog.cards import InputSize
from mnv2deploy.catalog.network_specs import PixelAnchors, SsdAnchors
from mnv2deploy.contract import AnchorLayer


def anchor_layers(anchors: SsdAnchors | PixelAnchors, size: InputSize) -> tuple[AnchorLayer, ...]:
    """The anchors a card describes, for an input of its size."""
    if isinstance(anchors, PixelAnchors):
        return pixel_anchor_layers(anchors, size)
    return ssd_anchor_layers(
        anchors.grids, anchors.min_scale, anchors.max_scale, anchors.aspect_ratios, anchors.lowest_layer
    )


def ssd_anchor_layers(
    grids: Sequence[tuple[int, int]],
    min_scale: float,
    max_scale: float,
    aspect_ratios: Sequence[float],
    lowest_layer: Sequence[tuple[float, float]],
) -> tuple[AnchorLayer, ...]:
    """The anchors of the TensorFlow object-detection API's SSD (``ssd_anchor_generator``).

    Scales grow linearly from ``min_scale`` to ``max_scale`` over the feature maps. Each map has one anchor an aspect
    ratio at its scale, and a square one at the geometric mean of its scale and the next map's (1.0 after the last).
    An anchor of scale s and ratio r is s / sqrt(r) high and s * sqrt(r) wide, in fractions of the input.

    Args:
        grids: Rows and columns of each feature map.
        min_scale: Of the first map.
        max_scale: Of the last map.
        aspect_ratios: Width over height.
        lowest_layer: (scale, ratio) pairs of the first map, instead of the rule; a scale of 0 means its own.
    """
    steps = max(len(grids) - 1, 1)
    scales = [min_scale + (max_scale - min_scale) * index / steps for index in range(len(grids))] + [1.0]
    layers = []
    for index, (rows, columns) in enumerate(grids):
        if index == 0 and lowest_layer:
            shapes = [(scale or scales[0], ratio) for scale, ratio in lowest_layer]
        else:
            shapes = [(scales[index], ratio) for ratio in aspect_ratios]
            shapes.append((math.sqrt(scales[index] * scales[index + 1]), 1.0))
        sizes = tuple((scale / math.sqrt(ratio), scale * math.sqrt(ratio)) for scale, ratio in shapes)
        layers.append(AnchorLayer(grid=(rows, columns), step=(1 / rows, 1 / columns), sizes=sizes))
    return tuple(layers)


def pixel_anchor_layers(anchors: PixelAnchors, size: InputSize) -> tuple[AnchorLayer, ...]:
    """The anchors of mmdetection's ``SSDAnchorGenerator`` with sizes of its own (``prior_generators``, 3.3.0).

    Each map has a square anchor of its least size, one of the geometric mean of its least and greatest, and for each
    ratio r two of the least size's area, r times as wide as high and r times as high as wide. Cells are ``stride``
    pixels apart and centred on ``(index + 0.5) * stride``, also where the maps do not divide the input: 3 x 107 = 321.

    Args:
        anchors: Sizes and strides in pixels.
        size: What they are pixels of.
    """
    layers = []
    for grid, stride, least, greatest in zip(
        anchors.grids, anchors.strides, anchors.min_sizes, anchors.max_sizes, strict=True
    ):
        middle = math.sqrt(least * greatest)
        shapes = [(least, least), (middle, middle)]
        for ratio in anchors.aspect_ratios:
            short, long = least / math.sqrt(ratio), least * math.sqrt(ratio)
            shapes += [(short, long), (long, short)]
        layers.append(
            AnchorLayer(
                grid=grid,
                step=(stride / size.height, stride / size.width),
                sizes=tuple((height / size.height, width / size.width) for height, width in shapes),
            )
        )
    return tuple(layers)
