"""Mobile DeepLabv3 with its real weights against TensorFlow.js (tests/reference/README.md), and the paper's counts."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from inputs import SEGMENTATION_PHOTOS, decode_photo, input_sha256, load_segmentation, segmentation_input
from numpy.typing import NDArray
from street import fetch_bus

from mnv2deploy.catalog.cards import Card, load_card
from mnv2deploy.catalog.network_specs import BackboneSpec, DeepLabSpec
from mnv2deploy.networks import build_network, load_network
from mnv2deploy.networks.mobilenet_v2 import Conventions
from mnv2deploy.runtime.masks import axis_positions, upsample_argmax
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.checkpoint import read_checkpoint
from mnv2deploy.weights.fetch import Fetched

META, POSITIONS, PICTURES = load_segmentation(Path(__file__).parent.parent / "reference" / "deeplabv3_voc.npz")
CARD = load_card("deeplabv3-voc")
# TensorFlow.js' own backends and TensorFlow differ by 1.3e-4, in logits that reach 39.
LOGITS = 5e-4
ATROUS_RATES = (6, 12, 18)  # at output stride 16 (Chen et al. 2017, section 4.1)


@pytest.fixture(scope="module")
def tensors(deeplab_weights: Fetched) -> Tensors:
    return read_checkpoint(deeplab_weights.main, CARD.weights.format)


@pytest.fixture(scope="module")
def tensor_of(photos: dict[str, Path]) -> Callable[[str], torch.Tensor]:
    """What the first convolution of the original sees: (1, 3, 513, 513), 0 outside the picture."""

    @functools.cache
    def find(name: str) -> torch.Tensor:
        member = Path(SEGMENTATION_PHOTOS[name].member).name
        path = fetch_bus() if member == "bus.jpg" else photos[member]
        picture = segmentation_input(name, decode_photo(name, path.read_bytes()))
        if name == "bus" and input_sha256(picture) != str(PICTURES[name]["input_sha256"]):
            pytest.skip("this OpenCV's JPEG decoder gives other pixels than the reference was made of")
        assert input_sha256(picture) == str(PICTURES[name]["input_sha256"])
        height, width = PICTURES[name]["size"]
        x = np.zeros((1, 3, 513, 513), np.float32)
        x[0, :, :height, :width] = picture.transpose(2, 0, 1) * np.float32(2 / 255) - np.float32(1)
        return torch.from_numpy(x)

    return find


@pytest.fixture(scope="module")
def logits_of(tensors: Tensors, tensor_of: Callable[[str], torch.Tensor]) -> Callable[[str], NDArray[np.float32]]:
    network = load_network(CARD, tensors, "weights")

    @functools.cache
    def run(name: str) -> NDArray[np.float32]:
        with torch.inference_mode():
            return network(tensor_of(name))[0].numpy()

    return run


def at_positions(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return logits.reshape(21, -1).T[POSITIONS]


NAMES = [pytest.param(name, marks=pytest.mark.network) if name == "bus" else name for name in PICTURES]


@pytest.mark.parametrize("name", NAMES)
def test_network_answers_as_the_original_graph(name: str, logits_of: Callable[[str], NDArray[np.float32]]) -> None:
    logits = logits_of(name)
    assert logits.shape == (21, 65, 65)
    np.testing.assert_allclose(at_positions(logits), PICTURES[name]["logits"], rtol=0, atol=LOGITS)
    np.testing.assert_array_equal(logits.argmax(axis=0), PICTURES[name]["grid"])
    assert len(np.unique(PICTURES[name]["grid"])) > 1  # the comparison says something


@pytest.mark.parametrize("name", NAMES)
def test_mask_is_the_original_graphs(name: str, logits_of: Callable[[str], NDArray[np.float32]]) -> None:
    axis = axis_positions(65, 513, align_corners=True)
    mask, reference = upsample_argmax(logits_of(name), axis, axis), PICTURES[name]
    rows, columns = np.nonzero(mask != reference["mask"])
    assert len(rows) <= 2  # of 263169; TensorFlow.js and TensorFlow differ in one
    # Where it differs the best two are nearer than META["close"] in the original, and ours is the second.
    runners_up = dict(zip(map(tuple, reference["close"].tolist()), reference["runner_up"].tolist(), strict=True))
    assert META["close"] <= 1e-3
    for place in zip(rows.tolist(), columns.tolist(), strict=True):
        assert mask[place] == runners_up[place]


def changed(**backbone: Any) -> Card:
    spec = dataclasses.replace(CARD.network.backbone, **backbone)
    return dataclasses.replace(CARD, network=dataclasses.replace(CARD.network, backbone=spec))


def test_another_padding_is_seen(tensors: Tensors, tensor_of: Callable[[str], torch.Tensor]) -> None:
    """513 and 257 are odd, where both paddings are one; an input of 512 tells them apart."""
    x = tensor_of("cat")[..., :512, :512]
    with torch.inference_mode():
        one, other = (load_network(changed(padding=padding), tensors, "weights")(x) for padding in ("tf", "torch"))
    assert one.shape == other.shape == (1, 21, 64, 64)
    assert (one - other).abs().max() > 1


def test_other_networks_are_told_apart(
    tensors: Tensors, tensor_of: Callable[[str], torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison above has teeth."""

    def error(network: torch.nn.Module) -> float:
        with torch.inference_mode():
            logits = network(tensor_of("cat"))[0].numpy()
        return float(np.abs(at_positions(logits) - PICTURES["cat"]["logits"]).max())

    swapped = load_network(CARD, tensors, "weights")
    swapped.head.pool, swapped.head.branch = swapped.head.branch, swapped.head.pool
    early = load_network(CARD, tensors, "weights")
    early.backbone.blocks[13].depthwise.conv.dilation = (4, 4)
    clipped = load_network(CARD, tensors, "weights")
    for layer in (clipped.head.pool, clipped.head.branch, clipped.head.project):
        layer.activation = F.relu6
    errors = {"swapped": error(swapped), "early": error(early), "clipped": error(clipped)}
    assert min(errors.values()) > 10 * LOGITS, errors


def narrow(output_stride: int, atrous_rates: tuple[int, ...] = ()) -> DeepLabSpec:
    backbone = BackboneSpec(width_multiplier=0.1, output_stride=output_stride, padding="tf", batch_norm_eps=1e-3)
    return DeepLabSpec(
        **{"architecture": "deeplabv3", "backbone": backbone, "columns": 5, "head_batch_norm_eps": 1e-5},
        atrous_rates=atrous_rates,
    )


@pytest.mark.parametrize("atrous_rates", [(), ATROUS_RATES])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize(("height", "width"), [(64, 96), (65, 97), (75, 102), (1, 33), (129, 16)])
def test_output_is_the_input_over_the_stride_rounded_up(
    height: int, width: int, output_stride: int, atrous_rates: tuple[int, ...]
) -> None:
    network = build_network(narrow(output_stride, atrous_rates))
    with torch.inference_mode():
        logits = network(torch.zeros(2, 3, height, width))
    assert logits.shape == (2, 5, math.ceil(height / output_stride), math.ceil(width / output_stride))


@pytest.mark.parametrize("atrous_rates", [(), ATROUS_RATES, (3,)])
def test_head_equals_a_plain_run_from_the_state_dict(atrous_rates: tuple[int, ...]) -> None:
    """The full form has no reference of its own; its dilated branches are read off the paper's figure."""
    torch.manual_seed(0)
    network = build_network(narrow(16, atrous_rates)).double()
    for module in network.head.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as trained ones are: none at its initial value
            for tensor, low, high in (
                *((module.weight, 0.5, 2), (module.bias, -0.5, 1)),
                *((module.running_mean, -0.3, 0.3), (module.running_var, 0.02, 0.3)),
            ):
                torch.nn.init.uniform_(tensor, low, high)
    state = network.head.state_dict()

    def unit(x: torch.Tensor, name: str, rate: int = 1) -> torch.Tensor:
        kernel = state[f"{name}.conv.weight"]
        x = F.conv2d(x, kernel, padding=rate * (kernel.shape[2] // 2), dilation=rate)
        mean, variance = (state[f"{name}.bn.running_{kind}"][:, None, None] for kind in ("mean", "var"))
        scale, offset = (state[f"{name}.bn.{kind}"][:, None, None] for kind in ("weight", "bias"))
        return ((x - mean) / torch.sqrt(variance + 1e-5) * scale + offset).clamp(min=0)

    x = torch.randn(2, 32, 13, 21, dtype=torch.float64)
    pooled = unit(x.mean(dim=3, keepdim=True).mean(dim=2, keepdim=True), "pool").expand(2, 256, 13, 21)
    branches = [pooled, unit(x, "branch")]
    branches += [unit(x, f"atrous.{index}", rate) for index, rate in enumerate(atrous_rates)]
    projected = unit(torch.cat(branches, dim=1), "project")
    expected = F.conv2d(projected, state["classifier.weight"], state["classifier.bias"])
    with torch.inference_mode():
        torch.testing.assert_close(network.head(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("atrous_rates", "count", "published"), [((), 2_113_557, 2.11), (ATROUS_RATES, 4_523_541, 4.52)]
)
def test_parameter_counts_are_the_papers(atrous_rates: tuple[int, ...], count: int, published: float) -> None:
    """Table 7. It counts what is learned: kernels, biases, and a scale and an offset for each batch-norm channel.

    Backbone without its last convolution: 2,223,872 - (320 * 1280 + 2 * 1280) = 1,811,712. Pooling and 1x1 branch:
    320 * 256 + 2 * 256 each; projection from 512: 512 * 256 + 2 * 256; logits: 256 * 21 + 21. With ASPP, three times
    9 * 320 * 256 + 2 * 256, and 3 * 256 * 256 more in the projection.
    """
    head = 2 * (320 * 256 + 512) + (512 * 256 + 512) + (256 * 21 + 21)
    aspp = len(atrous_rates) * (9 * 320 * 256 + 512 + 256 * 256)
    network = build_network(dataclasses.replace(CARD.network, atrous_rates=atrous_rates))
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found == count == 1_811_712 + head + aspp
    assert round(found / 1e6, 2) == published
    if not atrous_rates:
        assert published in [entry.value for entry in CARD.published if entry.metric.startswith("parameters")]
    assert network.head.project.bn.eps == Conventions().batch_norm_eps == 1e-5


def test_multiply_adds_are_the_papers() -> None:
    """Table 7: 2.75 B at output stride 16, of a 513 x 513 input; the convolutions alone are 2.741 B."""
    network = build_network(changed(output_stride=16).network).to("meta")
    counts: list[int] = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(
                lambda conv, _, out: counts.append(conv.weight.numel() * out.shape[2] * out.shape[3])
            )
    assert network(torch.zeros(1, 3, 513, 513, device="meta")).shape == (1, 21, 33, 33)
    assert sum(counts) / 1e9 == pytest.approx(2.75, rel=0.005)
