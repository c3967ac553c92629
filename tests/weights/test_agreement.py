"""A card and a checkpoint that describes itself: whatever they say differently is refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mnv2deploy.catalog.cards import Card, InputSize, card_names, load_card
from mnv2deploy.contract import ClassificationDecoding, SegmentationDecoding
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.agreement import require_agreement
from mnv2deploy.weights.description import Description

CLASSIFIER, SEGMENTER = load_card("mobilenet-v2"), load_card("deeplabv3-voc")


def said_of(card: Card) -> Description:
    """What a checkpoint of the card's network would say that says all there is to say."""
    decoding = card.decoding
    return Description(
        network=card.network,
        input=card.input,
        preprocessing=card.preprocessing,
        activation=decoding.activation if isinstance(decoding, ClassificationDecoding) else "softmax",
        align_corners=decoding.align_corners if isinstance(decoding, SegmentationDecoding) else None,
        scales_itself=True,
        sides=None,
    )


def with_backbone(card: Card, **changes: Any) -> dict[str, Any]:
    return {"network": replace(card.network, backbone=replace(card.network.backbone, **changes))}


@pytest.mark.parametrize("name", card_names())
def test_a_card_agrees_with_its_own_checkpoint(name: str) -> None:
    card = load_card(name)
    require_agreement(card, said_of(card), "m.h5")


@pytest.mark.parametrize(
    ("card", "change", "says"),
    [
        (CLASSIFIER, {"network": SEGMENTER.network}, "architecture = deeplabv3, but .* mobilenet-v2 says mobilenet_v2"),
        (CLASSIFIER, with_backbone(CLASSIFIER, padding="tf"), "padding = tf, but the card mobilenet-v2 says torch"),
        (CLASSIFIER, with_backbone(CLASSIFIER, output_stride=16), "output_stride = 16, but .* says 32"),
        (CLASSIFIER, with_backbone(CLASSIFIER, batch_norm_eps=1e-3), "batch_norm_eps = 0.001, but .* says 1e-05"),
        (CLASSIFIER, {"network": replace(CLASSIFIER.network, columns=999)}, "columns = 999, but .* says 1000"),
        (CLASSIFIER, {"activation": "sigmoid"}, "activation = sigmoid, but .* says softmax"),
        (
            CLASSIFIER,
            {"preprocessing": replace(CLASSIFIER.preprocessing, mean=(127.5,) * 3)},
            r"mean = \(127.5, 127.5, 127.5\), but .* says \(123.675, 116.28, 103.53\)",
        ),
        (
            CLASSIFIER,
            {"preprocessing": replace(CLASSIFIER.preprocessing, std=(58.395, 57.12, 57.4))},
            r"std = \(58.395, 57.12, 57.4\), but",
        ),
        (SEGMENTER, {"align_corners": False}, "align_corners = False, but the card deeplabv3-voc says True"),
        (
            SEGMENTER,
            {"network": replace(SEGMENTER.network, head_batch_norm_eps=1e-3)},
            "head_batch_norm_eps = 0.001, but",
        ),
        (
            CLASSIFIER,
            {"input": InputSize(height=224, width=192)},
            r"was built for, 224x192; the card has \(224, 224\)",
        ),
    ],
)
def test_what_they_say_differently_is_named(card: Card, change: dict[str, Any], says: str) -> None:
    with pytest.raises(CheckpointError, match=f"^m.h5 .*{says}"):
        require_agreement(card, replace(said_of(card), **change), "m.h5")


def test_what_the_checkpoint_leaves_open_is_the_cards_to_say() -> None:
    """Scaling that is not the network's own, an upsampling it does not know; and rounding is no contradiction."""
    other = replace(CLASSIFIER.preprocessing, mean=(0.0,) * 3, std=(1.0,) * 3)
    require_agreement(CLASSIFIER, replace(said_of(CLASSIFIER), preprocessing=other, scales_itself=False), "m.h5")
    require_agreement(SEGMENTER, replace(said_of(SEGMENTER), align_corners=None), "m.tflite")
    near = replace(CLASSIFIER.preprocessing, mean=(123.67504, 116.27996, 103.53))
    require_agreement(CLASSIFIER, replace(said_of(CLASSIFIER), preprocessing=near), "m.h5")


@pytest.mark.parametrize(("sides", "fits"), [(1, True), (512, True), (1024, False), (3, False)])
def test_both_sides_have_to_be_multiples(sides: int, fits: bool) -> None:
    card = load_card("fcn-cityscapes").at(InputSize(height=512, width=1024))
    said = replace(said_of(card), sides=sides, input=None)
    if fits:
        require_agreement(card, said, "m.h5")
    else:
        with pytest.raises(CheckpointError, match=rf"multiples of {sides}; the card has \(512, 1024\)"):
            require_agreement(card, said, "m.h5")
