"""What a peer's model lacks to be run as an artifact: the contract of the float32 one it was made from."""

from pathlib import Path

import onnx

from mnv2deploy.contract import METADATA_KEY


def copy_contract(artifact: Path, model: Path) -> None:
    """Writes the contract of an artifact into a model with the same inputs and outputs.

    What it says of the quantization stays untrue: such a file serves to be measured, not to be deployed.
    """
    contract = next(entry.value for entry in onnx.load(artifact).metadata_props if entry.key == METADATA_KEY)
    quantized = onnx.load(model)
    kept = {entry.key: entry.value for entry in quantized.metadata_props}
    onnx.helper.set_model_props(quantized, {**kept, METADATA_KEY: contract})
    onnx.save(quantized, model)
