"""torch to ONNX: a graph with stable names and nothing in it that tells when, where or by whom it was made."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence

import onnx
import torch
from torch import nn

from mnv2deploy.errors import UsageError

# The dynamo exporter writes opset 18 and up. Least release of onnxruntime that runs each, with the lowest IR version
# that opset allows: measured by loading and running a graph of these operators in every minor release from 1.15,
# the oldest to be had for Python 3.11, to 1.26.
MINIMUM_ONNXRUNTIME = {18: "1.15", 19: "1.16", 20: "1.17", 21: "1.18", 22: "1.21", 23: "1.23"}
DEFAULT_OPSET = 18


def trace(network: nn.Module, input_shape: Sequence[int], output_names: Sequence[str], opset: int) -> onnx.ModelProto:
    """Exports with torch's dynamo exporter, batch dimension dynamic.

    Args:
        network: In evaluation mode; takes one (N, C, H, W) tensor.
        input_shape: (C, H, W).
        output_names: In the order of the network's outputs.
        opset: One of `MINIMUM_ONNXRUNTIME`.

    Raises:
        UsageError: an opset that cannot be written.
    """
    if opset not in MINIMUM_ONNXRUNTIME:
        raise UsageError(
            f"--opset {opset} cannot be written; choose {min(MINIMUM_ONNXRUNTIME)} to {max(MINIMUM_ONNXRUNTIME)}."
        )
    with _silence():
        program = torch.onnx.export(
            network,
            (torch.zeros(2, *input_shape),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["image"],
            output_names=list(output_names),
            opset_version=opset,
            optimize=True,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - it is None only when asked to write a file
    return program.model_proto


def normalize(model: onnx.ModelProto) -> None:
    """Rewrites ``model`` in place so that the same network always gives the same bytes.

    Source paths and stack traces go (they leak folders), nodes and tensors are named after the modules they came
    from, initializers are sorted, and the IR version is the lowest the opset allows, so that old runtimes load it.
    """
    _strip_metadata(model)
    _rename(model.graph)
    initializers = sorted(model.graph.initializer, key=lambda tensor: tensor.name)
    del model.graph.initializer[:], model.graph.value_info[:]
    model.graph.initializer.extend(initializers)
    model.graph.name = "mnv2deploy"
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import))
    model.producer_name, model.producer_version = "mnv2deploy", ""


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the default domain."""
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def _strip_metadata(model: onnx.ModelProto) -> None:
    graph = model.graph
    for holder in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        holder.ClearField("metadata_props")
        holder.ClearField("doc_string")
    model.ClearField("functions")


def _rename(graph: onnx.GraphProto) -> None:
    """Names each convolution after its module, each other node after the convolution before it and its operator."""
    kept = {value.name for value in (*graph.input, *graph.output)}
    names = {name: name for name in kept}
    names |= {tensor.name: tensor.name for tensor in graph.initializer}
    module_of: dict[str, str] = {}
    taken: set[str] = set()
    for node in graph.node:
        if node.op_type == "Conv":
            module = node.input[1].removesuffix(".weight")
            if len(node.input) > 2:
                names[node.input[2]] = f"{module}.bias"
        else:
            module = next((module_of[name] for name in node.input if name in module_of), "graph")
            for position, name in enumerate(node.input):
                if name and names.get(name) == name and name not in kept and name not in module_of:
                    names[name] = _constant_name(node.op_type, position, name, taken)
        node.name = _unique(module if node.op_type == "Conv" else f"{module}/{node.op_type}", taken)
        for position, output in enumerate(node.output):
            module_of[output] = module
            names.setdefault(output, node.name if position == 0 else f"{node.name}:{position}")
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]


def _constant_name(op_type: str, position: int, name: str, taken: set[str]) -> str:
    """Of an initializer that is no module's parameter (the exporter calls them ``val_17``)."""
    return _unique(f"{op_type}.{position}", taken) if name.startswith("val_") else name


def _unique(name: str, taken: set[str]) -> str:
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}.{count}"
    taken.add(candidate)
    return candidate


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps torch's and onnxscript's chatter from the user; their errors still come as exceptions."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            yield
    finally:
        logging.disable(previous)
