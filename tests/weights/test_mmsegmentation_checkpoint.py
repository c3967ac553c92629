"""The checkpoints of mmsegmentation: every tensor has its place, and no file is run to be read."""

from __future__ import annotations

import collections
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mnv2deploy.catalog.cards import load_card
from mnv2deploy.errors import CheckpointError, UsageError
from mnv2deploy.networks.counts import build_hollow
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.checkpoint import checkpoint_digests, convert, read_checkpoint
from mnv2deploy.weights.mmsegmentation import describe, mmsegmentation_name

with np.load(Path(__file__).parent.parent / "reference" / "mmsegmentation.npz") as stored:
    META = json.loads(str(stored["meta"]))
CASES = [
    f"{head}-{dataset}"
    for dataset in ("cityscapes", "ade20k")
    for head in ("fcn", "pspnet", "deeplabv3", "deeplabv3plus")
]
SMALL = "fcn-cityscapes"


def shapes_of(case: str) -> dict[str, tuple[int, ...]]:
    network = build_hollow(load_card(case).network)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


@pytest.mark.parametrize("case", CASES)
def test_names_are_a_bijection_onto_mmsegmentations(case: str) -> None:
    """Those of the state dict of its own network, its second head aside, each of the same shape."""
    theirs = {name: tuple(shape) for name, shape in META[case]["shapes"].items() if not is_counter(name)}
    second = {name for name in theirs if name.startswith("auxiliary_head.")}
    assert second
    ours = {mmsegmentation_name(key): shape for key, shape in shapes_of(case).items() if not is_counter(key)}
    assert len(ours) == sum(not is_counter(key) for key in shapes_of(case))
    assert ours == {name: shape for name, shape in theirs.items() if name not in second}


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("backbone.stem.conv.weight", "backbone.conv1.conv.weight"),
        ("backbone.blocks.0.depthwise.bn.bias", "backbone.layer1.0.conv.0.bn.bias"),
        ("backbone.blocks.0.project.conv.weight", "backbone.layer1.0.conv.1.conv.weight"),
        ("backbone.blocks.16.expand.bn.running_var", "backbone.layer7.0.conv.0.bn.running_var"),
        ("backbone.blocks.9.project.bn.weight", "backbone.layer4.3.conv.2.bn.weight"),
        ("head.classifier.bias", "decode_head.conv_seg.bias"),
        ("head.convs.1.conv.weight", "decode_head.convs.1.conv.weight"),
        ("head.pyramid.3.bn.weight", "decode_head.psp_modules.3.1.bn.weight"),
        ("head.atrous.2.conv.weight", "decode_head.aspp_modules.3.conv.weight"),
        ("head.atrous.0.depthwise.bn.bias", "decode_head.aspp_modules.1.depthwise_conv.bn.bias"),
        ("head.refine.1.pointwise.conv.weight", "decode_head.sep_bottleneck.1.pointwise_conv.conv.weight"),
        ("head.low_level.conv.weight", "decode_head.c1_bottleneck.conv.weight"),
    ],
)
def test_names_are_mmsegmentations(key: str, name: str) -> None:
    assert mmsegmentation_name(key) == name


@pytest.mark.parametrize(
    "key", ["classifier.weight", "backbone.last.conv.weight", "head.classifier", "", "head.poolconv.weight", "head.x"]
)
def test_key_mmsegmentation_does_not_have_is_refused_by_name(key: str) -> None:
    with pytest.raises(CheckpointError, match=f"^{re.escape(key)} has no counterpart in a checkpoint of mmseg"):
        mmsegmentation_name(key)


@pytest.fixture(scope="module")
def raw() -> Tensors:
    """Of the smallest: no two tensors alike."""
    generator = np.random.default_rng(0)
    shapes = META[SMALL]["shapes"].items()
    return {name: np.asarray(generator.random(shape, np.float32)) for name, shape in shapes}


SHAPES = shapes_of(SMALL)
KEYS = [key for key in SHAPES if not is_counter(key)]


def converted(raw: Tensors, **changes: np.ndarray | None) -> Tensors:
    changed = {name: array for name, array in {**raw, **changes}.items() if array is not None}
    return convert(changed, "mmsegmentation", SHAPES, {}, "model.pth")


def test_every_value_is_in_its_place_with_the_second_head_or_without(raw: Tensors) -> None:
    without = {name: array for name, array in raw.items() if not name.startswith("auxiliary_head.")}
    assert len(without) < len(raw)
    for checkpoint in (raw, without):
        state = converted(checkpoint)
        assert set(state) == set(SHAPES)
        for key in KEYS:
            np.testing.assert_array_equal(state[key], raw[mmsegmentation_name(key)], strict=True)


def test_whichever_tensor_is_missing_misshapen_or_not_finite_is_named(raw: Tensors) -> None:
    for key in KEYS[::7]:
        name = mmsegmentation_name(key)
        with pytest.raises(CheckpointError, match=f"model.pth lacks the tensor {re.escape(name)}\\.$") as caught:
            converted(raw, **{name: None})
        assert caught.value.exit_code == 4
        with pytest.raises(CheckpointError, match=re.escape(f"{name} becomes {key} with shape")):
            converted(raw, **{name: raw[name][:-1]})
        with pytest.raises(CheckpointError, match=f"{re.escape(name)} holds values that are not finite"):
            converted(raw, **{name: np.full_like(raw[name], np.nan)})


@pytest.mark.parametrize("name", ["decode_head.convs.2.conv.weight", "neck.bias", "auxiliary.conv_seg.bias"])
def test_tensor_without_a_place_is_named(raw: Tensors, name: str) -> None:
    with pytest.raises(CheckpointError, match=f"no place for: {re.escape(name)}\\."):
        converted(raw, **{name: np.zeros(3, np.float32)})


def test_checkpoint_of_other_classes_is_refused(raw: Tensors) -> None:
    with pytest.raises(CheckpointError, match=r"decode_head\.conv_seg\.weight .* another number of classes"):
        convert(raw, "mmsegmentation", shapes_of("fcn-ade20k"), {}, "model.pth")


@pytest.mark.parametrize(
    ("case", "first"),
    [
        ("fcn-cityscapes", "convs.0"),
        ("pspnet-cityscapes", "psp_modules.0.1"),
        ("deeplabv3-cityscapes", "image_pool.1"),
        ("deeplabv3plus-cityscapes", "image_pool.1"),
    ],
)
def test_description_has_the_channels_of_a_training_of_ones_own(case: str, first: str) -> None:
    shapes = {name: tuple(shape) for name, shape in META[case]["shapes"].items()}
    official = load_card(case).network
    assert describe(shapes, {}, "own.pth").network == official
    own = {f"decode_head.{first}.conv.weight": 96, "decode_head.c1_bottleneck.conv.weight": 24}
    own |= {"decode_head.conv_seg.bias": 3}
    changed = {name: ((own[name], *shape[1:]) if name in own else shape) for name, shape in shapes.items()}
    expected = {"channels": 96, "columns": 3}
    if case.startswith("deeplabv3plus"):
        expected["low_level_channels"] = 24
    assert describe(changed, {}, "own.pth").network == dataclasses.replace(official, **expected)


def test_checkpoint_without_a_head_says_so() -> None:
    shapes = {name: tuple(shape) for name, shape in META[SMALL]["shapes"].items() if name.startswith("backbone.")}
    with pytest.raises(CheckpointError, match="^own.pth: its decode_head is missing; those of FCN, PSPNet"):
        describe(shapes, {}, "own.pth")


TENSORS = {"backbone.conv1.conv.weight": torch.arange(6.0).reshape(2, 3), "decode_head.conv_seg.bias": torch.ones(2)}


@pytest.mark.parametrize(
    "saved",
    [
        pytest.param(TENSORS, id="a state dict"),
        pytest.param(collections.OrderedDict(TENSORS), id="an ordered one"),
        pytest.param({"state_dict": TENSORS}, id="wrapped"),
        pytest.param(
            {"meta": {"mmseg_version": "0.6.0", "CLASSES": ["road"], "PALETTE": [[1, 2, 3]]}, "state_dict": TENSORS},
            id="with meta as mmcv writes it",
        ),
        pytest.param({"state_dict": {f"module.{name}": t for name, t in TENSORS.items()}}, id="of several GPUs"),
        pytest.param({"state_dict": TENSORS, "optimizer": {"state": {0: {"step": 3}}}}, id="of a training"),
    ],
)
def test_tensors_are_found_however_they_are_wrapped(tmp_path: Path, saved: Any) -> None:
    torch.save(saved, tmp_path / "model.pth")
    found = read_checkpoint(tmp_path / "model.pth", "mmsegmentation")
    assert set(found) == set(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), strict=True)
    assert checkpoint_digests(tmp_path / "model.pth", "mmsegmentation")[0][0] == "model.pth"


def test_missing_file_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        read_checkpoint(tmp_path / "nowhere.pth", "mmsegmentation")
