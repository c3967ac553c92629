"""A contract in sentences, for people who have a release but not this program."""

from __future__ import annotations

from mnv2deploy.artifacts.manifest import Artifact
from mnv2deploy.contract import Contract, Preprocessing

_INTERPOLATIONS = {
    "bilinear": "bilinear between the four nearest pixels (OpenCV's `INTER_LINEAR`)",
    "antialias": "bilinear with antialiasing (Pillow's `BILINEAR`)",
    "bicubic": "bicubic with antialiasing (Pillow's `BICUBIC`)",
}
_RAW = {
    "class_logits": "logits, one for each class",
    "box_encodings": "boxes, encoded relative to the anchors of the contract",
}
_ANSWERS = {
    "boxes": "boxes, `x1, y1, x2, y2` in fractions of the picture",
    "class_scores": "scores from 0 to 1, falling",
    "class_ids": "class ids, the data set's own",
    "counts": "how many of the entries are answers",
    "mask": "the class id of every pixel of the input",
}


def preparation(contract: Contract) -> tuple[str, ...]:
    """How a picture becomes the input, a sentence of Markdown a step."""
    graph_input = contract.input
    shape = ", ".join(map(str, ("N", *graph_input.shape)))
    return (
        "Decode it to RGB, 8 bits a channel, turned upright as its EXIF orientation says.",
        _resizing(contract.preprocessing, f"{graph_input.height} x {graph_input.width}"),
        _normalisation(contract),
        f"Give it as {graph_input.layout}, {graph_input.dtype} ({shape}); the numbers are N, "
        + ("channels, height, width." if graph_input.layout == "NCHW" else "height, width, channels."),
    )


def _resizing(preprocessing: Preprocessing, size: str) -> str:
    how = _INTERPOLATIONS[preprocessing.interpolation]
    if preprocessing.resize == "stretch":
        return f"Stretch it to {size} pixels (height x width), the aspect ratio given up; {how}."
    if preprocessing.resize == "centre_crop":
        side = preprocessing.shorter_side
        return (
            f"Resize it so that its shorter side has {side} pixels, {how}; cut out the middle {size} (height x width)."
        )
    return (
        f"Resize it to be as large as fits {size} pixels (height x width), the aspect ratio kept, {how}; put it into "
        f"the top left corner and fill the rest with {preprocessing.pad_value:g}, on the scale 0 to 255."
    )


def _normalisation(contract: Contract) -> str:
    if contract.input.dtype == "uint8":
        return "Do not normalise it: the graph takes the bytes 0 to 255 as they are."
    mean, std = (
        ", ".join(f"{value:g}" for value in values)
        for values in (contract.preprocessing.mean, contract.preprocessing.std)
    )
    return f"Normalise the values, 0 to 255, as `(value - mean) / std`; for R, G, B the mean is {mean}, the std {std}."


def outputs(contract: Contract) -> tuple[tuple[str, str], ...]:
    """Name and meaning, in Markdown, of each output."""
    words = {**_RAW, **_ANSWERS}
    return tuple((output.name, words.get(output.meaning, output.meaning)) for output in contract.outputs)


def take_it(artifact: Artifact) -> str:
    """Who should take an artifact, in Markdown."""
    contract, quantization = artifact.contract, artifact.contract.provenance.quantization
    if quantization is None:
        reasons = ["float32, as exact as the weights"]
    else:
        reasons = [f"eight bits, made for {quantization.target}: the small one, a little less exact"]
    if artifact.made_from is None:
        reasons.append("what the others are compared with")
    if contract.input.dtype == "uint8":
        reasons.append("takes a picture's bytes and normalises them itself")
    if contract.finished:
        reasons.append("decodes its answers itself, so that any ONNX runtime gives them")
    return "; ".join(reasons)
