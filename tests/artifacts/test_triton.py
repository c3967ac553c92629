"""Triton's model repository: every model has its folder, and its configuration says what its graph takes and gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format
from manifests import a_contract, a_manifest, an_artifact
from onnx import TensorProto, helper
from triton_messages import read_configuration

from mnv2deploy.artifacts.triton import triton_repository
from mnv2deploy.contract import METADATA_KEY, Label, Output
from mnv2deploy.errors import ModelError, UsageError
from mnv2deploy.runtime.session import Session


def make_graph(path: Path, *, batch: str | int = "N", out: str | int = "N", kind: int = TensorProto.INT64) -> Path:
    """An artifact of two classes with a second output of one number a picture, as a detector's counts are.

    Args:
        path: Where.
        batch: First side of the input and the logits.
        out: First side of the counts.
        kind: Of the counts.
    """
    nodes = [
        helper.make_node("ReduceMean", ["image", "sides"], ["means"], keepdims=0),
        helper.make_node("Slice", ["means", "zero", "two", "one"], ["class_logits"]),
        helper.make_node("ReduceSum", ["class_logits", "one"], ["sums"], keepdims=0),
        helper.make_node("Cast", ["sums"], ["counts"], to=kind),
    ]
    constants = {"sides": [2, 3], "zero": [0], "one": [1], "two": [2]}
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 32, 32])],
        [
            helper.make_tensor_value_info("class_logits", TensorProto.FLOAT, [batch, 2]),
            helper.make_tensor_value_info("counts", kind, [out]),
        ],
        [helper.make_tensor(name, TensorProto.INT64, [len(values)], values) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: a_contract().to_json()})
    onnx.save(model, path)
    return path


def repository(path: Path, **values):
    artifact = an_artifact(**values)
    return triton_repository(a_manifest(artifacts=(artifact,)), {artifact.name: path})


def configuration(path: Path, **values):
    return read_configuration(repository(path, **values).files["triton/small-fp32/config.pbtxt"].decode())


@pytest.fixture
def graph(tmp_path):
    return make_graph(tmp_path / "small.onnx")


def test_every_artifact_has_its_folder(graph):
    made = triton_repository(a_manifest(), {"fp32": graph, "int8": graph})
    folders = ("triton/small-fp32", "triton/small-int8")
    assert sorted(made.files) == [f"{folder}/{name}" for folder in folders for name in ("config.pbtxt", "labels.txt")]
    assert made.models == {
        "triton/small-fp32/1/model.onnx": "small-fp32.onnx",
        "triton/small-int8/1/model.onnx": "small-int8.onnx",
    }


def test_shapes_are_the_graphs(artifacts):
    classifier, detector = (artifacts[name] for name in ("mobilenet-v2", "ssdlite-coco"))
    assert configuration(classifier, contract=Session(classifier).contract) == {
        "name": "small-fp32",
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": 8,
        "input": [{"name": "image", "data_type": "TYPE_FP32", "dims": ["3", "224", "224"]}],
        "output": [
            {"name": "class_logits", "data_type": "TYPE_FP32", "dims": ["1000"], "label_filename": "labels.txt"}
        ],
        "dynamic_batching": {},
    }
    read = configuration(detector, contract=Session(detector).contract)
    assert read["output"] == [
        {"name": "class_logits", "data_type": "TYPE_FP32", "dims": ["1917", "91"]},
        {"name": "box_encodings", "data_type": "TYPE_FP32", "dims": ["1917", "4"]},
    ]


def test_bytes_are_taken_as_bytes(byte_artifacts):
    path = byte_artifacts["mobilenet-v2"].bytes
    read = configuration(path, contract=Session(path).contract)
    assert read["input"] == [{"name": "image", "data_type": "TYPE_UINT8", "dims": ["224", "224", "3"]}]


def test_one_number_a_picture_has_a_side_made_up_for_it(graph):
    # Triton wants a side besides the batch; the empty shape is what the graph has.
    counts = configuration(graph)["output"][1]
    assert counts == {"name": "counts", "data_type": "TYPE_INT64", "dims": ["1"], "reshape": {}}


@pytest.mark.parametrize(("batch", "out"), [(4, 4), (4, "N"), ("N", 4)])
def test_a_graph_of_fixed_batch_is_not_batched(tmp_path, batch, out):
    # Triton then takes all sides as they are, the batch among them; -1 is one that is free.
    read = configuration(make_graph(tmp_path / "small.onnx", batch=batch, out=out))
    assert "max_batch_size" not in read  # 0, the default
    assert "dynamic_batching" not in read
    free = "-1" if batch == "N" else str(batch)
    assert read["input"][0]["dims"] == [free, "3", "32", "32"]
    assert read["output"][0]["dims"] == [free, "2"]


def test_labels_are_in_the_order_of_the_columns(graph):
    labels = (
        Label(column=3, class_id=1, name="dog\n or  wolf"),
        Label(column=1, class_id=7, name="cat"),
    )
    made = repository(graph, contract=dataclasses.replace(a_contract(), labels=labels))
    assert made.files["triton/small-fp32/labels.txt"].decode() == "\ncat\n\ndog or wolf\n"


def test_answers_that_are_no_logits_have_no_labels(graph):
    decoded = (Output(name="scores", meaning="class_scores"), Output(name="ids", meaning="class_ids"))
    made = repository(graph, contract=dataclasses.replace(a_contract(), outputs=decoded))
    assert list(made.files) == ["triton/small-fp32/config.pbtxt"]
    assert b"label_filename" not in made.files["triton/small-fp32/config.pbtxt"]


def test_it_says_which_onnxruntime_is_needed(graph):
    text = repository(graph).files["triton/small-fp32/config.pbtxt"].decode()
    assert text.startswith("# Opset 18: needs a Triton whose ONNX Runtime is 1.15 or later.\n")


def test_it_is_the_same_every_time(graph):
    assert repository(graph) == repository(graph)


def test_a_type_triton_does_not_have_is_refused(tmp_path):
    graph = make_graph(tmp_path / "small.onnx", kind=TensorProto.BFLOAT16)
    with pytest.raises(ModelError, match=r"no type for counts, tensor\(bfloat16\)"):
        repository(graph)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.onnx: there is no such file"):
        repository(tmp_path / "none.onnx")


def test_the_reader_refuses_what_triton_does_not_know():
    with pytest.raises(text_format.ParseError):
        read_configuration('nam: "x"')
    with pytest.raises(text_format.ParseError):
        read_configuration("input [ { data_type: TYPE_FLOAT } ]")
