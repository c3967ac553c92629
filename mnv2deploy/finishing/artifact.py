"""From an artifact to one whose graph does more by itself: it normalises pictures, or decodes its answers, or both."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from mnv2deploy.contract import (
    METADATA_KEY,
    ClassificationDecoding,
    Contract,
    DetectionDecoding,
    Output,
    Provenance,
)
from mnv2deploy.errors import ModelError, UsageError
from mnv2deploy.files import make_folder, write_atomically
from mnv2deploy.finishing.byte_input import take_bytes
from mnv2deploy.finishing.classification import write_classification
from mnv2deploy.finishing.detection import write_detection
from mnv2deploy.finishing.nodes import Nodes
from mnv2deploy.finishing.segmentation import write_segmentation
from mnv2deploy.quantization.loading import load_artifact
from mnv2deploy.runtime.pipeline import open_pipeline
from mnv2deploy.runtime.session import Session


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of finishing.

    Attributes:
        path: The artifact.
        sha256: Of its bytes.
        size: In bytes.
        contract: As written into it.
    """

    path: Path
    sha256: str
    size: int
    contract: Contract


def finish(
    model: Path, output: Path, *, byte_input: bool, end_to_end: bool, score_threshold: float | None = None
) -> Finished:
    """Writes an artifact that answers as the given one does, with more of the way inside its graph.

    Args:
        model: An artifact, float or quantized.
        output: Where; written to a temporary name and renamed.
        byte_input: Whether the graph takes the resized picture's bytes, (N, height, width, 3) uint8.
        end_to_end: Whether the graph decodes: its outputs are those of `decoding.FINISHED_OUTPUTS`.
        score_threshold: Of a detector that decodes, instead of the contract's: what scores less is never answered.

    Raises:
        UsageError: there is no such file, ``output`` cannot be written there, or nothing would change.
        ModelError: not an artifact of this program, or its contract does not fit its graph.
    """
    loaded, contract = load_artifact(model)
    Session(model)  # refuses a contract that names what the graph has not
    _check_request(model, contract, byte_input=byte_input, end_to_end=end_to_end)
    if score_threshold is not None:
        contract = _with_threshold(contract, score_threshold, end_to_end=end_to_end)
    make_folder(output.parent)
    if byte_input:
        contract = take_bytes(loaded, contract)
    if end_to_end:
        contract = _decode(loaded, contract, str(model))
    contract = dataclasses.replace(contract, provenance=_provenance(contract))
    helper.set_model_props(loaded, {METADATA_KEY: contract.to_json()})
    onnx.checker.check_model(loaded, full_check=True)
    data = loaded.SerializeToString(deterministic=True)
    _check_runs(Session(data, name=str(output)))
    write_atomically(output, data)
    return Finished(output, hashlib.sha256(data).hexdigest(), len(data), contract)


def _check_runs(session: Session) -> None:
    """The graph and its contract must fit, and run: pictures without anything in them are enough to see."""
    pipeline: Any = open_pipeline(session)
    graph_input = session.contract.input
    tensor = np.zeros((session.fixed_batch or 1, *graph_input.shape), graph_input.dtype)
    pipeline.decode(*(output[0] for output in session.run(tensor)), height=graph_input.height, width=graph_input.width)


def _check_request(model: Path, contract: Contract, *, byte_input: bool, end_to_end: bool) -> None:
    """Raises UsageError where there is nothing to be done."""
    if not (byte_input or end_to_end):
        raise UsageError(f"Say what is to go into the graph of {model}: --input uint8, --end-to-end, or both.")
    if contract.finished:
        raise UsageError(f"{model} is finished already: its graph decodes; finish the artifact it was made from.")
    if byte_input and contract.input.dtype == "uint8":
        raise UsageError(f"{model} takes bytes already; leave out --input uint8.")


def _with_threshold(contract: Contract, score: float, *, end_to_end: bool) -> Contract:
    decoding = contract.decoding
    if not (end_to_end and isinstance(decoding, DetectionDecoding)):
        raise UsageError(
            f"--score {score:g} is for boxes decoded in the graph: it wants --end-to-end, and a model to detect with."
        )
    if not 0 <= score <= 1:
        raise UsageError(f"--score {score:g} is not between 0 and 1.")
    return dataclasses.replace(contract, decoding=dataclasses.replace(decoding, score_threshold=score))


def _provenance(contract: Contract) -> Provenance:
    tools = dict(contract.provenance.tools)
    tools |= {package: importlib.metadata.version(package) for package in ("mnv2deploy", "onnx")}
    return dataclasses.replace(contract.provenance, tools=tuple(sorted(tools.items())))


def _decode(model: onnx.ModelProto, contract: Contract, where: str) -> Contract:
    """Puts decoding behind the graph, in place; returns the contract of the result."""
    graph, decoding = model.graph, contract.decoding
    shapes = {value.name: _sides(value) for value in graph.output}
    logits, *others = (output.name for output in contract.outputs)
    _check_shape(shapes[logits], contract, where)
    labels = sorted(contract.labels, key=lambda label: label.column)
    nodes = Nodes("decoding")
    if isinstance(decoding, ClassificationDecoding):
        answers = write_classification(nodes, logits, shapes[logits], decoding, labels)
    elif isinstance(decoding, DetectionDecoding):
        answers = write_detection(nodes, logits, others[0], shapes[logits], decoding, labels)
    else:
        answers = write_segmentation(nodes, logits, shapes[logits], decoding, labels, contract.input)
    graph.node.extend(nodes.nodes)
    graph.initializer.extend(nodes.constants)
    batch = graph.output[0].type.tensor_type.shape.dim[0]
    values = [helper.make_tensor_value_info(one.name, one.type, [None, *one.shape]) for one in answers]
    for value in values:
        value.type.tensor_type.shape.dim[0].CopyFrom(batch)
    del graph.output[:]
    graph.output.extend(values)
    outputs = tuple(Output(name=one.name, meaning=one.meaning) for one in answers)
    return dataclasses.replace(contract, outputs=outputs)


def _sides(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Of one picture's output; 0 where the graph does not fix one."""
    return tuple(side.dim_value for side in value.type.tensor_type.shape.dim[1:])


def _check_shape(shape: tuple[int, ...], contract: Contract, where: str) -> None:
    """Raises ModelError where the logits of a picture are not what the contract describes."""
    ranks = {"classify": 1, "detect": 2, "segment": 3}
    if len(shape) != ranks[contract.task] or 0 in shape:
        raise ModelError(
            f"{where}: the shape of its class logits, {shape}, is not a fixed one to {contract.task} with."
        )
    columns = shape[1] if contract.task == "detect" else shape[0]
    if (last := max(label.column for label in contract.labels)) >= columns:
        raise ModelError(f"{where} answers {columns} columns, its contract has a label for column {last}.")
    if len({label.class_id for label in contract.labels}) < len(contract.labels):
        raise ModelError(f"{where}: two of its classes have the same id, so ids alone cannot answer.")
    if isinstance(contract.decoding, DetectionDecoding):
        layers = contract.decoding.anchors
        described = sum(layer.grid[0] * layer.grid[1] * len(layer.sizes) for layer in layers)
        if shape[0] != described:
            raise ModelError(f"{where} answers for {shape[0]} anchors, its contract describes {described}.")
