"""OpenMMLab's segmenters against mmsegmentation's own code, with the same weights (tests/reference/README.md)."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from deterministic_weights import picture, weight
from numpy.typing import NDArray
from torch import nn

from mnv2deploy.catalog.cards import Card, load_card
from mnv2deploy.export import graph
from mnv2deploy.export.artifact import rewrite
from mnv2deploy.networks import build_network, load_network
from mnv2deploy.networks.mobilenet_v2 import block_specs
from mnv2deploy.networks.pspnet import region_means
from mnv2deploy.runtime.masks import axis_positions, upsample_argmax
from mnv2deploy.weights.assembly import Tensors

REFERENCE = np.load(Path(__file__).parent.parent / "reference" / "mmsegmentation.npz")
META = json.loads(str(REFERENCE["meta"]))
HEADS = ("fcn", "pspnet", "deeplabv3", "deeplabv3plus")
CASES = [f"{head}-{dataset}" for dataset in ("cityscapes", "ade20k") for head in HEADS]
SIZES = ((128, 128), (96, 320))
TOLERANCE = 1e-4  # of the output's range


def made_up(case: str) -> Tensors:
    """The checkpoint mmsegmentation's network was filled with: its own names, the second head among them."""
    return {name: weight(name, tuple(shape)) for name, shape in META[case]["shapes"].items()}


@functools.cache
def network(case: str) -> nn.Module:
    return load_network(load_card(case), made_up(case), case)


def error(case: str, size: tuple[int, int], logits: NDArray[Any]) -> float:
    """The largest difference from mmsegmentation's, of those logits that are kept, over the range of all."""
    key = f"{case}/{size[0]}x{size[1]}"
    assert list(logits.shape) == REFERENCE[f"{key}/shape"].tolist()
    low, high = REFERENCE[f"{key}/range"]
    kept = logits.ravel()[:: META[case.split("-")[1]]["step"]]
    return float(np.abs(kept - REFERENCE[f"{key}/logits"]).max() / (high - low))


def answer(built: nn.Module, size: tuple[int, int]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return built(torch.from_numpy(picture(1, *size))).numpy()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", CASES)
def test_network_and_its_graph_in_onnxruntime_answer_as_mmsegmentations(case: str, size: tuple[int, int]) -> None:
    assert error(case, size, answer(network(case), size)) < TOLERANCE
    model = graph.trace(network(case), (3, *size), ["class_logits"], graph.DEFAULT_OPSET)
    rewrite(model)
    graph.normalize(model)
    onnx.checker.check_model(model, full_check=True)
    found = Counter(node.op_type for node in model.graph.node)
    assert not {"Shape", "Gather", "BatchNormalization", "AveragePool", "ReduceMean", "Expand"} & set(found)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = picture(1, *size)
    one, two = session.run(None, {"image": x})[0], session.run(None, {"image": np.concatenate([x, x[:, :, ::-1]])})[0]
    assert error(case, size, one) < TOLERANCE
    np.testing.assert_allclose(two[:1], one, atol=TOLERANCE * np.ptp(one))
    assert np.abs(two[1] - two[0]).max() > 0.1 * np.ptp(one)


PARAMETERS = {  # as mmsegmentation 1.2.2 builds them, without the second head
    **{"fcn-cityscapes": 9_492_243, "pspnet-cityscapes": 13_393_683},
    **{"deeplabv3-cityscapes": 18_375_443, "deeplabv3plus-cityscapes": 15_017_795},
    **{"fcn-ade20k": 9_559_446, "pspnet-ade20k": 13_460_886},
    **{"deeplabv3-ade20k": 18_442_646, "deeplabv3plus-ade20k": 15_084_998},
}


@pytest.mark.parametrize("case", CASES)
def test_parameters_are_mmsegmentations(case: str) -> None:
    found = sum(parameter.numel() for parameter in network(case).parameters())
    assert found == PARAMETERS[case] == META[case]["parameters"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("head", HEADS)
def test_mask_is_mmsegmentations(head: str, size: tuple[int, int]) -> None:
    """Bilinear to the input's size, the corners not aligned, and the best class there."""
    card, logits = load_card(f"{head}-cityscapes"), answer(network(f"{head}-cityscapes"), size)[0]
    axes = [
        axis_positions(grid, side, align_corners=card.decoding.align_corners, target=side)
        for grid, side in zip(logits.shape[1:], size, strict=True)
    ]
    expected = REFERENCE[f"{head}-cityscapes/{size[0]}x{size[1]}/mask"]
    assert expected.shape == size
    assert len(np.unique(expected)) > 2
    assert np.count_nonzero(upsample_argmax(logits, *axes) != expected) <= 2  # where the best two are all but equal


def changed(case: str, **backbone: Any) -> Card:
    card = load_card(case)
    spec = dataclasses.replace(card.network.backbone, **backbone)
    return dataclasses.replace(card, network=dataclasses.replace(card.network, backbone=spec))


@pytest.mark.parametrize(
    "mistake", [{"dilation_rule": "tf"}, {"padding": "tf"}, {"batch_norm_eps": 1e-3}, {"output_stride": 16}]
)
def test_other_conventions_are_other_networks(mistake: dict[str, Any]) -> None:
    case = "deeplabv3plus-cityscapes"  # its logits are a quarter of the input whatever the output stride
    built = load_network(changed(case, **mistake), made_up(case), case)
    assert error(case, SIZES[0], answer(built, SIZES[0])) > 10 * TOLERANCE


def test_order_of_the_branches_matters() -> None:
    """They have one shape, so nothing but the answer tells."""
    for case, name in (("pspnet-cityscapes", "pyramid"), ("deeplabv3-cityscapes", "atrous")):
        built = load_network(load_card(case), made_up(case), case)
        branches = getattr(built.head, name)
        branches[0].conv.weight, branches[1].conv.weight = branches[1].conv.weight, branches[0].conv.weight
        assert error(case, SIZES[1], answer(built, SIZES[1])) > 10 * TOLERANCE


@pytest.mark.parametrize(
    ("stride", "strides", "dilations"),
    [
        (32, (1, 2, 2, 2, 1, 2, 1), (1, 1, 1, 1, 1, 1, 1)),
        (16, (1, 2, 2, 2, 1, 1, 1), (1, 1, 1, 1, 1, 2, 2)),
        (8, (1, 2, 2, 1, 1, 1, 1), (1, 1, 1, 2, 2, 4, 4)),  # M-V2-D8
    ],
)
def test_only_the_first_block_of_a_stage_is_dilated(
    stride: int, strides: tuple[int, ...], dilations: tuple[int, ...]
) -> None:
    """``make_layer`` of mmsegmentation's MobileNetV2, from the strides and dilations of its configurations."""
    expected = [
        (strides[stage] if block == 0 else 1, dilations[stage] if block == 0 else 1)
        for stage, blocks in enumerate((1, 2, 3, 4, 3, 3, 1))
        for block in range(blocks)
    ]
    assert [(spec.stride, spec.dilation) for spec in block_specs(1.0, stride, "openmmlab")] == expected


@pytest.mark.parametrize("regions", [1, 2, 3, 6, 7])
@pytest.mark.parametrize(("height", "width"), [(64, 128), (128, 256), (64, 64), (12, 40), (5, 9)])
def test_region_means_are_torchs_adaptive_pooling(height: int, width: int, regions: int) -> None:
    x = torch.rand(2, 3, height, width, dtype=torch.float64)
    torch.testing.assert_close(region_means(x, regions), F.adaptive_avg_pool2d(x, regions), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("case", "change", "message"),
    [
        ("fcn-ade20k", {"convolutions": 0}, "a head of 0 convolutions"),
        ("pspnet-ade20k", {"pyramid": ()}, r"a pyramid of \[\] regions"),
        ("pspnet-ade20k", {"pyramid": (1, 0)}, r"a pyramid of \[1, 0\] regions"),
        ("deeplabv3-ade20k", {"projection_kernel": 2}, "projection_kernel 2 is even"),
    ],
)
def test_numbers_that_make_no_network_are_refused(case: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_network(dataclasses.replace(load_card(case).network, **change))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("height", "width"), [(65, 97), (75, 102), (33, 16)])
def test_sides_that_do_not_divide_are_rounded_up(head: str, height: int, width: int) -> None:
    card = load_card(f"{head}-cityscapes")
    with torch.device("meta"):
        logits = build_network(card.network)(torch.zeros(2, 3, height, width))
    stride = 4 if head == "deeplabv3plus" else 8
    assert logits.shape == (2, 19, -(-height // stride), -(-width // stride))
