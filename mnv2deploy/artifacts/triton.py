"""A model repository for NVIDIA's Triton Inference Server: a folder for each artifact, for Triton's ONNX Runtime.

Written after Triton's "Model Configuration" and its model_config.proto; docs/triton.md says how to serve it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnv2deploy.artifacts.manifest import Artifact, Manifest
from mnv2deploy.errors import ModelError
from mnv2deploy.runtime.session import GraphTensor, Session

FOLDER = "triton"
LABELS = "labels.txt"

_MAX_BATCH = 8
_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(double)": "TYPE_FP64",
    "tensor(float)": "TYPE_FP32",
    "tensor(float16)": "TYPE_FP16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(uint8)": "TYPE_UINT8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TritonRepository:
    """What is to lie in the release, by its path there, with ``/``.

    Attributes:
        files: Text to write.
        models: Names of the artifacts' files, to be copied or hard-linked to these paths. No symbolic links: a
            container that is given the folder alone cannot follow them.
    """

    files: dict[str, bytes]
    models: dict[str, str]


def triton_repository(manifest: Manifest, paths: Mapping[str, Path]) -> TritonRepository:
    """The repository of a release, ``triton/RELEASE-ARTIFACT/`` for each artifact.

    Args:
        manifest: Of the release.
        paths: Of each artifact's ``.onnx`` file by the artifact's name: shapes are read from the graphs.

    Raises:
        UsageError: there is no such file.
        ModelError: it is not an artifact, or a tensor is of a type Triton does not have.
    """
    files: dict[str, bytes] = {}
    models: dict[str, str] = {}
    for artifact in manifest.artifacts:
        name = f"{manifest.name}-{artifact.name}"
        folder = f"{FOLDER}/{name}"
        labels = _labels(artifact)
        session = Session(paths[artifact.name], threads=1)
        files[f"{folder}/config.pbtxt"] = _configuration(name, artifact, session, labelled=bool(labels)).encode()
        if labels:
            files[f"{folder}/{LABELS}"] = labels.encode()
        models[f"{folder}/1/model.onnx"] = artifact.file.name
    return TritonRepository(files=files, models=models)


def _configuration(name: str, artifact: Artifact, session: Session, *, labelled: bool) -> str:
    """The text of ``config.pbtxt``, a ModelConfig in protobuf's text format."""
    inputs, outputs = session.graph_inputs, session.graph_outputs
    batched = _takes_batches([*inputs, *outputs])
    labels = {artifact.contract.outputs[0].name: LABELS} if labelled else {}
    made = artifact.contract.provenance
    lines = [
        f"# Opset {made.opset}: needs a Triton whose ONNX Runtime is {made.minimum_onnxruntime} or later.",
        f"name: {_quoted(name)}",
        'platform: "onnxruntime_onnx"',
        'backend: "onnxruntime"',
        f"max_batch_size: {_MAX_BATCH if batched else 0}",
        _tensors("input", inputs, batched, {}),
        _tensors("output", outputs, batched, labels),
    ]
    if batched:
        lines.append("dynamic_batching { }")  # waits for nobody: requests that queue up anyway are run at once
    return "\n".join(lines) + "\n"


def _takes_batches(tensors: Sequence[GraphTensor]) -> bool:
    """Triton batches what has the batch as the first side of every tensor, and leaves it free."""
    return all(tensor.shape and tensor.shape[0] is None for tensor in tensors)


def _tensors(field: str, tensors: Sequence[GraphTensor], batched: bool, labels: Mapping[str, str]) -> str:
    entries = (_tensor(tensor, batched, labels.get(tensor.name)) for tensor in tensors)
    return f"{field} [\n" + ",\n".join(entries) + "\n]"


def _tensor(tensor: GraphTensor, batched: bool, labels: str | None) -> str:
    if tensor.type not in _TYPES:
        raise ModelError(
            f"Triton has no type for {tensor.name}, {tensor.type}; leave publish.triton out of the recipe."
        )
    sides = [-1 if side is None else side for side in tensor.shape]
    if batched:
        sides = sides[1:]  # the batch is max_batch_size's
    lines = [
        f"name: {_quoted(tensor.name)}",
        f"data_type: {_TYPES[tensor.type]}",
        f"dims: [ {', '.join(map(str, sides or [1]))} ]",
    ]
    if not sides:  # Triton wants a side at least, so one is made up between it and the graph
        lines.append("reshape: { shape: [ ] }")
    if labels is not None:
        lines.append(f"label_filename: {_quoted(labels)}")
    return "  {\n" + "".join(f"    {line}\n" for line in lines) + "  }"


def _labels(artifact: Artifact) -> str:
    """A line for each column of a classifier's logits, empty where it has no name; nothing for other outputs.

    Triton names the classes of an output by their place in it, so answers in any other order cannot be named.
    """
    contract = artifact.contract
    if contract.task != "classify" or [output.meaning for output in contract.outputs] != ["class_logits"]:
        return ""
    names = {label.column: " ".join(label.name.split()) for label in contract.labels}
    return "".join(f"{names.get(column, '')}\n" for column in range(max(names) + 1))


def _quoted(text: str) -> str:
    """As a string of protobuf's text format, whose escapes are JSON's."""
    return json.dumps(text, ensure_ascii=False)
