"""MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381): inverted residuals with linear bottlenecks.

The backbone alone; heads live in files of their own. Module names follow the paper's Table 2: ``stem`` is its first
convolution, ``blocks.0`` to ``blocks.16`` are the bottlenecks and ``last`` is the 1x1 convolution to 1280 channels.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from mnv2deploy.catalog import stages
from mnv2deploy.catalog.stages import scaled_stages

Padding = Literal["tf", "torch"]
DilationRule = Literal["tf", "openmmlab"]
Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Conventions:
    """What differs between the frameworks that trained the weights.

    Attributes:
        padding: ``tf`` pads SAME: as much as the output size needs, the odd pixel after; ``torch`` pads
            ``dilation * (kernel - 1) / 2`` on both sides. At stride 2 on an even side these are different networks.
        batch_norm_eps: 1e-3 in TensorFlow and HF transformers, 1e-5 in torchvision and OpenMMLab.
        dilation_rule: Which blocks are dilated where strides are given up for a finer grid; see `block_specs`. The same
            weights mean different networks.
        activation: Of the backbone: ReLU6, but ReLU in torchvision's quantization package.
    """

    padding: Padding = "torch"
    batch_norm_eps: float = 1e-5
    dilation_rule: DilationRule = "tf"
    activation: Activation = F.relu6


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """One bottleneck of Table 2, scaled."""

    in_channels: int
    channels: int
    expansion: int
    stride: int
    dilation: int


def block_specs(
    width_multiplier: float,
    output_stride: int,
    dilation_rule: DilationRule = "tf",
    depth_multiplier: float = 1.0,
    stem_channels: int | None = None,
    channel_divisor: int = 8,
) -> tuple[BlockSpec, ...]:
    """The bottlenecks at a width and an output stride: 17 of them at depth 1.

    Where the stride would pass ``output_stride`` it is given up and becomes dilation:

    * ``tf`` dilates every block after it: the block that loses its stride keeps the dilation it had, all later ones
      have the new one (DeepLab; TF slim).
    * ``openmmlab`` dilates the first block of each stage from there on, the one that loses its stride among them, and
      no other (mmsegmentation 1.2.2, mmseg/models/backbones/mobilenet_v2.py, ``make_layer``).
    """
    specs: list[BlockSpec] = []
    in_channels = stem_channels or stages.stem_channels(width_multiplier, channel_divisor)
    stride_so_far, dilation = 2, 1
    scaled = scaled_stages(width_multiplier, depth_multiplier, channel_divisor)
    for expansion, channels, repetitions, first_stride in scaled:
        for repetition in range(repetitions):
            stride = first_stride if repetition == 0 else 1
            next_dilation = dilation
            if stride_so_far * stride > output_stride:
                stride, next_dilation = 1, dilation * stride
            stride_so_far *= stride
            of_stage = next_dilation if repetition == 0 else 1
            own_dilation = dilation if dilation_rule == "tf" else of_stage
            specs.append(BlockSpec(in_channels, channels, expansion, stride, own_dilation))
            in_channels, dilation = channels, next_dilation
    return tuple(specs)


class ConvNorm(nn.Module):
    """Convolution, batch normalisation and activation: ReLU6, another, or None for a linear layer."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        conventions: Conventions,
        *,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        depthwise: bool = False,
        activation: Activation | None = F.relu6,
    ) -> None:
        super().__init__()
        self.same = conventions.padding == "tf"
        self.activation = activation
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=0 if self.same else dilation * (kernel - 1) // 2,
            dilation=dilation,
            groups=in_channels if depthwise else 1,
            bias=False,
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=conventions.batch_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride))."""
        if self.same:
            x = pad_same(x, self.conv)
        x = self.bn(self.conv(x))
        return x if self.activation is None else self.activation(x)


def pad_same(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Pads (N, C, H, W) with zeros as TensorFlow's SAME does before ``conv``; nothing for a 1x1 kernel."""
    (left, right), (top, bottom) = (
        _same_padding(x.shape[axis], conv.kernel_size[axis - 2], conv.stride[axis - 2], conv.dilation[axis - 2])
        for axis in (3, 2)
    )
    return F.pad(x, (left, right, top, bottom)) if left or right or top or bottom else x


def _same_padding(side: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    outputs = -(-side // stride)
    total = max((outputs - 1) * stride + dilation * (kernel - 1) + 1 - side, 0)
    return total // 2, total - total // 2


class InvertedResidual(nn.Module):
    """A bottleneck (paper, Figure 4d): expand 1x1, depthwise 3x3, project 1x1 without activation."""

    def __init__(self, spec: BlockSpec, conventions: Conventions) -> None:
        super().__init__()
        # The TF code rounds the expanded width too, but widths are multiples of the divisor already.
        expanded = spec.in_channels * spec.expansion
        layer = partial(ConvNorm, conventions=conventions, activation=conventions.activation)
        self.expand = layer(spec.in_channels, expanded) if spec.expansion > 1 else None
        self.depthwise = layer(expanded, expanded, kernel=3, stride=spec.stride, dilation=spec.dilation, depthwise=True)
        self.project = ConvNorm(expanded, spec.channels, conventions, activation=None)
        self.is_residual = spec.stride == 1 and spec.in_channels == spec.channels

    def expanded(self, x: Tensor) -> Tensor:
        """The expansion's output; the input itself in the first block, which does not expand."""
        return x if self.expand is None else self.expand(x)

    def reduced(self, expanded: Tensor, x: Tensor) -> Tensor:
        """The block's output, from its expansion and its input."""
        out: Tensor = self.project(self.depthwise(expanded))
        return x + out if self.is_residual else out

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, channels, H / stride, W / stride)."""
        return self.reduced(self.expanded(x), x)


class MobileNetV2(nn.Module):
    """The backbone.

    Args:
        width_multiplier: 0.1 to 2; the paper's are 0.35, 0.5, 0.75, 1.0, 1.3 and 1.4.
        output_stride: 8, 16 or 32: the input's side over the last feature map's.
        conventions: Padding, batch-norm epsilon, dilation rule and activation of the framework the weights come from.
        last_channels: Of the last 1x1 convolution; 0 leaves it out. None: ``make_divisible(1280 * max(1, w))``,
            the paper's and torchvision's rule.
        depth_multiplier: 0.5 to 3: of the repetitions of all stages but the first and the last, rounded up.
        stem_channels: Of the first convolution; None: ``make_divisible(32 * w)``.
        channel_divisor: Channels are rounded to its multiples; TensorFlow's DeepLab takes 1 at widths other than 1.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        width_multiplier: float = 1.0,
        output_stride: int = 32,
        conventions: Conventions | None = None,
        last_channels: int | None = None,
        depth_multiplier: float = 1.0,
        stem_channels: int | None = None,
        channel_divisor: int = 8,
    ) -> None:
        super().__init__()
        if not 0.1 <= width_multiplier <= 2:
            raise ValueError(f"width_multiplier {width_multiplier} is not between 0.1 and 2")
        if output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride {output_stride} is not 8, 16 or 32")
        if not 0.5 <= depth_multiplier <= 3:
            raise ValueError(f"depth_multiplier {depth_multiplier} is not between 0.5 and 3")
        conventions = conventions or Conventions()
        specs = block_specs(
            width_multiplier,
            output_stride,
            conventions.dilation_rule,
            depth_multiplier,
            stem_channels,
            channel_divisor,
        )
        layer = partial(ConvNorm, conventions=conventions, activation=conventions.activation)
        self.stem = layer(3, specs[0].in_channels, kernel=3, stride=2)
        self.blocks = nn.ModuleList(InvertedResidual(spec, conventions) for spec in specs)
        if last_channels is None:
            last_channels = stages.last_channels(width_multiplier)
        self.last = layer(specs[-1].channels, last_channels) if last_channels else None
        self.channels = {"stem": specs[0].in_channels, "last": last_channels or specs[-1].channels}
        for index, spec in enumerate(specs):
            self.channels[f"blocks.{index}.expand"] = spec.in_channels * spec.expansion
            self.channels[f"blocks.{index}"] = spec.channels

    def features(self, x: Tensor, taps: Collection[str]) -> dict[str, Tensor]:
        """Runs the backbone and keeps what ``taps`` names.

        Args:
            x: (N, 3, H, W) float32.
            taps: Any of ``stem``, ``blocks.I.expand`` (an expansion's output, the first block's being its input),
                ``blocks.I`` (a block's output) and ``last`` (the last 1x1 convolution, or the last block where
                there is none).

        Raises:
            ValueError: a tap does not exist.
        """
        unknown = sorted(set(taps) - set(self.channels))
        if unknown:
            raise ValueError(f"no such features: {', '.join(unknown)}")
        found: dict[str, Tensor] = {}
        x = found["stem"] = self.stem(x)
        for index, block in enumerate(self.blocks):
            assert isinstance(block, InvertedResidual)  # noqa: S101 - ModuleList forgets its type
            found[f"blocks.{index}.expand"] = expanded = block.expanded(x)
            x = found[f"blocks.{index}"] = block.reduced(expanded, x)
        found["last"] = x if self.last is None else self.last(x)
        return {tap: found[tap] for tap in taps}

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, channels, H / output_stride, W / output_stride)."""
        return self.features(x, ["last"])["last"]


class MobileNetV2Classifier(nn.Module):
    """The backbone, global average pooling and one fully connected layer (paper, Table 2).

    Args:
        backbone: With its last 1x1 convolution.
        columns: Of the logits.
    """

    def __init__(self, backbone: MobileNetV2, columns: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Linear(backbone.channels["last"], columns)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, columns)."""
        logits: Tensor = self.classifier(self.backbone(x).mean(dim=(2, 3)))
        return logits
