"""FCN (Long et al. 2015, arXiv 1411.4038) as mmsegmentation has it: 3x3 convolutions on the last feature map alone.

Source of the head: mmsegmentation 1.2.2, mmseg/models/decode_heads/fcn_head.py.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnv2deploy.networks.mobilenet_v2 import Conventions, ConvNorm, MobileNetV2


class FCNHead(nn.Module):
    """3x3 convolutions, another on their input and output together, and the classifier. Activations are ReLU."""

    def __init__(
        self, in_channels: int, columns: int, conventions: Conventions, channels: int, convolutions: int
    ) -> None:
        super().__init__()

        def layer(inputs: int) -> ConvNorm:
            return ConvNorm(inputs, channels, conventions, kernel=3, activation=F.relu)

        self.convs = nn.Sequential(*(layer(in_channels if index == 0 else channels) for index in range(convolutions)))
        self.join = layer(in_channels + channels)
        self.classifier = nn.Conv2d(channels, columns, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, h, w) -> logits (N, columns, h, w)."""
        logits: Tensor = self.classifier(self.join(torch.cat([x, self.convs(x)], dim=1)))
        return logits


class FCN(nn.Module):
    """The segmenter: logits on the backbone's grid. Upsampling and argmax belong to whoever runs it.

    Args:
        backbone: Without its last convolution.
        columns: Of the logits.
        conventions: Of the head.
        channels: Of the head's convolutions.
        convolutions: Before the one that joins them with their input.

    Raises:
        ValueError: there is no convolution.
    """

    def __init__(
        self, backbone: MobileNetV2, columns: int, conventions: Conventions, channels: int, convolutions: int
    ) -> None:
        super().__init__()
        if convolutions < 1:
            raise ValueError(f"a head of {convolutions} convolutions")
        self.backbone = backbone
        self.head = FCNHead(backbone.channels["last"], columns, conventions, channels, convolutions)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, columns, ceil(H / output_stride), ceil(W / output_stride))."""
        logits: Tensor = self.head(self.backbone(x))
        return logits
