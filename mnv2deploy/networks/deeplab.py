"""DeepLabv3 (Chen et al. 2017, arXiv 1706.05587): the paper's mobile form (section 6.3) and OpenMMLab's wide one.

The backbone without its last convolution, and a head of pooling, 1x1 and, in the full form, dilated branches.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnv2deploy.networks.mobilenet_v2 import Conventions, ConvNorm, MobileNetV2

CHANNELS = 256  # of the original, and of the mobile form; mmsegmentation has 512


class DeepLabHead(nn.Module):
    """Image pooling, a 1x1 branch and, with ASPP, dilated 3x3 branches; concatenated, projected, classified.

    Without ``atrous_rates`` it is the reduced form of the paper, its own choice for mobile devices: 2.11 M parameters
    instead of 4.52 M for 0.4 points of mIoU. Activations are ReLU, not ReLU6.
    """

    def __init__(
        self,
        in_channels: int,
        columns: int,
        conventions: Conventions,
        atrous_rates: Sequence[int],
        channels: int,
        projection_kernel: int,
    ) -> None:
        super().__init__()

        def layer(inputs: int, kernel: int = 1, dilation: int = 1) -> ConvNorm:
            return ConvNorm(inputs, channels, conventions, kernel=kernel, dilation=dilation, activation=F.relu)

        self.pool = layer(in_channels)
        self.branch = layer(in_channels)
        self.atrous = nn.ModuleList(layer(in_channels, kernel=3, dilation=rate) for rate in atrous_rates)
        self.project = layer(channels * (2 + len(atrous_rates)), kernel=projection_kernel)
        self.classifier = nn.Conv2d(channels, columns, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) -> logits (N, columns, h, w)."""
        branch = self.branch(x)
        pooled = self.pool(x.mean(dim=(2, 3), keepdim=True)).tile(1, 1, *branch.shape[2:])
        branches = [pooled, branch, *(atrous(x) for atrous in self.atrous)]
        logits: Tensor = self.classifier(self.project(torch.cat(branches, dim=1)))
        return logits


class DeepLabV3(nn.Module):
    """The segmenter: logits on the backbone's grid. Upsampling and argmax belong to whoever runs it.

    The pooling branch sees the whole input, so the network means what it was trained for at one input size only.

    Args:
        backbone: Without its last convolution, at output stride 8 or 16.
        columns: Of the logits, background included.
        conventions: Of the head.
        atrous_rates: Of the ASPP's dilated branches (6, 12, 18 at output stride 16, twice that at 8); empty for none.
        channels: Of each branch and of the projection.
        projection_kernel: 1; 3 in mmsegmentation (mmseg/models/decode_heads/aspp_head.py).

    Raises:
        ValueError: a kernel without a middle.
    """

    def __init__(
        self,
        backbone: MobileNetV2,
        columns: int,
        conventions: Conventions,
        atrous_rates: Sequence[int] = (),
        channels: int = CHANNELS,
        projection_kernel: int = 1,
    ) -> None:
        super().__init__()
        if projection_kernel % 2 == 0:
            raise ValueError(f"projection_kernel {projection_kernel} is even")
        self.backbone = backbone
        self.head = DeepLabHead(
            backbone.channels["last"], columns, conventions, atrous_rates, channels, projection_kernel
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, columns, ceil(H / output_stride), ceil(W / output_stride))."""
        logits: Tensor = self.head(self.backbone(x))
        return logits
