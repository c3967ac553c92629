"""SSDLite on MobileNetV2 (paper, section 6.2): SSD with every 3x3 convolution made depthwise-separable.

Anchors and box coder are not part of the network: the run road needs them without torch, so they live in
`mnv2deploy.runtime.boxes`, described by the contract.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mnv2deploy.contract import AnchorLayer
from mnv2deploy.networks.mobilenet_v2 import Conventions, ConvNorm, MobileNetV2


class Extra(nn.Module):
    """One of the feature maps after the backbone: 1x1 to half the channels, then separable 3x3 at stride 2."""

    def __init__(self, in_channels: int, channels: int, conventions: Conventions) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = ConvNorm(in_channels, half, conventions)
        self.depthwise = ConvNorm(half, half, conventions, kernel=3, stride=2, depthwise=True)
        self.pointwise = ConvNorm(half, channels, conventions)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, channels, ceil(H / 2), ceil(W / 2))."""
        out: Tensor = self.pointwise(self.depthwise(self.reduce(x)))
        return out


class Predictor(nn.Module):
    """Depthwise 3x3 and a 1x1 convolution with bias: the separable predictor of SSDLite."""

    def __init__(self, in_channels: int, anchors: int, columns: int, conventions: Conventions) -> None:
        super().__init__()
        self.columns = columns
        self.depthwise = ConvNorm(in_channels, in_channels, conventions, kernel=3, depthwise=True)
        self.pointwise = nn.Conv2d(in_channels, anchors * columns, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, H * W * anchors, columns), ordered row, column, anchor."""
        out: Tensor = self.pointwise(self.depthwise(x))
        cells = out.shape[2] * out.shape[3] * out.shape[1] // self.columns
        # -1 for the batch keeps the ONNX Reshape constant: no Shape, Gather and Concat nodes for it.
        return out.permute(0, 2, 3, 1).reshape(-1, cells, self.columns)


class SSDLite(nn.Module):
    """The detector: raw class logits and box encodings of every anchor.

    Args:
        backbone: With its last 1x1 convolution.
        taps: Backbone features to predict from, finest first.
        extras: Channels of the feature maps after the last tap, each half as fine as the one before.
        anchors_per_cell: One entry a feature map.
        columns: Of the logits, background and unused ids included.
        conventions: As the backbone's.
    """

    def __init__(
        self,
        backbone: MobileNetV2,
        taps: Sequence[str],
        extras: Sequence[int],
        anchors_per_cell: Sequence[int],
        columns: int,
        conventions: Conventions,
    ) -> None:
        super().__init__()
        if len(anchors_per_cell) != len(taps) + len(extras):
            raise ValueError(f"{len(taps) + len(extras)} feature maps, anchors for {len(anchors_per_cell)}")
        if unknown := sorted(set(taps) - set(backbone.channels)):
            raise ValueError(f"no such features: {', '.join(unknown)}")
        self.backbone = backbone
        self.taps = tuple(taps)
        channels = [backbone.channels[tap] for tap in taps]
        self.extras = nn.ModuleList()
        for out_channels in extras:
            self.extras.append(Extra(channels[-1], out_channels, conventions))
            channels.append(out_channels)
        maps = list(zip(channels, anchors_per_cell, strict=True))
        self.class_predictors = nn.ModuleList(Predictor(c, anchors, columns, conventions) for c, anchors in maps)
        self.box_predictors = nn.ModuleList(Predictor(c, anchors, 4, conventions) for c, anchors in maps)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> class logits (N, A, columns) and box encodings (N, A, 4)."""
        features = self.backbone.features(x, self.taps)
        maps = [features[tap] for tap in self.taps]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        logits = [predict(features) for predict, features in zip(self.class_predictors, maps, strict=True)]
        encodings = [predict(features) for predict, features in zip(self.box_predictors, maps, strict=True)]
        return torch.cat(logits, dim=1), torch.cat(encodings, dim=1)


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
