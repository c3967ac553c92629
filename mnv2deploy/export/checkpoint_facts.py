"""What is known of a checkpoint, in words, and who said it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mnv2deploy.catalog.cards import Card
from mnv2deploy.catalog.network_specs import ClassifierSpec, DeepLabSpec, NetworkSpec, SSDLiteSpec
from mnv2deploy.contract import BoxDecoding, ClassificationDecoding, Preprocessing
from mnv2deploy.weights.recognition import ORIGINS

_ARCHITECTURES = {
    "ssdlite": "SSDLite",
    "deeplabv3": "DeepLabV3",
    "deeplabv3plus": "DeepLabV3+",
    "fcn": "FCN",
    "pspnet": "PSPNet",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """Something about the checkpoint, and who says so."""

    what: str
    value: str
    said_by: str


def facts(card: Card, origin: str, said_by: Mapping[str, str]) -> Iterator[Fact]:
    """Everything a card was made of.

    Args:
        card: Made of a checkpoint.
        origin: Of that: a key of `ORIGINS`.
        said_by: Who said it, by ``origin``, ``network``, ``output stride``, ``input``, ``preprocessing``,
            ``decoding``, ``labels``.
    """
    network, names = card.network, [label.name for label in card.labels]
    yield Fact("origin", ORIGINS[origin], said_by["origin"])
    yield Fact("task", card.task, said_by["network"])
    yield Fact("network", title(network), said_by["network"])
    if card.task == "segment":
        yield Fact("output stride", str(network.backbone.output_stride), said_by["output stride"])
    yield Fact("classes", classes(network), said_by["network"])
    yield Fact("input", str(card.input), said_by["input"])
    yield Fact("preprocessing", _in_words(card.preprocessing), said_by["preprocessing"])
    if isinstance(card.decoding, BoxDecoding):
        nms = f"boxes over {card.decoding.score_threshold}, NMS {card.decoding.iou_threshold}"
        yield Fact("decoding", f"{card.decoding.activation}, {nms}", said_by["decoding"])
    if isinstance(card.decoding, ClassificationDecoding):
        yield Fact("decoding", card.decoding.activation, said_by["decoding"])
    least = min(card.labels, key=lambda label: label.column)
    numbered = f" (numbered from {least.class_id})" * (least.class_id > least.column)
    yield Fact("labels", ", ".join(names[:3]) + ", ..." * (len(names) > 3) + numbered, said_by["labels"])


def title(network: NetworkSpec) -> str:
    """For example ``DeepLabV3+ on MobileNetV2 1.0``."""
    backbone = network.backbone
    depth = f", depth {backbone.depth_multiplier:g}" if backbone.depth_multiplier != 1 else ""
    activation = ", ReLU" if backbone.activation == "relu" else ""
    mobile = "Mobile " if isinstance(network, DeepLabSpec) and not network.atrous_rates else ""
    head = "" if isinstance(network, ClassifierSpec) else f"{mobile}{_ARCHITECTURES[network.architecture]} on "
    return f"{head}MobileNetV2 {backbone.width_multiplier}{depth}{activation}"


def classes(network: NetworkSpec) -> str:
    """For example ``80 classes and background``."""
    count = network.columns - isinstance(network, SSDLiteSpec)
    return f"{count} class{'es' * (count != 1)}" + " and background" * isinstance(network, SSDLiteSpec)


def _in_words(preprocessing: Preprocessing) -> str:
    """``centre crop of 256, antialias, mean 123.7 116.3 103.5, std 58.4 57.1 57.4``."""
    resize = {
        "stretch": "stretched",
        "centre_crop": f"centre crop of {preprocessing.shorter_side}",
        "pad": f"padded with {preprocessing.pad_value}",
    }[preprocessing.resize]
    mean, std = (" ".join(f"{value:.4g}" for value in values) for values in (preprocessing.mean, preprocessing.std))
    return f"{resize}, {preprocessing.interpolation}, mean {mean}, std {std}"
