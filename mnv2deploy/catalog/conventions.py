"""How the programs that train MobileNetV2 prepare pictures, by name: what a checkpoint seldom says of itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mnv2deploy.catalog.cards import InputSize, read_toml
from mnv2deploy.contract import Preprocessing
from mnv2deploy.errors import ModelError, UsageError
from mnv2deploy.structure import build

Resize = Literal["stretch", "centre_crop", "pad"]
Interpolation = Literal["bilinear", "antialias", "bicubic"]
RESIZES: tuple[Resize, ...] = ("stretch", "centre_crop", "pad")
INTERPOLATIONS: tuple[Interpolation, ...] = ("bilinear", "antialias", "bicubic")

# ImageNet's own, 0.485, 0.456, 0.406 and 0.229, 0.224, 0.225 on the 0..255 scale; and -1 to 1.
_IMAGENET: dict[str, Any] = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}
_INCEPTION: dict[str, Any] = {"mean": (127.5, 127.5, 127.5), "std": (127.5, 127.5, 127.5)}
_CROP = 0.875  # of the shorter side: 224 of 256


@dataclass(frozen=True, slots=True)
class _Convention:
    resize: Resize
    interpolation: Interpolation
    scale: dict[str, Any]
    pad_value: float = 127.5


# torchvision's and mmpretrain's evaluation, timm's default, transformers' processor of its published checkpoints, the
# guide to transfer learning with Keras, mmsegmentation's padding, mmdetection's SSDLite, TensorFlow's detection API and
# its DeepLab.
CONVENTIONS = {
    "torchvision": _Convention("centre_crop", "antialias", _IMAGENET),
    "mmpretrain": _Convention("centre_crop", "antialias", _IMAGENET),
    "timm": _Convention("centre_crop", "bicubic", _IMAGENET),
    "huggingface": _Convention("centre_crop", "antialias", _INCEPTION),
    "keras": _Convention("stretch", "bilinear", _INCEPTION),
    "mmsegmentation": _Convention("pad", "bilinear", _IMAGENET, pad_value=114),
    "mmdetection": _Convention("stretch", "bilinear", _IMAGENET),
    "ssdlite": _Convention("stretch", "bilinear", _INCEPTION),
    "deeplab": _Convention("pad", "bilinear", _INCEPTION),
}


def named_preprocessing(name_or_path: str, size: InputSize) -> Preprocessing:
    """A convention by its name, or the preprocessing in a TOML file of your own.

    Args:
        name_or_path: For example ``torchvision``; or a file with the keys of a card's ``[preprocessing]``, in such a
            table or bare.
        size: Of the input: what is cropped is 0.875 of the shorter side.

    Raises:
        UsageError: there is no such convention or file.
        ModelError: the file's keys are no preprocessing.
    """
    if name_or_path.endswith(".toml"):
        try:
            table = read_toml(Path(name_or_path))
            return build(Preprocessing, table.get("preprocessing", table))
        except ValueError as error:
            raise ModelError(f"{name_or_path}: {error}.") from error
    if name_or_path not in CONVENTIONS:
        raise UsageError(
            f"There is no preprocessing {name_or_path!r}; there are {', '.join(CONVENTIONS)}, or a file that ends in "
            ".toml with the keys of a card's [preprocessing]."
        )
    convention = CONVENTIONS[name_or_path]
    return Preprocessing(
        resize=convention.resize,
        interpolation=convention.interpolation,
        colour="rgb",
        shorter_side=_shorter_side(size) if convention.resize == "centre_crop" else None,
        pad_value=convention.pad_value if convention.resize == "pad" else None,
        **convention.scale,
    )


def scaled(preprocessing: Preprocessing, size: InputSize, new: InputSize) -> Preprocessing:
    """The same for an input of another size: the same share of the picture is cropped.

    Args:
        preprocessing: With a crop, for ``size``.
        size: Of the input it was made for.
        new: Of the input it is to be for.
    """
    share = max(size.height, size.width) / (preprocessing.shorter_side or 1)
    return replace(preprocessing, shorter_side=round(max(new.height, new.width) / share))


def changed(
    preprocessing: Preprocessing, resize: Resize | None, interpolation: Interpolation | None, size: InputSize
) -> Preprocessing:
    """The same with another resize or interpolation; what is padded then is gray, the mean of all colours.

    Args:
        preprocessing: To begin with.
        resize: None to keep it.
        interpolation: None to keep it.
        size: Of the input.
    """
    if interpolation is not None:
        preprocessing = replace(preprocessing, interpolation=interpolation)
    if resize is None or resize == preprocessing.resize:
        return preprocessing
    return replace(
        preprocessing,
        resize=resize,
        shorter_side=_shorter_side(size) if resize == "centre_crop" else None,
        pad_value=round(sum(preprocessing.mean) / 3, 1) if resize == "pad" else None,
    )


def _shorter_side(size: InputSize) -> int:
    return int(max(size.height, size.width) / _CROP)
