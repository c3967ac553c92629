"""DeepLabV3+ (Chen et al. 2018, arXiv 1802.02611): a decoder refines the edges with an early, finer feature map.

The dilated branches and the decoder are depthwise-separable (section 3.1); the projection is not. Source of the head:
mmsegmentation 1.2.2, mmseg/models/decode_heads/sep_aspp_head.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnv2deploy.networks.mobilenet_v2 import Conventions, ConvNorm, MobileNetV2

# The last block at a quarter of the input's sides, 24 channels wide at width 1.
LOW_LEVEL = "blocks.2"


class SeparableConv(nn.Module):
    """Depthwise 3x3 and 1x1 convolution, each with batch normalisation and ReLU."""

    def __init__(self, in_channels: int, channels: int, conventions: Conventions, dilation: int = 1) -> None:
        super().__init__()
        self.depthwise = ConvNorm(
            in_channels, in_channels, conventions, kernel=3, dilation=dilation, depthwise=True, activation=F.relu
        )
        self.pointwise = ConvNorm(in_channels, channels, conventions, activation=F.relu)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) -> (N, channels, h, w)."""
        out: Tensor = self.pointwise(self.depthwise(x))
        return out


class DeepLabPlusHead(nn.Module):
    """Image pooling, 1x1 and dilated branches, projected, stretched to the finer map, joined with it and refined."""

    def __init__(
        self,
        in_channels: int,
        low_level_in_channels: int,
        columns: int,
        conventions: Conventions,
        channels: int,
        low_level_channels: int,
        atrous_rates: Sequence[int],
    ) -> None:
        super().__init__()
        self.pool = ConvNorm(in_channels, channels, conventions, activation=F.relu)
        self.branch = ConvNorm(in_channels, channels, conventions, activation=F.relu)
        self.atrous = nn.ModuleList(SeparableConv(in_channels, channels, conventions, rate) for rate in atrous_rates)
        joined = channels * (2 + len(atrous_rates))
        self.project = ConvNorm(joined, channels, conventions, kernel=3, activation=F.relu)
        self.low_level = ConvNorm(low_level_in_channels, low_level_channels, conventions, activation=F.relu)
        self.refine = nn.Sequential(
            SeparableConv(channels + low_level_channels, channels, conventions),
            SeparableConv(channels, channels, conventions),
        )
        self.classifier = nn.Conv2d(channels, columns, 1)

    def forward(self, x: Tensor, low_level: Tensor) -> Tensor:
        """(N, in, h, w) and (N, low_level_in, h', w') -> logits (N, columns, h', w')."""
        branch = self.branch(x)
        pooled = self.pool(x.mean(dim=(2, 3), keepdim=True)).tile(1, 1, *branch.shape[2:])
        projected = self.project(torch.cat([pooled, branch, *(atrous(x) for atrous in self.atrous)], dim=1))
        fine = self.low_level(low_level)
        stretched = F.interpolate(projected, fine.shape[2:], mode="bilinear", align_corners=False)
        logits: Tensor = self.classifier(self.refine(torch.cat([stretched, fine], dim=1)))
        return logits


class DeepLabV3Plus(nn.Module):
    """The segmenter: logits at a quarter of the input. Upsampling and argmax belong to whoever runs it.

    The pooling branch sees the whole input, so it means what it was trained for near the input size of its training
    only.

    Args:
        backbone: Without its last convolution.
        columns: Of the logits.
        conventions: Of the head.
        channels: Of the head's convolutions.
        low_level_channels: That the finer map is reduced to.
        atrous_rates: Of the dilated branches.
    """

    def __init__(
        self,
        backbone: MobileNetV2,
        columns: int,
        conventions: Conventions,
        channels: int,
        low_level_channels: int,
        atrous_rates: Sequence[int],
    ) -> None:
        super().__init__()
        self.backbone = backbone
        inputs = backbone.channels["last"], backbone.channels[LOW_LEVEL]
        self.head = DeepLabPlusHead(*inputs, columns, conventions, channels, low_level_channels, atrous_rates)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, columns, ceil(H / 4), ceil(W / 4))."""
        features = self.backbone.features(x, ["last", LOW_LEVEL])
        logits: Tensor = self.head(features["last"], features[LOW_LEVEL])
        return logits
