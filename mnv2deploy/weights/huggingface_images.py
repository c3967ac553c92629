"""What a ``preprocessor_config.json`` of transformers says of the pictures a network takes."""

from __future__ import annotations

from typing import Any

from mnv2deploy.catalog.cards import InputSize
from mnv2deploy.contract import Preprocessing
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.configuration import Config

_INTERPOLATION = {2: "antialias", 3: "bicubic"}  # PIL's numbers


def describe_images(config: Config, *, is_segmenter: bool, where: str) -> tuple[InputSize | None, Preprocessing | None]:
    """Input size and preprocessing, as far as they are what a contract can say; None for what is not.

    A segmenter's pictures are cropped by transformers, so its answer is one of a part of the picture; only the size is
    taken over.

    Args:
        config: The file's object; empty where there is none.
        is_segmenter: Whether the network segments.
        where: File name, for messages.

    Raises:
        CheckpointError: a value is not one transformers would write.
    """
    try:
        crop = _size(config.get("crop_size")) if config.get("do_center_crop") else None
        size = config.get("size") if config.get("do_resize", True) else None
        stretched = _size(size) if crop is None else None
        graph_input = crop or stretched
        if graph_input is None or is_segmenter or config.get("resample") not in _INTERPOLATION:
            return graph_input, None
        return graph_input, Preprocessing(
            resize="stretch" if crop is None else "centre_crop",
            interpolation="antialias" if config["resample"] == 2 else "bicubic",
            colour="rgb",
            shorter_side=None if crop is None else int(size["shortest_edge"]),  # type: ignore[index]
            **_normalization(config),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{where}: preprocessor_config.json cannot be understood ({error}).") from error


def _size(size: Any) -> InputSize | None:
    if isinstance(size, int):
        return InputSize(height=size, width=size)
    if isinstance(size, dict) and {"height", "width"} <= set(size):
        return InputSize(height=int(size["height"]), width=int(size["width"]))
    return None


def _normalization(config: Config) -> dict[str, Any]:
    """Mean and std on the 0..255 scale: transformers multiplies by ``rescale_factor`` first."""
    factor = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
    is_normalized = config.get("do_normalize", True)
    mean = config["image_mean"] if is_normalized else (0.0, 0.0, 0.0)
    std = config["image_std"] if is_normalized else (1.0, 1.0, 1.0)
    (red, green, blue), (red_std, green_std, blue_std) = (
        [round(float(value) / factor, 6) for value in values] for values in (mean, std)
    )
    return {"mean": (red, green, blue), "std": (red_std, green_std, blue_std)}
