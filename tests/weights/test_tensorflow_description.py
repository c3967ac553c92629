"""What TensorFlow's graphs say of themselves, on graphs of names and shapes alone: what the real ones do not have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mnv2deploy.catalog.cards import InputSize, load_card
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights import tensorflow_description
from mnv2deploy.weights.tensorflow import tensorflow_scope
from mnv2deploy.weights.tensorflow_description import describe_tensorflow, feature_grids
from mnv2deploy.weights.widths import block_channels

PER_CELL = (3, 6, 6, 6, 6, 6)
EXTRAS = (512, 256, 256, 128)
BLOCK_SHAPE = "MobilenetV2/expanded_conv_{}/depthwise/depthwise/SpaceToBatchND/block_shape"


def kernel(channels: int) -> Any:
    """Of so many output channels, the last axis; the values take no memory."""
    return np.broadcast_to(np.float32(0), (1, 1, 8, channels))


def backbone(root: str) -> dict[str, Any]:
    layers = {"stem": 32, **{f"blocks.{index}.project": count for index, count in enumerate(block_channels(1.0, 1.0))}}
    return {f"{root}{tensorflow_scope(f'backbone.{name}')}/weights": kernel(count) for name, count in layers.items()}


@pytest.fixture
def ssdlite(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(tensorflow_description, "check_anchors", lambda *_: None)
    root = "FeatureExtractor/"
    raw = {**backbone(root), f"{root}{tensorflow_scope('backbone.last')}/weights": kernel(1280)}
    for index, count in enumerate(PER_CELL):
        raw[f"BoxPredictor_{index}/BoxEncodingPredictor/weights"] = kernel(4 * count)
        raw[f"BoxPredictor_{index}/ClassPredictor/weights"] = kernel(91 * count)
    for index, count in enumerate(EXTRAS, start=2):
        raw[f"{root}MobilenetV2/layer_19_2_Conv2d_{index}_3x3_s2_{count}/weights"] = kernel(count)
    return raw


@pytest.fixture
def deeplab() -> dict[str, Any]:
    return {**backbone(""), "logits/semantic/weights": kernel(21), "concat_projection/weights": kernel(256)}


def dilations(**rates: Any) -> dict[str, Any]:
    return {BLOCK_SHAPE.format(name.removeprefix("block")): np.array(value) for name, value in rates.items()}


def test_a_graph_of_names_and_shapes_is_the_catalogs_network(ssdlite: dict[str, Any], deeplab: dict[str, Any]) -> None:
    assert describe_tensorflow(ssdlite, "m.pb").network == load_card("ssdlite-coco").network
    official = load_card("deeplabv3-voc").network
    found = describe_tensorflow({**deeplab, **dilations(block7=[2, 2], block14=[4, 4])}, "m.pb")
    assert found.network == official
    assert not found.is_stride_open


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"BoxPredictor_2/BoxEncodingPredictor/weights": kernel(12)}, r"predicts \[3, 6, 3, 6, 6, 6\] anchors a cell"),
        ({"BoxPredictor_6/ClassPredictor/weights": kernel(546)}, "anchors a cell; SSDLite's .* are known"),
        ({"BoxPredictor_2/ClassPredictor/weights": kernel(540)}, "its class predictors have .* no classes' logits"),
        (
            {f"BoxPredictor_{index}/ClassPredictor/weights": kernel(count) for index, count in enumerate(PER_CELL)},
            "its class predictors have .* no classes' logits",
        ),
        ({"BoxPredictor_0/ClassPredictor/weights": None}, "m.pb lacks BoxPredictor_0/ClassPredictor/weights"),
        (
            {"FeatureExtractor/MobilenetV2/layer_19_2_Conv2d_3_3x3_s2_64/weights": kernel(64)},
            "has 2 layers layer_19_2_Conv2d_3_3x3_s2 instead of one",
        ),
        (
            {"FeatureExtractor/MobilenetV2/layer_19_2_Conv2d_3_3x3_s2_256/weights": None},
            "has 0 layers layer_19_2_Conv2d_3_3x3_s2 instead of one",
        ),
    ],
)
def test_a_detector_that_is_another_is_named(change: dict[str, Any], says: str, ssdlite: dict[str, Any]) -> None:
    raw = {name: array for name, array in {**ssdlite, **change}.items() if array is not None}
    with pytest.raises(CheckpointError, match=says):
        describe_tensorflow(raw, "m.pb")


def test_a_detector_of_one_class_has_background_too(ssdlite: dict[str, Any]) -> None:
    two = {f"BoxPredictor_{index}/ClassPredictor/weights": kernel(2 * count) for index, count in enumerate(PER_CELL)}
    assert describe_tensorflow({**ssdlite, **two}, "m.pb").network.columns == 2


@pytest.mark.parametrize(
    ("rates", "stride"),
    [
        ({"block7": [2, 2], "block14": [4, 4]}, 8),
        ({"block7": [2, 2]}, 8),  # those of the later blocks are shared with others
        ({"block14": [2, 2]}, 16),
        ({"block14": [2, 2], "block15": [2, 2]}, 16),
        ({"block7": [2, 4]}, None),  # of no square kernel: no dilation of DeepLab's
    ],
)
def test_output_stride_is_seen_in_the_dilations(rates: Any, stride: int | None, deeplab: dict[str, Any]) -> None:
    found = describe_tensorflow({**deeplab, **dilations(**rates)}, "m.pb")
    assert found.is_stride_open == (stride is None)
    assert found.network.backbone.output_stride == (stride or 8)


@pytest.mark.parametrize(
    "rates",
    [
        {"block7": [4, 4]},
        {"block7": [2, 2], "block14": [2, 2]},
        {"block14": [4, 4]},
        {"block13": [2, 2]},
        {"block3": [2, 2]},
    ],
)
def test_dilations_of_no_output_stride_are_refused(rates: Any, deeplab: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="which is no output stride of DeepLab's"):
        describe_tensorflow({**deeplab, **dilations(**rates)}, "m.pb")


def test_a_segmenter_with_dilated_branches_is_refused(deeplab: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="has an ASPP of dilated branches"):
        describe_tensorflow({**deeplab, "aspp1_depthwise/weights": kernel(320)}, "m.pb")


def test_a_segmenters_input_is_told_by_what_its_pooled_branch_is_stretched_to(deeplab: dict[str, Any]) -> None:
    eight = {**deeplab, **dilations(block7=[2, 2])}
    grid = {"ResizeBilinear/size": np.array([65, 33], np.int32)}
    assert describe_tensorflow({**eight, **grid}, "m.pb").input == InputSize(height=513, width=257)
    sixteen = {**deeplab, **dilations(block14=[2, 2]), **grid}
    assert describe_tensorflow(sixteen, "m.pb").input == InputSize(height=1025, width=513)
    for unknown in (
        {},
        {**grid, "ResizeBilinear_1/size": np.array([513, 257], np.int32)},  # which of the two?
        {"ResizeBilinear/size": np.array([65, 33], np.float32)},
        {"ResizeBilinear/size": np.array([65], np.int32)},
        {"ResizeBilinear/size": np.array([0, 33], np.int32)},
        {"ResizeBilinear/size": np.array([65, 1 << 16], np.int32)},
    ):
        assert describe_tensorflow({**eight, **unknown}, "m.pb").input is None
    assert describe_tensorflow({**deeplab, **grid}, "m.pb").input is None  # the stride is not known


@pytest.mark.parametrize(
    ("name", "value", "stated"),
    [
        ("mul/x", 2 / 255, True),
        ("Preprocessor/mul/x", 2 / 255, True),
        ("mul_1/x", 2 / 255, True),
        ("mul/x", 1 / 255, False),
        ("mul/x", [2 / 255, 2 / 255], False),
        ("other/mul/x", 2 / 255, False),
    ],
)
def test_scaling_is_the_files_where_its_graph_has_it(
    name: str, value: Any, stated: bool, deeplab: dict[str, Any]
) -> None:
    found = describe_tensorflow({**deeplab, name: np.array(value, np.float32)}, "m.pb")
    assert found.is_assumed is not stated
    assert found.preprocessing == load_card("deeplabv3-voc").preprocessing


def test_grids_of_sides_that_do_not_divide_are_rounded_up() -> None:
    grids = feature_grids(InputSize(height=300, width=321), 6)
    assert grids == ((19, 21), (10, 11), (5, 6), (3, 3), (2, 2), (1, 1))
