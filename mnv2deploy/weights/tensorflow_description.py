"""What a TensorFlow graph is the weights of: SSDLite of the object-detection API, or DeepLabv3 without its ASPP."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.catalog.cards import InputSize
from mnv2deploy.catalog.network_specs import BackboneSpec, DeepLabSpec, SsdAnchors, SSDLiteSpec
from mnv2deploy.contract import Preprocessing
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.description import Description, out_channels
from mnv2deploy.weights.tensorflow import tensorflow_scope
from mnv2deploy.weights.tensorflow_anchors import check_anchors
from mnv2deploy.weights.widths import Layer, describe_backbone

_BLOCKS = 17
_DEEPLAB_EPSILON = 1e-5  # of its head
_SSD_SIDE = 300
# Of ssdlite_mobilenet_v2_coco.config and every configuration made from it: anchors a cell, and what they are made of.
_ANCHORS_PER_CELL = (3, 6, 6, 6, 6, 6)
_ANCHORS = {
    "min_scale": 0.2,
    "max_scale": 0.95,
    "aspect_ratios": (1.0, 2.0, 0.5, 3.0, 0.3333),
    "lowest_layer": ((0.1, 1.0), (0.2, 2.0), (0.2, 0.5)),
}
_KERNELS = ("weights", "Conv2D/merged_input")


def describe_tensorflow(raw: Tensors, where: str) -> Description:
    """Finds width, classes and, as far as its constants say it, input size, output stride and scaling.

    Args:
        raw: Every constant, by TensorFlow's names.
        where: File name, for messages.

    Raises:
        CheckpointError: it is neither network, or one that is not built here; says what is missing.
    """
    if any(name.startswith("BoxPredictor_") for name in raw):
        return _describe_ssdlite(raw, where)
    if any(name.startswith(("concat_projection/", "logits/semantic/")) for name in raw):
        return _describe_deeplab(raw, where)
    first = ", ".join(list(raw)[:3])
    raise CheckpointError(
        f"{where} has neither SSDLite's BoxPredictor_0/... nor DeepLab's logits/semantic/...; its constants begin with "
        f"{first}."
    )


def feature_grids(size: InputSize, maps: int) -> tuple[tuple[int, int], ...]:
    """Rows and columns of SSDLite's feature maps: strides 16 and 32, then each half as fine, rounded up.

    Args:
        size: Of the input.
        maps: How many.
    """
    return tuple((-(-size.height // 2**level), -(-size.width // 2**level)) for level in range(4, 4 + maps))


def _describe_ssdlite(raw: Tensors, where: str) -> Description:
    backbone = _backbone(raw, "FeatureExtractor/", where, has_last=True)
    shapes = {name: array.shape for name, array in raw.items()}
    maps = len(_ANCHORS_PER_CELL)
    boxes, classes = (
        [_layer(raw, f"BoxPredictor_{index}/{kind}", where).channels for index in range(maps)]
        for kind in ("BoxEncodingPredictor", "ClassPredictor")
    )
    if f"BoxPredictor_{maps}/ClassPredictor/weights" in shapes or boxes != [4 * count for count in _ANCHORS_PER_CELL]:
        raise CheckpointError(
            f"{where} predicts {[count // 4 for count in boxes]} anchors a cell; SSDLite's {list(_ANCHORS_PER_CELL)} "
            "are known; describe others in a card, see docs/cards.md."
        )
    columns = classes[0] // _ANCHORS_PER_CELL[0]
    if columns < 2 or classes != [columns * count for count in _ANCHORS_PER_CELL]:
        raise CheckpointError(f"{where}: its class predictors have {classes} channels, which are no classes' logits.")
    size = _pair(raw, r"Preprocessor/map/while/ResizeImage/stack")
    anchors = SsdAnchors(
        grids=feature_grids(size or InputSize(height=_SSD_SIDE, width=_SSD_SIDE), maps),
        **_ANCHORS,  # type: ignore[arg-type]
    )
    check_anchors(raw, anchors, where)
    network = SSDLiteSpec(
        architecture="ssdlite",
        backbone=backbone,
        taps=("blocks.13.expand", "last"),
        extras=tuple(_extra(raw, index, where) for index in range(2, maps)),
        columns=columns,
        anchors=anchors,
    )
    return Description(network=network, input=size, **_preprocessing(raw, "stretch"))


def _describe_deeplab(raw: Tensors, where: str) -> Description:
    if any(name.startswith("aspp1") for name in raw):
        raise CheckpointError(f"{where} has an ASPP of dilated branches, which is not read from TensorFlow's graphs.")
    stride = _output_stride(raw, where)
    backbone = _backbone(raw, "", where, has_last=False, output_stride=stride or 8)
    grid = _pair(raw, r"ResizeBilinear(?:_\d+)?/size")
    size = None
    if grid is not None and stride is not None:  # the pooled branch is stretched to the grid
        size = InputSize(height=(grid.height - 1) * stride + 1, width=(grid.width - 1) * stride + 1)
    network = DeepLabSpec(
        architecture="deeplabv3",
        backbone=backbone,
        columns=_layer(raw, "logits/semantic", where).channels,
        head_batch_norm_eps=_DEEPLAB_EPSILON,
        channels=_layer(raw, "concat_projection", where).channels,
    )
    return Description(
        network=network, input=size, align_corners=True, is_stride_open=stride is None, **_preprocessing(raw, "pad")
    )


def _output_stride(raw: Tensors, where: str) -> int | None:
    """Seen in how TensorFlow computes dilated convolutions: as ordinary ones, on so many interleaved grids."""
    scope = r"MobilenetV2/expanded_conv_(\d+)/depthwise/depthwise/SpaceToBatchND/block_shape"
    dilated = {
        int(match[1]): [int(value) for value in np.ravel(array)]
        for name, array in raw.items()
        if (match := re.fullmatch(scope, name))
    }
    found = {block: rates[0] for block, rates in dilated.items() if len(set(rates)) == 1}
    if not found:
        return None
    # Blocks that share their block_shape with another one have none of their own once the graph is simplified.
    if min(found) == 7 and found[7] == 2 and found.get(14, 4) == 4:
        return 8
    if min(found) == 14 and found[14] == 2:
        return 16
    raise CheckpointError(f"{where} dilates its blocks by {found}, which is no output stride of DeepLab's.")


def _backbone(raw: Tensors, root: str, where: str, *, has_last: bool, output_stride: int = 32) -> BackboneSpec:
    def layer(module: str) -> Layer:
        return _layer(raw, root + tensorflow_scope(f"backbone.{module}"), where)

    return describe_backbone(
        layer("stem"),
        [layer(f"blocks.{index}.project") for index in range(_BLOCKS)],
        layer("last") if has_last else None,
        where,
        padding="tf",
        batch_norm_eps=1e-3,
        output_stride=output_stride,
    )


def _layer(raw: Mapping[str, NDArray[Any]], scope: str, where: str) -> Layer:
    """A convolution by its scope; kernels are (height, width, in, out)."""
    for name in (f"{scope}/{kernel}" for kernel in _KERNELS):
        if name in raw:
            return out_channels({name: raw[name].shape}, name, where, axis=-1)
    raise CheckpointError(f"{where} lacks {scope}/{_KERNELS[0]}.")


def _extra(raw: Tensors, index: int, where: str) -> int:
    """Output channels of a feature map after the backbone; TensorFlow writes them into its scope too."""
    pattern = rf"FeatureExtractor/MobilenetV2/layer_19_2_Conv2d_{index}_3x3_s2_\d+"
    scopes = {scope for name in raw for scope in re.findall(f"^{pattern}(?=/(?:weights|Conv2D))", name)}
    if len(scopes) != 1:
        raise CheckpointError(f"{where} has {len(scopes)} layers layer_19_2_Conv2d_{index}_3x3_s2 instead of one.")
    return _layer(raw, scopes.pop(), where).channels


def _pair(raw: Tensors, pattern: str) -> InputSize | None:
    """The one pair of whole numbers, height and width, that constants of such names hold."""
    found: set[Sequence[int]] = {
        tuple(int(side) for side in array)
        for name, array in raw.items()
        if re.fullmatch(pattern, name) and array.shape == (2,) and array.dtype.kind == "i"
    }
    pairs = [pair for pair in found if min(pair) >= 1 and max(pair) < 1 << 16]
    return InputSize(height=pairs[0][0], width=pairs[0][1]) if len(pairs) == 1 else None


def _preprocessing(raw: Tensors, resize: str) -> dict[str, Any]:
    """From -1 to 1; the file says so where its graph multiplies pixels by 2 / 255."""
    factors = [array for name, array in raw.items() if re.fullmatch(r"(?:Preprocessor/)?mul(?:_\d+)?/x", name)]
    is_stated = any(array.size == 1 and abs(float(array.ravel()[0]) - 2 / 255) < 1e-6 for array in factors)
    preprocessing = Preprocessing(
        resize="pad" if resize == "pad" else "stretch",
        pad_value=127.5 if resize == "pad" else None,
        interpolation="bilinear",
        colour="rgb",
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
    )
    return {"preprocessing": preprocessing, "is_assumed": not is_stated}
