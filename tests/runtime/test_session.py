"""What is and what is not an artifact."""

import json

import numpy as np
import onnx
import pytest

import mnv2deploy
from mnv2deploy.contract import METADATA_KEY
from mnv2deploy.errors import MissingDependencyError, ModelError, UsageError
from mnv2deploy.runtime.session import Session


def with_contract(artifact, path, change):
    """A copy of the artifact whose contract went through ``change``; None takes it out."""
    model = onnx.load(artifact)
    contract = {prop.key: prop.value for prop in model.metadata_props}[METADATA_KEY]
    changed = change(json.loads(contract))
    del model.metadata_props[:]
    if changed is not None:
        onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(changed)})
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda contract: None, "no mnv2deploy contract"),  # an .onnx of somebody else's
        (lambda contract: contract | {"version": 99}, "version 99"),  # of a later release
        (lambda contract: contract | {"labels": 5}, "labels should be a list"),
        (lambda contract: contract | {"decoding": {"task": "dream"}}, "decoding.task should be one of"),
        (lambda contract: contract | {"surprise": 1}, "unknown key surprise"),
        (lambda contract: contract | {"input": contract["input"] | {"name": "x"}}, "the contract names x"),
        (lambda contract: contract | {"decoding": contract["decoding"] | {"activation": "tanh"}}, "tanh"),
    ],
)
def test_an_onnx_file_that_is_not_an_artifact_is_refused(change, says, coco_artifact, tmp_path):
    path = with_contract(coco_artifact, tmp_path / "other.onnx", change)
    with pytest.raises(ModelError, match=says) as caught:
        mnv2deploy.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"not a model at all", id="text"),
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda data: data[:5000] + bytes(200) + data[5200:], id="holes"),
    ],
)
def test_a_damaged_file_is_a_model_error(damage, coco_artifact, tmp_path):
    path = tmp_path / "damaged.onnx"
    path.write_bytes(damage(coco_artifact.read_bytes()))
    with pytest.raises(ModelError, match="damaged.onnx"):
        mnv2deploy.load(path)


def test_a_missing_file_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match="there is no such file"):
        mnv2deploy.load(tmp_path / "nowhere.onnx")


def test_a_provider_this_machine_lacks_is_named_with_those_it_has(coco_artifact):
    with pytest.raises(MissingDependencyError, match=r"'tpu', only .*cpu"):
        mnv2deploy.load(coco_artifact, provider="tpu")


def test_batches_of_any_size_run(coco_artifact):
    session = Session(coco_artifact, threads=1)
    for batch in (1, 3):
        logits, encodings = session.run(np.zeros((batch, 3, 300, 300), np.float32))
        assert logits.shape == (batch, 1917, 91)
        assert encodings.shape == (batch, 1917, 4)


@pytest.mark.parametrize(
    ("change", "graph"),
    [
        ({"layout": "NHWC", "dtype": "uint8"}, r"uint8 \(N, 300, 300, 3\), and the graph takes tensor\(float\) \("),
        ({"height": 320}, r"float32 \(N, 3, 320, 300\), and the graph takes tensor\(float\) \(.*, 3, 300, 300\)"),
        ({"width": 299}, r"float32 \(N, 3, 300, 299\), and"),
    ],
)
def test_a_graph_that_takes_other_pictures_than_its_contract_promises_is_refused(
    change, graph, coco_artifact, tmp_path
):
    def contract(tree):
        whole = tree["preprocessing"] | ({"mean": [0, 0, 0], "std": [1, 1, 1]} if "dtype" in change else {})
        return tree | {"input": tree["input"] | change, "preprocessing": whole}

    path = with_contract(coco_artifact, tmp_path / "other.onnx", contract)
    with pytest.raises(ModelError, match=rf"other.onnx: the contract promises an input of {graph}"):
        Session(path, threads=1)


def test_a_graph_that_takes_floats_where_its_contract_promises_bytes_is_refused(byte_artifacts, tmp_path):
    model = onnx.load(byte_artifacts["mobilenet-v2"].bytes)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(
        ModelError, match=r"uint8 \(N, 224, 224, 3\), and the graph takes tensor\(float\) \(N, 224, 224"
    ):
        Session(tmp_path / "other.onnx", threads=1)


def test_a_graph_that_leaves_the_size_of_its_pictures_open_runs(coco_artifact, tmp_path):
    model = onnx.load(coco_artifact)
    for side, name in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], "hw", strict=True):
        side.dim_param = name
    onnx.save(model, tmp_path / "open.onnx")
    assert Session(tmp_path / "open.onnx", threads=1).contract.input.height == 300


def test_bytes_in_batches_of_any_size_or_of_a_fixed_one(byte_artifacts, tmp_path):
    path = byte_artifacts["ssdlite-coco"].bytes
    session = Session(path, threads=1)
    assert session.fixed_batch is None
    logits, encodings = session.run(np.zeros((2, 300, 300, 3), np.uint8))
    assert (logits.shape, encodings.shape) == ((2, 1917, 91), (2, 1917, 4))
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save(model, tmp_path / "fixed.onnx")
    assert Session(tmp_path / "fixed.onnx", threads=1).fixed_batch == 4
