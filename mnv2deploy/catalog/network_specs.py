"""The networks a model card can name: one dataclass an architecture, with the parameters it is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class SsdAnchors:
    """Parameters of the SSD anchor generator; see `mnv2deploy.networks.anchors.ssd_anchor_layers`."""

    rule: Literal["tensorflow"] = "tensorflow"
    grids: tuple[tuple[int, int], ...]
    min_scale: float
    max_scale: float
    aspect_ratios: tuple[float, ...]
    lowest_layer: tuple[tuple[float, float], ...] = ()

    @property
    def per_cell(self) -> tuple[int, ...]:
        """Anchors of a cell of each feature map."""
        of_all = len(self.aspect_ratios) + 1
        return (len(self.lowest_layer) or of_all, *[of_all] * (len(self.grids) - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelAnchors:
    """Parameters of OpenMMLab's anchor generator; see `mnv2deploy.networks.anchors.pixel_anchor_layers`."""

    rule: Literal["openmmlab"]
    grids: tuple[tuple[int, int], ...]
    strides: tuple[int, ...]
    min_sizes: tuple[float, ...]
    max_sizes: tuple[float, ...]
    aspect_ratios: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.grids) == len(self.strides) == len(self.min_sizes) == len(self.max_sizes):
            raise ValueError("grids, strides, min_sizes and max_sizes should be as many as there are feature maps")
        if min((*self.strides, *self.min_sizes, *self.max_sizes, *self.aspect_ratios), default=0) <= 0:
            raise ValueError("strides, sizes and aspect ratios of anchors should be greater than 0")

    @property
    def per_cell(self) -> tuple[int, ...]:
        """Anchors of a cell of each feature map."""
        return (2 + 2 * len(self.aspect_ratios),) * len(self.grids)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec:
    """What the MobileNetV2 backbone is built from; see `mnv2deploy.networks.mobilenet_v2.MobileNetV2`.

    Attributes:
        width_multiplier: 0.1 to 2.
        output_stride: 8, 16 or 32.
        padding: Convention of the framework the weights come from.
        batch_norm_eps: Of the same.
        dilation_rule: Of the same; which blocks are dilated at output strides below 32.
        activation: Between the convolutions. torchvision's quantization package puts ReLU in the place of ReLU6.
        depth_multiplier: Of the repetitions of all stages but the first and the last, rounded up.
        stem_channels: Of the first convolution, where it is not scaled with the width.
        last_channels: Of the last 1x1 convolution, where it does not follow the paper's rule: 1280, scaled with
            widths over 1.
        channel_divisor: Channels are rounded to its multiples. 8 everywhere but in TensorFlow's DeepLab, which takes 1
            at widths other than 1.
    """

    width_multiplier: float
    output_stride: int = 32
    padding: Literal["tf", "torch"]
    batch_norm_eps: float
    dilation_rule: Literal["tf", "openmmlab"] = "tf"
    activation: Literal["relu6", "relu"] = "relu6"
    depth_multiplier: float = 1.0
    stem_channels: int | None = None
    last_channels: int | None = None
    channel_divisor: int = 8

    def __post_init__(self) -> None:
        for name in ("stem_channels", "last_channels", "channel_divisor"):
            channels = getattr(self, name)
            if channels is not None and channels < 1:
                raise ValueError(f"{name} should be at least 1, not {channels}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierSpec:
    """The classifier: its logits have ``columns`` columns."""

    architecture: Literal["mobilenet_v2"]
    backbone: BackboneSpec
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SSDLiteSpec:
    """The detector.

    Attributes:
        architecture: The tag.
        backbone: With its last convolution.
        taps: Backbone features the head reads.
        extras: Channels of the feature maps after the backbone.
        columns: Of the class logits, background included.
        anchors: Parameters of the anchor generator.
    """

    architecture: Literal["ssdlite"]
    backbone: BackboneSpec
    taps: tuple[str, ...]
    extras: tuple[int, ...]
    columns: int
    anchors: SsdAnchors | PixelAnchors


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepLabSpec:
    """DeepLabv3, mobile or OpenMMLab's.

    Attributes:
        architecture: The tag.
        backbone: Without its last convolution.
        columns: Of the logits, background included.
        head_batch_norm_eps: The head's differs from the backbone's in TensorFlow.
        atrous_rates: Of the ASPP's dilated branches; empty is the paper's reduced form.
        channels: Of each branch and of the projection.
        projection_kernel: Side of the projection's kernel.
    """

    architecture: Literal["deeplabv3"]
    backbone: BackboneSpec
    columns: int
    head_batch_norm_eps: float
    atrous_rates: tuple[int, ...] = ()
    channels: int = 256
    projection_kernel: int = 1

    def __post_init__(self) -> None:
        if self.backbone.last_channels is not None:
            raise ValueError("last_channels belongs to networks that have the last convolution; deeplabv3 has none")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepLabPlusSpec:
    """DeepLabV3+.

    Attributes:
        architecture: The tag.
        backbone: Without its last convolution.
        columns: Of the logits.
        channels: Of the head's convolutions.
        low_level_channels: Of the decoder's finer map, once reduced.
        atrous_rates: Of the dilated branches.
    """

    architecture: Literal["deeplabv3plus"]
    backbone: BackboneSpec
    columns: int
    channels: int
    low_level_channels: int
    atrous_rates: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FCNSpec:
    """FCN.

    Attributes:
        architecture: The tag.
        backbone: Without its last convolution.
        columns: Of the logits.
        channels: Of the head's convolutions.
        convolutions: Before the one that joins them with their input.
    """

    architecture: Literal["fcn"]
    backbone: BackboneSpec
    columns: int
    channels: int
    convolutions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PSPNetSpec:
    """PSPNet.

    Attributes:
        architecture: The tag.
        backbone: Without its last convolution.
        columns: Of the logits.
        channels: Of the head's convolutions.
        pyramid: Regions of a side at each scale.
    """

    architecture: Literal["pspnet"]
    backbone: BackboneSpec
    columns: int
    channels: int
    pyramid: tuple[int, ...]


NetworkSpec = ClassifierSpec | SSDLiteSpec | DeepLabSpec | DeepLabPlusSpec | FCNSpec | PSPNetSpec
_TASKS = {"mobilenet_v2": "classify", "ssdlite": "detect"} | dict.fromkeys(
    ("deeplabv3", "deeplabv3plus", "fcn", "pspnet"), "segment"
)


def task_of(network: NetworkSpec) -> str:
    """``detect``, ``classify`` or ``segment``."""
    return _TASKS[network.architecture]
