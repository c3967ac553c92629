"""Decoding alone in onnxruntime: nodes between inputs and outputs, without a network before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from mnv2deploy.contract import Label
from mnv2deploy.finishing.nodes import Answer, Nodes


def run(nodes: Nodes, answers: Sequence[Answer], inputs: Mapping[str, np.ndarray], opset: int = 18):
    """What the written nodes answer, in the order of ``answers``; their types and shapes have to be the promised."""
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *x.shape[1:]]) for name, x in inputs.items()]
    promised = [helper.make_tensor_value_info(one.name, one.type, ["N", *one.shape]) for one in answers]
    graph = helper.make_graph(nodes.nodes, "written", given, promised, nodes.constants)
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    found = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, dict(inputs))
    batch = len(next(iter(inputs.values())))
    for one, values in zip(answers, found, strict=True):
        assert values.shape == (batch, *one.shape)
        assert values.dtype == helper.tensor_dtype_to_np_dtype(one.type)
    return found


def labels_of(columns: Sequence[int]) -> list[Label]:
    """By rising column; an id is not its column."""
    return [Label(column=column, class_id=column * 3 + 1, name=f"class {column}") for column in sorted(columns)]


def session_of(decoding, labels, **more):
    """What a pipeline needs to know of a session to decode."""
    contract = SimpleNamespace(decoding=decoding, labels=tuple(labels), **more)
    return SimpleNamespace(contract=contract, decoding=lambda kind: decoding, name="written")
