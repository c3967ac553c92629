"""Keras's files: layouts of older versions, and models that are not MobileNetV2 with one Dense layer on top."""

from __future__ import annotations

import copy
import io
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from own_cards import own_card
from test_origins import CASES, write_keras

from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.checkpoint import check_card, describe_checkpoint, read_checkpoint

OWN_TOP = CASES["keras", "own_top.h5"]


@pytest.fixture
def own_top(tmp_path: Path) -> Path:
    return write_keras(OWN_TOP, tmp_path)


def test_weights_of_keras_2_alone_are_read_alike(tmp_path: Path, own_top: Path) -> None:
    """Names end in ``:0``, depthwise kernels have their own, there is no model, and layers are in the root."""
    old = tmp_path / "old.h5"
    with h5py.File(old, "w") as file:
        for name, array in OWN_TOP.weights("keras").items():
            name = name.removeprefix("model_weights/")
            file[f"{name.replace('depthwise/kernel', 'depthwise/depthwise_kernel')}:0"] = array
    new, found = read_checkpoint(own_top, "keras"), read_checkpoint(old, "keras")
    assert found.keys() == new.keys()
    assert all(np.array_equal(found[name], new[name]) for name in new)
    assert describe_checkpoint(old, "keras").network == describe_checkpoint(own_top, "keras").network


def layer_of(model: dict[str, Any], name: str) -> dict[str, Any]:
    return next(layer for layer in model["config"]["layers"] if layer["config"]["name"] == name)


def put(name: str, **settings: Any) -> Any:
    return lambda model: layer_of(model, name)["config"].update(settings)


def insert(kind: str, **settings: Any) -> Any:
    layer = {"class_name": kind, "config": {"name": "mine", **settings}, "inbound_nodes": []}
    return lambda model: model["config"]["layers"].insert(-1, layer)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (insert("Lambda", function="__import__('os').system('false')"), "the layer Lambda mine is not one of"),
        (insert("GlobalMaxPooling2D"), "the layer GlobalMaxPooling2D mine"),
        (insert("Dense", activation="relu"), r"the layer Dense mine \(relu\)"),
        (insert("Rescaling", scale=2.0, offset=0.0), "the layer Rescaling mine"),
        (put("Conv1", strides=[1, 1]), "the layer Conv2D Conv1"),
        (put("block_3_depthwise", strides=[1, 1]), "the layer DepthwiseConv2D block_3_depthwise"),
        (put("block_4_depthwise", dilation_rate=[2, 2]), "the layer DepthwiseConv2D block_4_depthwise"),
        (put("Conv1_relu", max_value=None), "the layer ReLU Conv1_relu"),
        (put("block_2_project_BN", epsilon=1e-5), r"epsilons \[1e-05, 0.001\]"),
        (put("input_layer", batch_shape=[None, 3, 64, 96]), "channels first"),
        (put("block_1_pad", padding=[[2, 1], [0, 1]]), None),
        (lambda model: model["config"].update(layers=7), "cannot be understood"),
        (lambda model: model["config"]["layers"].append({}), "cannot be understood"),
        (lambda model: model["config"]["layers"].append([]), "cannot be understood"),
    ],
)
def test_model_that_computes_something_else_is_refused(tmp_path: Path, change: Any, says: str | None) -> None:
    case = copy.deepcopy(OWN_TOP)
    case.config["model"]["config"]["layers"][0]["config"]["name"] = "input_layer"
    change(case.config["model"])
    path = write_keras(case, tmp_path)
    if says is None:  # another padding is no other network, but holds at the size it was made for alone
        assert describe_checkpoint(path, "keras").sides is None
        return
    with pytest.raises(CheckpointError, match=says) as caught:
        describe_checkpoint(path, "keras")
    assert caught.value.exit_code == 4


def test_second_dense_layer_has_no_place(tmp_path: Path, own_top: Path) -> None:
    with h5py.File(own_top, "r+") as file:
        file["model_weights/zz/zz/kernel"], file["model_weights/zz/zz/bias"] = np.ones((7, 3)), np.ones(3)
    with pytest.raises(CheckpointError, match=r"head of several layers \(predictions/kernel, zz/kernel\)"):
        describe_checkpoint(own_top, "keras")


@pytest.mark.parametrize(
    ("size", "says"),
    [((64, 96), None), ((128, 160), None), ((65, 96), r"multiples of 32; the card has \(65, 96\)")],
)
def test_card_of_a_size_that_keras_would_pad_otherwise_is_refused(
    tmp_path: Path, own_top: Path, size: tuple[int, int], says: str | None
) -> None:
    """Built for even sides, Keras pads below and on the right; SAME of an odd side pads on both."""
    description = describe_checkpoint(own_top, "keras")
    card = own_card(tmp_path, "keras", description, size, list("abcdefg"))
    raw = read_checkpoint(own_top, "keras")
    if says is None:
        check_card(card, raw, own_top)
    else:
        with pytest.raises(CheckpointError, match=says):
            check_card(card, raw, own_top)


def test_card_that_contradicts_the_file_is_refused(tmp_path: Path) -> None:
    for case, changes, says in (
        ("own_top.h5", {"padding": '"torch"'}, "has padding = tf, but the card mine says torch"),
        ("own_top.h5", {"activation": '"relu"'}, "has backbone.activation = relu6, but the card mine says relu"),
        ("own_top.h5", {"batch_norm_eps": "1e-5"}, "has batch_norm_eps = 0.001, but the card mine says 1e-05"),
        ("own_top.h5", {"output_stride": "16"}, "has output_stride = 32"),
    ):
        path = write_keras(CASES["keras", case], tmp_path)
        card = own_card(tmp_path, "keras", describe_checkpoint(path, "keras"), (64, 96), list("abcdefg"), **changes)
        with pytest.raises(CheckpointError, match=says):
            check_card(card, read_checkpoint(path, "keras"), path)


def h5(make: Any) -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        make(file)
    return out.getvalue()


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return out.getvalue()


def external_dataset(file: h5py.File) -> None:
    file.create_dataset("a/kernel", (4,), "f4", external=[("/etc/hostname", 0, 16)])


def virtual_dataset(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "kernel", (4,))
    file.create_virtual_dataset("kernel", layout)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is not a file of Keras's"),
        (b"weights, honestly" * 99, "is not a file of Keras's"),
        (h5(lambda file: file.create_dataset("a/kernel", data=np.ones(4)))[:700], "is not a file of Keras's"),
        (h5(lambda file: None), "holds no weights"),
        (h5(lambda file: file.create_dataset("a", (2**40,), "f4", chunks=True)), "claims more numbers than the file"),
        (h5(external_dataset), "a/kernel is kept in another file"),
        (h5(virtual_dataset), "kernel is kept in another file"),
        (h5(lambda file: file.update({"a": h5py.ExternalLink("/etc/other.h5", "/")})), "a is a link"),
        (h5(lambda file: file.update({"a/b": h5py.SoftLink("/")})), "a/b is a link"),
        (zipped(a__txt=b"hello"), "is not a file of Keras's"),
        (zipped(model__weights__h5=b"hello"), "is not a file of Keras's"),
    ],
)
def test_file_that_is_not_keras_own_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=says) as caught:
        read_checkpoint(path, "keras")
    assert str(path) in str(caught.value)


def test_description_that_is_not_json_is_refused(own_top: Path) -> None:
    for text in ("{", "[]"):
        with h5py.File(own_top, "r+") as file:
            file.attrs["model_config"] = text
        with pytest.raises(CheckpointError, match="the model's configuration"):
            describe_checkpoint(own_top, "keras")
