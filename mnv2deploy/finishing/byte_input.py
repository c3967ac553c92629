"""A graph that takes the resized picture's own bytes and normalises them itself."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from mnv2deploy.contract import Contract
from mnv2deploy.finishing.nodes import Nodes
from mnv2deploy.quantization.inputs import byte_contract


def take_bytes(model: onnx.ModelProto, contract: Contract) -> Contract:
    """Puts ``(pixel - mean) / std`` before the graph, in place; its input is (N, height, width, 3) uint8 from then on.

    Nothing is folded into the first convolution: its zero padding stands for the mean, and no byte does. Bytes are
    transposed rather than floats, a quarter of the memory to move.

    Args:
        model: Takes (N, 3, height, width) float32.
        contract: Of the model.

    Returns:
        The contract of the result.
    """
    graph, preprocessing = model.graph, contract.preprocessing
    nodes, picture = Nodes("normalization"), contract.input.name
    planes = nodes("Cast", nodes("Transpose", picture, perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    centred = nodes("Sub", planes, _of_channels(preprocessing.mean))
    normalised = nodes("Div", centred, _of_channels(preprocessing.std))
    for node in graph.node:
        node.input[:] = [normalised if name == picture else name for name in node.input]
    written = [*nodes.nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(written)
    graph.initializer.extend(nodes.constants)
    (entry,) = (value for value in graph.input if value.name == picture)
    batch = entry.type.tensor_type.shape.dim[0]
    entry.CopyFrom(
        helper.make_tensor_value_info(picture, TensorProto.UINT8, [None, *byte_contract(contract).input.shape])
    )
    entry.type.tensor_type.shape.dim[0].CopyFrom(batch)
    return byte_contract(contract)


def _of_channels(values: tuple[float, float, float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(values, np.float32).reshape(1, 3, 1, 1)
