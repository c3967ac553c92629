"""Counts against what others publish, torch's own counter, and arithmetic by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mnv2deploy.catalog.cards import Card, Published, card_names, load_card
from mnv2deploy.catalog.network_specs import BackboneSpec, ClassifierSpec, DeepLabSpec
from mnv2deploy.catalog.spectrum import Size, load_spectrum
from mnv2deploy.errors import ModelError
from mnv2deploy.networks import build_network
from mnv2deploy.networks.counts import BATCH_NORM, LayerCount, build_hollow, count, count_card, count_spec, run
from mnv2deploy.networks.published import compare, convolution_multiply_adds


def classifier(width: float) -> ClassifierSpec:
    backbone = BackboneSpec(width_multiplier=width, padding="tf", batch_norm_eps=1e-3)
    return ClassifierSpec(architecture="mobilenet_v2", backbone=backbone, columns=1000)


def deeplab(stride: int, rates: tuple[int, ...] = ()) -> DeepLabSpec:
    backbone = BackboneSpec(width_multiplier=1.0, output_stride=stride, padding="tf", batch_norm_eps=1e-3)
    return DeepLabSpec(
        architecture="deeplabv3", backbone=backbone, columns=21, head_batch_norm_eps=1e-5, atrous_rates=rates
    )


@pytest.mark.parametrize("size", load_spectrum(), ids=lambda size: f"{size.width_multiplier}-{size.resolution}")
def test_every_published_size_costs_what_its_authors_say(size: Size) -> None:
    counts = count_spec(classifier(size.width_multiplier), size.resolution, size.resolution)
    # Cut off, not rounded: 300.77 is their 300, 11.93 their 11. So all 22 agree to the last digit they print.
    assert math.floor(counts.multiply_adds / 1e6) == size.multiply_adds_millions
    without_batch_norms = counts.parameters - counts.batch_norm_parameters
    assert round(without_batch_norms / 1e6, 2) == size.parameters_millions


@pytest.mark.parametrize("name", card_names())
def test_torch_counts_the_same(name: str) -> None:
    card = load_card(name)
    network = build_hollow(card.network)
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        network(torch.zeros(1, 3, card.input.height, card.input.width))
    # Products of matrices that are no layers' are PSPNet's means over regions: pooling.
    layers = (torch.ops.aten.convolution, torch.ops.aten.addmm)
    operators = counter.get_flop_counts()["Global"]
    counts = count_card(card)
    assert sum(operators.get(operator, 0) for operator in layers) == 2 * counts.multiply_adds
    assert not set(operators) - {*layers, *((torch.ops.aten.mm, torch.ops.aten.bmm) if "pspnet" in name else ())}
    assert counts.parameters == sum(parameter.numel() for parameter in network.parameters())
    if card.download.sources:  # on numbers too
        assert counts == count(build_network(card.network), card.input.height, card.input.width)


def test_the_classifier_has_torchvisions_parameters() -> None:
    assert count_spec(classifier(1.0), 224, 224).parameters == 3_504_872  # num_params of its model page


def test_layers_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),  # 27 * 8 weights on 5 x 3 cells
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, dilation=2, padding=2, groups=8),  # 9 * 8 weights and 8 biases
        nn.Conv2d(8, 4, (1, 3), stride=(1, 2), groups=2),  # 3 * 4 weights a channel of 4, on 5 x 1
        nn.Flatten(),
        nn.Linear(20, 10),
    ).eval()
    assert count(network, 9, 6).layers == (
        LayerCount("0", "conv 3x3 stride 2", (8, 5, 3), 216, 216 * 15),
        LayerCount("1", "batch norm", (8, 5, 3), 16, 0),
        LayerCount("3", "depthwise 3x3 dilation 2", (8, 5, 3), 80, 72 * 15),
        LayerCount("4", "conv in 2 groups 1x3 stride 1x2", (4, 5, 1), 52, 48 * 5),
        LayerCount("6", "linear", (10,), 210, 200),
    )


def test_batch_norms_are_told_apart() -> None:
    counts = count_spec(classifier(1.0), 224, 224)
    assert counts.batch_norm_parameters == sum(2 * layer.output_shape[0] for layer in counts.layers if is_norm(layer))
    assert sum(map(is_norm, counts.layers)) == 52


def is_norm(layer: LayerCount) -> bool:
    return layer.kind == BATCH_NORM


def test_counting_allocates_nothing() -> None:
    network = build_hollow(deeplab(8))
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    assert count(network, 1, 1).parameters == count(network, 4000, 4000).parameters


def test_hooks_are_taken_off_again() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(RuntimeError):
        run(network, 1, 1)  # smaller than its kernel
    assert not network[0]._forward_hooks


@pytest.mark.parametrize(
    ("stride", "rates", "parameters", "multiply_adds"),
    [(16, (), 2.11, 2.75), (16, (6, 12, 18), 4.52, None)],  # 5.8 B: see the next test
)
def test_deeplab_has_the_papers_size(
    stride: int, rates: tuple[int, ...], parameters: float, multiply_adds: float | None
) -> None:
    counts = count_spec(deeplab(stride, rates), 513, 513)
    assert round(counts.parameters / 1e6, 2) == parameters
    if multiply_adds:
        assert counts.multiply_adds / 1e9 == pytest.approx(multiply_adds, rel=0.004)


def test_the_paper_counts_what_tensorflow_computes_for_dilated_convolutions() -> None:
    """Table 7: 5.8 B with ASPP at stride 16; 387 B at stride 8 over six scales, mirrored too."""
    assert round(padded(deeplab(16, (6, 12, 18)), 513) / 1e9, 1) == 5.8
    scales = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    aspp = deeplab(8, (12, 24, 36))
    assert round(sum(2 * padded(aspp, int(scale * 512) + 1) for scale in scales) / 1e9) == 387
    assert sum(2 * padded(deeplab(8), int(scale * 512) + 1) for scale in scales) / 1e9 == pytest.approx(152.6, rel=1e-3)


def padded(spec: DeepLabSpec, side: int) -> int:
    return convolution_multiply_adds(run(build_hollow(spec), side, side), to_dilation=True)


def card_with(name: str, metric: str, value: float, **backbone: float) -> Card:
    card = load_card(name)
    spec = dataclasses.replace(card.network, backbone=dataclasses.replace(card.network.backbone, **backbone))
    published = (Published(metric=metric, value=value, dataset="", source="somebody"),)
    return dataclasses.replace(card, network=spec, published=published)


@pytest.mark.parametrize(
    ("name", "metric", "value", "says"),
    [
        ("mobilenet-v2", "parameters, millions", 3.4, "3.4 is 3.471 cut off: without batch norms"),
        ("mobilenet-v2", "multiply-adds, billions", 0.319, "0.319 is 0.319 rounded: OpenMMLab's count"),
        ("mobilenet-v2", "FLOPs, billions", 0.6, "0.6 is 0.6015 rounded: multiplications and additions"),
        ("ssdlite-coco", "parameters, millions", 4.3, "4.3 is 4.337 rounded: with 81 columns"),
        ("ssdlite-coco", "multiply-adds, billions", 0.8, "0.8 is 0.7888 rounded: at an input of 320 x 320"),
        ("deeplabv3-voc", "multiply-adds, billions", 2.75, "2.75 is 2.741 within 1%: at output stride 16"),
        ("mobilenet-v2", "parameters, millions", 3.9, "3.9 comes out of no way of counting"),
    ],
)
def test_a_published_number_that_differs_is_explained(name: str, metric: str, value: float, says: str) -> None:
    card = card_with(name, metric, value)
    (comparison,) = compare(card, count_card(card))
    assert comparison.explanation is not None
    assert comparison.explanation.startswith(says)
    assert abs(comparison.difference) > 0.01


def test_width_1_4_in_the_paper_cannot_be_explained_and_its_multiply_adds_need_not_be() -> None:
    card = card_with("mobilenet-v2", "parameters, millions", 6.9, width_multiplier=1.4)
    (comparison,) = compare(card, count_card(card))
    assert comparison.counted == pytest.approx(6.109, abs=5e-4)
    assert comparison.explanation == "6.9 comes out of no way of counting we know of"
    card = card_with("mobilenet-v2", "multiply-adds, millions", 585.0, width_multiplier=1.4)
    (comparison,) = compare(card, count_card(card))
    assert comparison.counted == pytest.approx(582.196, abs=5e-4)
    assert comparison.explanation is None


def test_accuracies_are_not_compared() -> None:
    card = load_card("mobilenet-v2")
    metrics = [comparison.published.metric for comparison in compare(card, count_card(card))]
    assert metrics == [number.metric for number in card.published if "top" not in number.metric]
    assert metrics


def test_a_card_that_makes_no_network_is_invalid() -> None:
    with pytest.raises(ModelError, match="mobilenet-v2 cannot be built: width_multiplier"):
        count_card(card_with("mobilenet-v2", "parameters, millions", 1.0, width_multiplier=7.0))
