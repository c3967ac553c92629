"""Which width and depth multiplier gives a checkpoint's channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from mnv2deploy.catalog.network_specs import BackboneSpec
from mnv2deploy.catalog.stages import last_channels, scaled_stages, stem_channels
from mnv2deploy.errors import CheckpointError

_PUBLISHED = (1.0, 0.35, 0.5, 0.75, 1.3, 1.4, 1.1, 1.2)
_WIDTHS = (*_PUBLISHED, *(percent / 100 for percent in range(10, 201)))
_PUBLISHED_DEPTHS = (1.0, 1.2, 1.4)
_DEPTHS = (*_PUBLISHED_DEPTHS, *(tenths / 10 for tenths in range(5, 31)))


class Layer(NamedTuple):
    """A convolution of a checkpoint: its kernel's name and its output channels."""

    name: str
    channels: int


def describe_backbone(
    stem: Layer,
    blocks: Sequence[Layer],
    last: Layer | None,
    where: str,
    *,
    padding: Literal["tf", "torch"],
    batch_norm_eps: float,
    output_stride: int = 32,
    channel_divisor: int = 8,
) -> BackboneSpec:
    """Finds the width and depth that give a checkpoint's channels.

    Of widths that give the same blocks the one is taken whose stem and last convolution follow too, and of those a
    published one.

    Args:
        stem: The first convolution.
        blocks: The projection of each bottleneck.
        last: The last 1x1 convolution, if there is one.
        where: File name, for messages.
        padding: Of the framework.
        batch_norm_eps: Of the framework.
        output_stride: Where it can be known.
        channel_divisor: Of the framework.

    Raises:
        CheckpointError: no width and depth do; names the first layer that does not fit the nearest.
    """
    found = [layer.channels for layer in blocks]
    best: tuple[int, BackboneSpec] | None = None
    for depth in (depth for depth in _DEPTHS if len(block_channels(1.0, depth)) == len(found)):
        for width in (width for width in _WIDTHS if block_channels(width, depth, channel_divisor) == found):
            other_stem = stem.channels != stem_channels(width, channel_divisor)
            other_last = last is not None and last.channels != last_channels(width)
            spec = BackboneSpec(
                width_multiplier=width,
                output_stride=output_stride,
                padding=padding,
                batch_norm_eps=batch_norm_eps,
                depth_multiplier=depth,
                stem_channels=stem.channels if other_stem else None,
                last_channels=last.channels if last is not None and other_last else None,
                channel_divisor=channel_divisor,
            )
            if best is None or other_stem + other_last < best[0]:
                best = (other_stem + other_last, spec)
        if best is not None:
            return best[1]
    raise _unknown_width(blocks, where)


def block_channels(width: float, depth: float, divisor: int = 8) -> list[int]:
    """Output channels of each bottleneck."""
    return [count for _, count, repetitions, _ in scaled_stages(width, depth, divisor) for _ in range(repetitions)]


def _unknown_width(blocks: Sequence[Layer], where: str) -> CheckpointError:
    found = [layer.channels for layer in blocks]
    if len(found) != len(block_channels(1.0, 1.0)):
        return CheckpointError(
            f"{where} has {len(found)} bottlenecks, the last of them {blocks[-1].name if blocks else 'missing'}, in "
            "stages that are no MobileNetV2's at any depth multiplier."
        )
    alike = {width: _alike(found, block_channels(width, 1.0)) for width in _WIDTHS}
    width = max(alike, key=alike.__getitem__)
    misfit = blocks[alike[width]]
    return CheckpointError(
        f"{where}: {misfit.name} has {misfit.channels} channels, but a MobileNetV2 of width multiplier {width}, the "
        f"nearest, has {block_channels(width, 1.0)[alike[width]]}."
    )


def _alike(found: Sequence[int], expected: Sequence[int]) -> int:
    """How many of the first are equal."""
    return next((place for place, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1]), 0)
