"""SSDLite on MobileNetV2 (paper, section 6.2): SSD with every 3x3 convolution made depthwise-separable.

Anchors and box coder are not part of the network: the run road needs them without torch, so they live in
`mnv2deploy.runtime.boxes`, described by the contract.

mmdetection's ``SSDNeck`` and ``SSDHead`` with ``use_depthwise`` are the same layers; what differs are the features they
read, the padding, the anchors and the decoding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

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
