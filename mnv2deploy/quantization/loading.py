"""Reading an artifact to make another one of it: its graph and its contract."""

from __future__ import annotations

from pathlib import Path

import onnx

from mnv2deploy.contract import METADATA_KEY, Contract, parse_contract
from mnv2deploy.errors import ModelError, UsageError


def load_artifact(model: Path) -> tuple[onnx.ModelProto, Contract]:
    """Reads an artifact.

    Raises:
        UsageError: there is no such file.
        ModelError: not an artifact of this program.
    """
    if not model.is_file():
        raise UsageError(f"{model}: there is no such file; 'mnv2deploy export NAME' makes the artifact NAME.onnx.")
    try:
        loaded = onnx.load(model)
    except Exception as error:  # protobuf's own exceptions have no common base
        raise ModelError(f"{model} is not an ONNX model; make an artifact with 'mnv2deploy export'.") from error
    text = next((entry.value for entry in loaded.metadata_props if entry.key == METADATA_KEY), None)
    if text is None:
        raise ModelError(f"{model} carries no mnv2deploy contract; make the artifact with 'mnv2deploy export'.")
    return loaded, parse_contract(text, str(model))


def load_float(model: Path) -> tuple[onnx.ModelProto, Contract]:
    """Reads an artifact that can be quantized.

    Raises:
        UsageError: there is no such file.
        ModelError: not an artifact of this program, or one that is quantized or finished already.
    """
    loaded, contract = load_artifact(model)
    if contract.provenance.quantization is not None:
        raise ModelError(f"{model} is quantized already; quantize the float32 artifact it was made from.")
    if contract.finished or contract.input.dtype == "uint8":
        raise ModelError(f"{model} is finished already; quantize the artifact it was made from, and finish the result.")
    return loaded, contract
