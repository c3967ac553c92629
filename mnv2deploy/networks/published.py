"""Published counts beside ours: where they differ, what the other one counts.

Every explanation is a number of our own, computed the other way, that comes out as printed; see `docs/counts.md`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from mnv2deploy.catalog.cards import Card, Published
from mnv2deploy.catalog.network_specs import ClassifierSpec, DeepLabSpec, NetworkSpec, SSDLiteSpec
from mnv2deploy.networks.counts import Call, NetworkCounts, build_hollow, count_spec, run
from mnv2deploy.networks.mobilenet_v2 import ConvNorm

TOLERANCE = 0.01
_QUANTITIES = ("parameters", "multiply-adds", "FLOPs")
_UNITS = {"millions": 1e6, "billions": 1e9}
_PAPER_SSD_SIDE = 320  # section 6.2: "the input resolution of both models is 320"
_PAPER_SSD_COLUMNS = 81  # Table 5: "predictions for 80 classes", and background


@dataclass(frozen=True, slots=True)
class Comparison:
    """A published count and ours, in the published unit.

    Attributes:
        published: As the card has it.
        counted: The same quantity, counted here.
        explanation: What the published number counts; None where the two differ by 1 % or less.
    """

    published: Published
    counted: float
    explanation: str | None

    @property
    def difference(self) -> float:
        """Of ours from the published number, as a fraction of the published."""
        return self.counted / self.published.value - 1


@dataclass(frozen=True, slots=True)
class _Reading:
    """Another way to count: its result and what it is."""

    value: float
    means: str


def compare(card: Card, counts: NetworkCounts) -> tuple[Comparison, ...]:
    """Sets the published parameters, multiply-adds and FLOPs of a card beside our count of its network.

    Args:
        card: Metrics such as ``parameters, millions``, ``multiply-adds, billions`` or ``FLOPs, billions`` are compared;
            others (accuracies) are left out.
        counts: Of the card's network at its input size.
    """
    numbers = [(published, *_metric(published)) for published in card.published]
    return tuple(
        _compare(card, counts, published, quantity, _UNITS[unit])
        for published, quantity, unit in numbers
        if quantity in _QUANTITIES and unit in _UNITS
    )


def _compare(card: Card, counts: NetworkCounts, published: Published, quantity: str, unit: float) -> Comparison:
    of_parameters = quantity == "parameters"
    counted = (counts.parameters if of_parameters else counts.multiply_adds) / unit
    if abs(counted / published.value - 1) <= TOLERANCE:
        return Comparison(published, counted, None)
    readings = list(_parameter_readings(card, counts) if of_parameters else _multiply_add_readings(card, counts))
    wanted = f"{published.value:g}"
    for agrees in (_rounded, _cut_off, _near):
        for reading in readings:
            if how := agrees(reading.value / unit, published.value):
                explanation = f"{wanted} is {reading.value / unit:.4g} {how}: {reading.means}"
                return Comparison(published, counted, explanation)
    return Comparison(published, counted, f"{wanted} comes out of no way of counting we know of")


def _metric(published: Published) -> tuple[str, str]:
    """``parameters, millions`` -> ("parameters", "millions")."""
    quantity, _, unit = published.metric.partition(", ")
    return quantity, unit


def _rounded(value: float, printed: float) -> str:
    scale = _scale(printed)
    return "rounded" if round(value * scale) == round(printed * scale) else ""


def _cut_off(value: float, printed: float) -> str:
    scale = _scale(printed)
    return "cut off" if math.floor(value * scale) == round(printed * scale) else ""


def _near(value: float, printed: float) -> str:
    return f"within {TOLERANCE:.0%}" if abs(value / printed - 1) <= TOLERANCE else ""


def _scale(printed: float) -> int:
    """10 to the power of the digits after the point."""
    _, _, digits = f"{printed:g}".partition(".")
    return int(10 ** len(digits))


def _parameter_readings(card: Card, counts: NetworkCounts) -> Iterator[_Reading]:
    yield _Reading(counts.parameters - counts.batch_norm_parameters, "without batch norms")
    if isinstance(card.network, SSDLiteSpec):
        yield _Reading(
            count_spec(_paper_ssd(card.network), _PAPER_SSD_SIDE, _PAPER_SSD_SIDE).parameters,
            f"with {_PAPER_SSD_COLUMNS} columns of class logits, 80 classes and background; "
            f"this model has {card.network.columns}",
        )


def _multiply_add_readings(card: Card, counts: NetworkCounts) -> Iterator[_Reading]:
    if isinstance(card.network, SSDLiteSpec):
        paper = count_spec(_paper_ssd(card.network), _PAPER_SSD_SIDE, _PAPER_SSD_SIDE)
        side, columns = _PAPER_SSD_SIDE, _PAPER_SSD_COLUMNS
        yield _Reading(paper.multiply_adds, f"at an input of {side} x {side} and with {columns} columns, the paper's")
    if isinstance(card.network, DeepLabSpec):
        yield from _deeplab_readings(card.network, card.input.height, card.input.width)
    if isinstance(card.network, ClassifierSpec):
        calls = run(build_hollow(card.network), card.input.height, card.input.width)
        yield _Reading(
            counts.multiply_adds + _openmmlab_extra(calls),
            "OpenMMLab's count: without the classifier, plus 2 for each value of a batch norm, 1 for each value of "
            "ReLU6 and of the pooling's input",
        )
    yield _Reading(2 * counts.multiply_adds, "multiplications and additions counted one by one (FLOPs)")


def _deeplab_readings(spec: DeepLabSpec, height: int, width: int) -> Iterator[_Reading]:
    """At both strides; the paper's 5.8 B and 387 B are what TensorFlow computes, not what the network needs."""
    for stride in dict.fromkeys((spec.backbone.output_stride, 16, 8)):
        # Rates are halved or doubled with the stride, so that they span the same part of the picture.
        rates = tuple(rate * spec.backbone.output_stride // stride for rate in spec.atrous_rates)
        backbone = dataclasses.replace(spec.backbone, output_stride=stride)
        calls = run(build_hollow(dataclasses.replace(spec, backbone=backbone, atrous_rates=rates)), height, width)
        exact, padded = (convolution_multiply_adds(calls, to_dilation=to_dilation) for to_dilation in (False, True))
        where = f"at output stride {stride}"
        yield _Reading(exact, f"{where}; this model has {spec.backbone.output_stride}")
        yield _Reading(padded, f"{where}, and dilated convolutions on grids padded to a multiple of their dilation")


def convolution_multiply_adds(calls: list[Call], *, to_dilation: bool) -> int:
    """Of all convolutions, their output grids rounded up to a multiple of the dilation where asked for.

    TensorFlow runs a dilated convolution as an ordinary one on ``dilation`` squared interleaved grids, which have to be
    of one size.
    """
    total = 0
    for _, module, shape in calls:
        if isinstance(module, nn.Conv2d):
            multiples = module.dilation if to_dilation else (1, 1)
            grid = (-(-side // multiple) * multiple for side, multiple in zip(shape[2:], multiples, strict=True))
            total += module.weight.numel() * math.prod(grid)
    return total


def _openmmlab_extra(calls: list[Call]) -> int:
    """What OpenMMLab's old counter adds to a classifier's multiply-adds, and the classifier it leaves out.

    Source: mmcv ``cnn/utils/flops_counter.py`` and mmclassification ``tools/analysis_tools/get_flops.py``, which runs
    ``extract_feat`` only.
    """
    batch_norms = sum(math.prod(call.output_shape) for call in calls if isinstance(call.module, nn.BatchNorm2d))
    layers = [call for call in calls if isinstance(call.module, ConvNorm)]
    activations = sum(
        math.prod(call.output_shape)
        for call in layers
        if isinstance(call.module, ConvNorm) and call.module.activation is not None
    )
    pooled = math.prod(layers[-1].output_shape)
    classifier = sum(
        call.module.in_features * call.module.out_features for call in calls if isinstance(call.module, nn.Linear)
    )
    return 2 * batch_norms + activations + pooled - classifier


def _paper_ssd(spec: SSDLiteSpec) -> NetworkSpec:
    return dataclasses.replace(spec, columns=_PAPER_SSD_COLUMNS)
