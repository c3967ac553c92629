"""PSPNet (Zhao et al. 2017, arXiv 1612.01105): means over a pyramid of regions beside the feature map.

Source of the head: mmsegmentation 1.2.2, mmseg/models/decode_heads/psp_head.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnv2deploy.networks.mobilenet_v2 import Conventions, ConvNorm, MobileNetV2


def region_means(x: Tensor, regions: int) -> Tensor:
    """Means over a grid of regions, torch's ``adaptive_avg_pool2d``, whatever the map's sides are.

    A mean over a rectangle is one over its rows and then its columns, so a small matrix a side does it. Regions of
    sides that do not divide overlap and differ in size, for which ONNX has no pooling; a product of matrices is exact
    and of fixed shape.

    Args:
        x: (N, C, h, w).
        regions: Of each side.

    Returns:
        (N, C, regions, regions).
    """
    rows, columns = (torch.tensor(_mean_matrix(side, regions), dtype=x.dtype, device=x.device) for side in x.shape[2:])
    # A constant on the left is no layer's weight to those who count.
    return (columns @ (rows @ x).mT).mT


def _mean_matrix(side: int, regions: int) -> list[list[float]]:
    """Weight of each of ``side`` points in each region: i covers floor(i * side / regions) to ceil of the next."""
    matrix = []
    for region in range(regions):
        first, last = region * side // regions, -(-(region + 1) * side // regions)
        matrix.append([1 / (last - first) if first <= point < last else 0.0 for point in range(side)])
    return matrix


class PSPHead(nn.Module):
    """Region means at several scales, each convolved 1x1 and stretched, joined with the map. Activations are ReLU."""

    def __init__(
        self, in_channels: int, columns: int, conventions: Conventions, channels: int, pyramid: Sequence[int]
    ) -> None:
        super().__init__()
        self.regions = tuple(pyramid)
        self.pyramid = nn.ModuleList(ConvNorm(in_channels, channels, conventions, activation=F.relu) for _ in pyramid)
        joined = in_channels + len(pyramid) * channels
        self.project = ConvNorm(joined, channels, conventions, kernel=3, activation=F.relu)
        self.classifier = nn.Conv2d(channels, columns, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) -> logits (N, columns, h, w)."""
        means = [layer(region_means(x, regions)) for layer, regions in zip(self.pyramid, self.regions, strict=True)]
        stretched = [F.interpolate(mean, x.shape[2:], mode="bilinear", align_corners=False) for mean in means]
        logits: Tensor = self.classifier(self.project(torch.cat([x, *stretched], dim=1)))
        return logits


class PSPNet(nn.Module):
    """The segmenter: logits on the backbone's grid. Upsampling and argmax belong to whoever runs it.

    The regions are parts of the input, so it means what it was trained for near the input size of its training only.

    Args:
        backbone: Without its last convolution.
        columns: Of the logits.
        conventions: Of the head.
        channels: Of the head's convolutions.
        pyramid: Regions of a side at each scale.

    Raises:
        ValueError: a scale has no region.
    """

    def __init__(
        self,
        backbone: MobileNetV2,
        columns: int,
        conventions: Conventions,
        channels: int,
        pyramid: Sequence[int],
    ) -> None:
        super().__init__()
        if min(pyramid, default=0) < 1:
            raise ValueError(f"a pyramid of {list(pyramid)} regions")
        self.backbone = backbone
        self.head = PSPHead(backbone.channels["last"], columns, conventions, channels, pyramid)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, columns, ceil(H / output_stride), ceil(W / output_stride))."""
        logits: Tensor = self.head(self.backbone(x))
        return logits
