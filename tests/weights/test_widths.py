"""Width and depth by channels: the published ones are found again, and what is no MobileNetV2's is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2deploy.catalog.network_specs import BackboneSpec
from mnv2deploy.catalog.stages import last_channels, stem_channels
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.widths import Layer, block_channels, describe_backbone


def describe(blocks: list[int], stem: int = 32, last: int | None = 1280, **settings: Any) -> BackboneSpec:
    layers = [Layer(f"block {index}", count) for index, count in enumerate(blocks)]
    tail = None if last is None else Layer("last", last)
    return describe_backbone(Layer("stem", stem), layers, tail, "m", padding="tf", batch_norm_eps=1e-3, **settings)


@pytest.mark.parametrize("depth", [1.0, 1.2, 1.4])
@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.0, 1.1, 1.2, 1.3, 1.4])
def test_published_widths_and_depths_are_found_again(width: float, depth: float) -> None:
    found = describe(block_channels(width, depth), stem_channels(width), last_channels(width))
    assert found == BackboneSpec(
        width_multiplier=width, depth_multiplier=depth, padding="tf", batch_norm_eps=1e-3, output_stride=32
    )


@settings(derandomize=True, deadline=None, max_examples=15)
@given(st.integers(10, 200), st.sampled_from((1, 8)))
def test_any_width_gives_the_channels_it_was_found_by(percent: int, divisor: int) -> None:
    width = percent / 100
    stem, last = stem_channels(width, divisor), last_channels(width)
    found = describe(block_channels(width, 1.0, divisor), stem, last, channel_divisor=divisor)
    assert block_channels(found.width_multiplier, 1.0, divisor) == block_channels(width, 1.0, divisor)
    assert stem_channels(found.width_multiplier, divisor) == stem
    assert last_channels(found.width_multiplier) == last
    assert (found.stem_channels, found.last_channels, found.channel_divisor) == (None, None, divisor)


def test_layers_that_do_not_follow_the_width_are_said_by_themselves() -> None:
    blocks = block_channels(1.0, 1.0)
    own = describe(blocks, 40, 960)
    assert (own.width_multiplier, own.stem_channels, own.last_channels) == (1.0, 40, 960)
    assert describe(blocks, 40).last_channels is None
    assert describe(blocks, 32, 960).stem_channels is None
    assert describe(blocks, 32, None).last_channels is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({16: 200}, "m: block 16 has 200 channels, but .* of width multiplier 1.0, the nearest, has 320"),
        ({3: 40}, "m: block 3 has 40 channels, but .* 32"),
    ],
)
def test_the_first_layer_that_does_not_fit_the_nearest_width_is_named(changes: dict[int, int], says: str) -> None:
    blocks = [changes.get(index, count) for index, count in enumerate(block_channels(1.0, 1.0))]
    with pytest.raises(CheckpointError, match=says):
        describe(blocks)


@pytest.mark.parametrize(("count", "says"), [(0, "m has 0 bottlenecks, the last of them missing"), (3, "block 2, in")])
def test_stages_of_no_depth_are_named_by_the_last_block(count: int, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        describe(block_channels(1.0, 1.0)[:count])
