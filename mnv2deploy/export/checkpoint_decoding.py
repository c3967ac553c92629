"""What a checkpoint's outputs mean: how its logits become answers, and who says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from mnv2deploy.catalog.cards import Card, load_card
from mnv2deploy.catalog.network_specs import task_of
from mnv2deploy.contract import BoxDecoding, ClassificationDecoding, SegmentationDecoding
from mnv2deploy.errors import CheckpointError, UsageError
from mnv2deploy.export.checkpoint_facts import title
from mnv2deploy.weights.description import Description
from mnv2deploy.weights.recognition import Recognised

Activation = Literal["softmax", "sigmoid"]
CardDecoding = BoxDecoding | ClassificationDecoding | SegmentationDecoding

_USUAL = "the usual; --activation sigmoid for independent classes"
_SINGLE = "its one output, a sigmoid's: the other class has 0"


def choose_decoding(recognised: Recognised, asked: Activation | None) -> tuple[CardDecoding, str | None]:
    """The decoding of a checkpoint, and who says so; None where that is who described the rest.

    Args:
        recognised: The checkpoint.
        asked: The activation its owner says; None where nothing was said.

    Raises:
        UsageError: an activation was said of something that has none to choose.
        CheckpointError: the file says another.
    """
    says = recognised.says
    task = says.task if isinstance(says, Card) else task_of(says.network)
    if asked is not None and task != "classify":
        raise UsageError(f"--activation does not apply: {recognised.path} is {title(says.network)}, made to {task}.")
    if isinstance(says, Card):
        if asked is None or not isinstance(says.decoding, ClassificationDecoding):
            return says.decoding, None
        return replace(says.decoding, activation=asked), "you"
    if task == "classify":
        activation, said_by = _activation(says, asked, str(recognised.path))
        return ClassificationDecoding(activation=activation, top=min(5, says.network.columns)), said_by
    return _decoding(says, recognised.origin, task), None


def _activation(says: Description, asked: Activation | None, where: str) -> tuple[Activation, str]:
    if says.is_single:
        if asked == "softmax":
            raise UsageError(f"--activation softmax does not apply: {where} has one output, whose softmax is always 1.")
        return "softmax", _SINGLE  # of two columns, which is the sigmoid of the one
    if asked is None:
        return (says.activation, "the checkpoint") if says.activation else ("softmax", _USUAL)
    if says.activation not in (None, asked):
        raise CheckpointError(f"{where} ends in {says.activation}, so --activation {asked} would answer nonsense.")
    return asked, "you"


def _decoding(says: Description, origin: str, task: str) -> CardDecoding:
    if origin == "mmdetection":
        return load_card("ssdlite-coco-mmdet").decoding
    if task == "segment":
        # Where the file is silent, as transformers' is: upsampled as its own code does.
        return SegmentationDecoding(align_corners=says.align_corners is not False)
    return BoxDecoding(  # the detection API's post-processing, a card's own default of --score
        coder="yxhw",
        coder_scales=(10.0, 10.0, 5.0, 5.0),
        activation="sigmoid",
        score_threshold=0.5,
        iou_threshold=0.6,
        max_detections=100,
    )
