"""Specs of networks: numbers no network could be built from are refused."""

from __future__ import annotations

import dataclasses

import pytest

from mnv2deploy.catalog.network_specs import BackboneSpec, DeepLabSpec, PixelAnchors, SsdAnchors

ANCHORS = {
    "rule": "openmmlab",
    "grids": ((20, 20), (10, 10)),
    "strides": (16, 32),
    "min_sizes": (48.0, 100.0),
    "max_sizes": (100.0, 150.0),
    "aspect_ratios": (2.0, 3.0),
}
BACKBONE = {"width_multiplier": 1.0, "padding": "tf", "batch_norm_eps": 1e-3}


@pytest.mark.parametrize("name", ["grids", "strides", "min_sizes", "max_sizes"])
def test_every_feature_map_has_its_own_anchors(name: str) -> None:
    with pytest.raises(ValueError, match="should be as many as there are feature maps"):
        PixelAnchors(**{**ANCHORS, name: ANCHORS[name][:1]})


@pytest.mark.parametrize("name", ["strides", "min_sizes", "max_sizes", "aspect_ratios"])
@pytest.mark.parametrize("wrong", [0, -1])
def test_anchors_have_a_size(name: str, wrong: int) -> None:
    with pytest.raises(ValueError, match="of anchors should be greater than 0"):
        PixelAnchors(**{**ANCHORS, name: (wrong, ANCHORS[name][1])})


def test_anchors_of_a_cell_are_counted_as_the_papers_do() -> None:
    """SSD: a square of each of two sizes, and a box and its transpose a ratio. TensorFlow: a box a ratio, and a square
    of the size between two maps', but three boxes on the finest map."""
    assert PixelAnchors(**ANCHORS).per_cell == (6, 6)
    grids = ((19, 19), (10, 10), (5, 5))
    ratios = (1.0, 2.0, 0.5, 3.0, 1 / 3)
    anchors = SsdAnchors(grids=grids, min_scale=0.2, max_scale=0.95, aspect_ratios=ratios)
    assert anchors.per_cell == (6, 6, 6)
    lowest = ((0.1, 1.0), (0.2, 2.0), (0.2, 0.5))
    assert dataclasses.replace(anchors, lowest_layer=lowest).per_cell == (3, 6, 6)


@pytest.mark.parametrize("name", ["stem_channels", "last_channels", "channel_divisor"])
def test_layer_without_channels_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} should be at least 1, not 0"):
        BackboneSpec(**BACKBONE, **{name: 0})
    assert getattr(BackboneSpec(**BACKBONE, **{name: 1}), name) == 1


def test_deeplab_has_no_last_convolution_to_size() -> None:
    backbone = BackboneSpec(**BACKBONE, last_channels=1280)
    with pytest.raises(ValueError, match="last_channels belongs to networks that have the last convolution"):
        DeepLabSpec(architecture="deeplabv3", backbone=backbone, columns=21, head_batch_norm_eps=1e-5)
