"""What a checkpoint leaves open, as questions to its owner, with what the answer is in most cases."""

from __future__ import annotations

from collections.abc import Iterator

from mnv2deploy.catalog.network_specs import NetworkSpec, task_of

# The catalog's label sets by task and columns of the logits.
_LABEL_SETS = {
    ("classify", 1000): "imagenet",
    ("classify", 1001): "imagenet",
    ("detect", 91): "coco",
    ("detect", 81): "coco",
    ("segment", 21): "voc",
    ("segment", 19): "cityscapes",
    ("segment", 150): "ade20k",
}


def questions(
    network: NetworkSpec, origin: str, *, stride: bool, size: bool, preprocessing: bool, labels: bool, single: bool
) -> Iterator[str]:
    """The options that are still to be given, in words.

    Args:
        network: As far as it is known.
        origin: A key of `ORIGINS`.
        stride: Whether the output stride is open.
        size: Whether the input's size is.
        preprocessing: Whether that is.
        labels: Whether the names of the classes are.
        single: Whether its classifier has one output, of a sigmoid.
    """
    task = task_of(network)
    if stride:
        yield "--output-stride (8 or 16, as in its training)"
    if size:
        yield f"--size (of its input, in most cases {_usual_size(origin, task)})"
    if preprocessing:
        name = _convention(origin, task)
        yield f"--preprocessing ({name}, if its pictures were prepared as there; or another, or a TOML file)"
    if labels:
        known_set = _LABEL_SETS.get((task, network.columns))
        proposed = f"{known_set}, if it was trained on that; or " if known_set else ""
        order = ": first the name for 0, then for 1" if single else ""
        yield f"--labels ({proposed}a file with a name a line{order}; or `numbers` for classes without names)"


def _convention(origin: str, task: str) -> str:
    if task == "detect":
        return "mmdetection" if origin == "mmdetection" else "ssdlite"
    if task == "segment":
        return "mmsegmentation" if origin == "mmsegmentation" else "deeplab"
    return origin if origin in ("torchvision", "timm", "mmpretrain", "huggingface") else "keras"


def _usual_size(origin: str, task: str) -> str:
    if task == "classify":
        return "224x224"
    if task == "detect":
        return "300x300"
    return "512x512 or 512x1024" if origin == "mmsegmentation" else "513x513"
