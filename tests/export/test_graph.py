"""The graph's bytes depend on nothing but what went in, and tell nothing about the machine."""

import re
from pathlib import Path

import onnx
import onnxruntime
import pytest

from mnv2deploy.catalog.cards import load_card
from mnv2deploy.contract import METADATA_KEY
from mnv2deploy.errors import UsageError
from mnv2deploy.export import graph
from mnv2deploy.networks import build_network

NAMES = ["class_logits", "box_encodings"]


def test_nothing_in_the_file_tells_where_or_how_it_was_made(coco_artifact):
    data = coco_artifact.read_bytes()
    for trace in (b"/work", b"/tmp", b"/home", b".py", b"site-packages", b"stack_trace", str(Path.cwd()).encode()):
        assert trace not in data, trace
    model = onnx.load(coco_artifact)
    assert [prop.key for prop in model.metadata_props] == [METADATA_KEY]
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_names_come_from_the_modules_and_initializers_are_sorted(coco_artifact):
    model = onnx.load(coco_artifact)
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert "backbone.blocks.13.expand.conv" in names
    assert "class_predictors.0.pointwise" in names
    initializers = [tensor.name for tensor in model.graph.initializer]
    assert initializers == sorted(initializers)
    assert {"backbone.stem.conv.weight", "backbone.stem.conv.bias"} <= set(initializers)
    assert not [name for name in names + initializers if re.search(r"val_|getitem|node_|_\d{3,}", name)]


def test_nothing_is_left_to_fold(coco_artifact):
    """Batch norms and paddings are inside the convolutions, and no shape is computed at run time."""
    kinds = {node.op_type for node in onnx.load(coco_artifact).graph.node}
    assert kinds == {"Conv", "Clip", "Add", "Transpose", "Reshape", "Concat"}


@pytest.mark.parametrize("opset", [18, 21])
def test_the_graph_has_the_opset_asked_for_and_the_lowest_ir_version(opset):
    card = load_card("ssdlite-pedestrian")
    model = graph.trace(build_network(card.network), (3, 300, 300), NAMES, opset)
    graph.normalize(model)
    assert graph.opset_of(model) == opset
    assert model.ir_version == {18: 8, 21: 10}[opset]
    onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("opset", [11, 17, 99])
def test_an_opset_that_cannot_be_written_is_refused(opset):
    card = load_card("ssdlite-pedestrian")
    with pytest.raises(UsageError, match=rf"--opset {opset} .*18 to 23"):
        graph.trace(build_network(card.network), (3, 300, 300), NAMES, opset)
