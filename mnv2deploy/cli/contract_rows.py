"""What an artifact's contract says, a line each: for ``mnv2deploy inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnv2deploy.contract import Contract, Input, Provenance, Quantization

Row = tuple[str, str]


def contract_rows(contract: Contract, path: Path, size: int) -> list[Row]:
    """Name and value of each line.

    Args:
        contract: Of an artifact.
        path: Of its file.
        size: Of its file, bytes.
    """
    labels, made = contract.labels, contract.provenance
    return [
        ("artifact", str(path)),
        ("size on disk", f"{size / 1e6:.1f} MB"),
        ("task", f"{contract.task}, {len(labels)} classes, {labels[0].name} to {labels[-1].name}"),
        ("input", _input(contract.input)),
        ("preprocessing", _in_words(contract.preprocessing)),
        ("outputs", ", ".join(f"{output.name} ({output.meaning})" for output in contract.outputs)),
        ("decoding", ("in the graph: " if contract.finished else "") + _in_words(contract.decoding)),
        ("opset", f"{made.opset}, runs in onnxruntime {made.minimum_onnxruntime} and later"),
        *quantization_rows(made.quantization),
        ("made from", ", ".join([made.model, made.source, *_files(made), f"licence {made.licence}"])),
        ("made with", ", ".join(f"{tool} {version}" for tool, version in made.tools)),
    ]


def quantization_rows(made: Quantization | None) -> list[Row]:
    """Name and value of the lines that say how a network was quantized."""
    if made is None:
        return [("quantization", "none, float32")]
    pictures = f"{made.calibration_pictures} pictures of {made.calibration}"
    return [
        ("quantization", f"{made.format}, weights {made.weights}, activations {made.activations}"),
        ("quantized for", f"{made.target}, profile {made.profile}"),
        ("quantized by", f"{made.method}, seed {made.seed}"),
        ("calibrated on", pictures if made.calibration_pictures else made.calibration),
        ("layers in float", ", ".join(made.float_layers) or "none"),
        ("answers in float", ", ".join(made.float_answers) or "none"),
        ("float artifact", made.float_sha256),
    ]


def _files(made: Provenance) -> list[str]:
    """Files that nobody else can fetch again are known by their hashes."""
    is_local = made.source == "local file"
    return [f"{name} (sha256 {digest})" for name, digest in made.weights_sha256] if is_local else []


def _input(graph_input: Input) -> str:
    shape = ", ".join(map(str, ("N", *graph_input.shape)))
    return f"{graph_input.name} ({shape}) {graph_input.dtype}, {graph_input.layout}"


def _in_words(part: Any) -> str:
    """``resize stretch, interpolation bilinear, ...``: every field of a part of the contract but its task."""
    import dataclasses

    values = {field.name: getattr(part, field.name) for field in dataclasses.fields(part) if field.name != "task"}
    return ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in values.items() if value is not None)


def _value(value: Any) -> str:
    if isinstance(value, tuple) and value and not isinstance(value[0], (int, float, str)):
        return f"of {len(value)} feature maps"  # the anchors
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
