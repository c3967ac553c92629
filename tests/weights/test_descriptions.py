"""What does not fit is said by name, and what the files beside a checkpoint say is believed or contradicted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_origins import CASES, write

from mnv2deploy.catalog.network_specs import DeepLabSpec
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights import huggingface, mmpretrain, timm, torchvision
from mnv2deploy.weights.checkpoint import describe_checkpoint

SHAPES = {origin: CASES[origin, name].tensors for origin, name in (("torchvision", "w1.0"), ("mmpretrain", "w1.0"))}
TIMM = CASES["timm", "mobilenetv2_110d"].tensors
HF = CASES["huggingface", "classifier"]


@pytest.mark.parametrize(
    ("describe", "shapes"),
    [
        (torchvision.describe, SHAPES["torchvision"]),
        (mmpretrain.describe, SHAPES["mmpretrain"]),
        (timm.describe, TIMM),
        (lambda shapes, _, where: huggingface.describe(shapes, HF.config, where), HF.tensors),
    ],
)
def test_what_is_missing_or_too_many_is_named(describe: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    describe(shapes, {}, "m")
    head = [name for name in shapes if name.startswith(("classifier", "head"))]
    with pytest.raises(
        CheckpointError, match=r"^m has no classifier: it is a backbone alone\. Save the whole model\.$"
    ):
        describe({name: shape for name, shape in shapes.items() if name not in head}, {}, "m")
    missing = list(shapes)[:2]
    without = {name: shape for name, shape in shapes.items() if name not in missing}
    with pytest.raises(CheckpointError, match=f"^m lacks {missing[0]}, {missing[1]}\\.$"):
        describe(without, {}, "m")
    with pytest.raises(CheckpointError, match=r"^m has tensors the network has no place for: a, b, c and 2 more\.$"):
        describe(shapes | dict.fromkeys("abcde", (1,)), {}, "m")
    with pytest.raises(CheckpointError, match=r"has the shape \(\), which is no layer's"):
        describe(shapes | {head[1]: ()}, {}, "m")


def test_three_names_are_all_there_are_to_say_and_counters_are_none() -> None:
    shapes = SHAPES["torchvision"] | {"features.0.1.num_batches_tracked": ()}
    torchvision.describe(shapes, {}, "m")
    with pytest.raises(CheckpointError, match=r"no place for: a, b, c\.$"):
        torchvision.describe(shapes | dict.fromkeys("abc", (1,)), {}, "m")


def test_a_layer_without_channels_is_none() -> None:
    with pytest.raises(CheckpointError, match=r"classifier\.1\.bias has the shape \(0,\), which is no layer's"):
        torchvision.describe(SHAPES["torchvision"] | {"classifier.1.bias": (0,)}, {}, "m")


def test_layer_of_no_width_is_named_with_what_the_nearest_has() -> None:
    name = "features.5.conv.2.weight"
    shapes = SHAPES["torchvision"] | {name: (40, 192, 1, 1)}
    with pytest.raises(CheckpointError, match=f"{name} has 40 channels, but .* width multiplier 1.0, .* has 32"):
        torchvision.describe(shapes, {}, "m")


def test_stages_of_no_depth_are_refused() -> None:
    shapes = {name: shape for name, shape in TIMM.items() if not name.startswith("blocks.3.4.")}
    with pytest.raises(CheckpointError, match="m has 21 bottlenecks"):
        timm.describe(shapes, {}, "m")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hidden_act": "silu"}, "config.json has hidden_act = silu; this program builds relu6 alone"),
        ({"expand_ratio": 4}, "config.json has expand_ratio = 4"),
        ({"depth_multiplier": 0.5}, "depth_multiplier = 0.5, but the tensors are of width multiplier 1.0"),
        ({"depth_multiplier": "1.0"}, "depth_multiplier = 1.0, which cannot be"),
        ({"tf_padding": 1}, "tf_padding = 1, which cannot be"),
        ({"id2label": {"0": "cat", "1": "dog"}}, "names 2 labels, but the logits have 7 columns"),
    ],
)
def test_config_that_contradicts_the_tensors_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        huggingface.describe(HF.tensors, {"config": {**HF.config["config"], **change}}, "m")


def test_config_json_is_needed(tmp_path: Path) -> None:
    path = write("huggingface", HF, tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match="needs the config.json it was published with"):
        describe_checkpoint(path, "huggingface")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(CheckpointError, match=r"config.json should hold one JSON object"):
        describe_checkpoint(path, "huggingface")


def test_what_config_json_leaves_out_has_transformers_own_default() -> None:
    """MobileNetV2Config's: tf_padding=True, layer_norm_eps=0.001, output_stride=32, depth_multiplier=1.0."""
    backbone = huggingface.describe(HF.tensors, {"config": {}}, "m").network.backbone
    assert (backbone.padding, backbone.batch_norm_eps, backbone.output_stride) == ("tf", 1e-3, 32)
    narrow = CASES["huggingface", "narrow"].tensors
    with pytest.raises(CheckpointError, match=r"depth_multiplier = 1\.0, but .* width multiplier 0\.75"):
        huggingface.describe(narrow, {"config": {}}, "m")


def test_the_last_convolution_is_unused_in_segmenters_alone() -> None:
    segmenter = CASES["huggingface", "segmenter"]
    network = huggingface.describe(segmenter.tensors, segmenter.config, "m").network
    assert isinstance(network, DeepLabSpec)
    assert network.head_batch_norm_eps == 1e-5  # written into MobileNetV2DeepLabV3Plus
    for shapes, unused in ((segmenter.tensors, False), (HF.tensors, True)):
        raw = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
        names = huggingface.huggingface_origin(raw, "m").unused()
        assert any(name.startswith("mobilenet_v2.conv_1x1.") for name in names) is unused
        assert names


def test_made_up_labels_are_none() -> None:
    labels = {str(column): f"LABEL_{column}" for column in range(7)}
    config = {"config": {**HF.config["config"], "id2label": labels}}
    assert huggingface.describe(HF.tensors, config, "m").labels is None


def test_preprocessor_config_becomes_preprocessing(tmp_path: Path) -> None:
    """The file google/mobilenet_v2_1.0_224 is published with."""
    path = write("huggingface", HF, tmp_path)
    images = {
        **{"do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "do_normalize": True},
        **{"do_rescale": True, "do_resize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]},
        **{"resample": 2, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 256}},
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(images), encoding="utf-8")
    found = describe_checkpoint(path, "huggingface")
    assert found.input is not None
    assert found.preprocessing is not None
    assert (found.input.height, found.input.width, found.preprocessing.shorter_side) == (224, 224, 256)
    assert (found.preprocessing.resize, found.preprocessing.interpolation) == ("centre_crop", "antialias")
    assert (*found.preprocessing.mean, *found.preprocessing.std) == pytest.approx((127.5,) * 6)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**images, "image_mean": 0.5}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"preprocessor_config.json cannot be understood"):
        describe_checkpoint(path, "huggingface")
