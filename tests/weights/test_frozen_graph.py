"""Frozen GraphDefs, encoded here byte by byte after the protocol buffers' wire format."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2deploy.errors import CheckpointError, UsageError
from mnv2deploy.weights.checkpoint import checkpoint_digests, read_checkpoint
from mnv2deploy.weights.tensorflow import read_frozen_graph

FLOAT, DOUBLE, INT32, STRING, INT64 = 1, 2, 3, 7, 9  # types.proto


def varint(value: int) -> bytes:
    value %= 2**64  # two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes | int) -> bytes:
    """Wire type 2 (length and bytes), or 0 for an integer."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(dtype: int, shape: list[int], *values: bytes) -> bytes:
    dims = b"".join(field(2, field(1, side)) for side in shape)
    return field(1, dtype) + field(2, dims) + b"".join(values)


def node(name: str, value: bytes, op: str = "Const") -> bytes:
    attributes = field(5, field(1, b"dtype") + field(2, field(6, 1)))
    attributes += field(5, field(1, b"value") + field(2, field(8, value)))
    return field(1, field(1, name.encode()) + field(2, op.encode()) + field(3, b"^input") + attributes)


def content(array: np.ndarray) -> bytes:
    return field(4, array.tobytes())


def floats(*values: float) -> bytes:
    return field(5, np.array(values, "<f4").tobytes())


KERNEL = np.arange(24, dtype="<f4").reshape(2, 3, 4) - 0.5
VALID = node("kernel", tensor(FLOAT, [2, 3, 4], content(KERNEL))) + node("size", tensor(INT32, [], field(7, b"\x07")))


def write(folder: Path, data: bytes) -> Path:
    (folder / "graph.pb").write_bytes(data)
    return folder / "graph.pb"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(tensor(FLOAT, [2, 3, 4], content(KERNEL)), KERNEL, id="bytes"),
        pytest.param(tensor(FLOAT, [3], floats(1.5, -2, 3)), [1.5, -2, 3], id="float_val"),
        pytest.param(tensor(FLOAT, [2, 2], floats(1.5)), [[1.5, 1.5], [1.5, 1.5]], id="one value for the whole shape"),
        pytest.param(tensor(FLOAT, [5], floats(1, 2)), [1, 2, 2, 2, 2], id="the last value for the rest"),
        pytest.param(tensor(FLOAT, [2, 2]), [[0, 0], [0, 0]], id="zeros are left out"),
        pytest.param(tensor(FLOAT, [], floats(4)), 4, id="scalar"),
        pytest.param(tensor(FLOAT, [0, 3]), np.zeros((0, 3)), id="empty"),
        pytest.param(tensor(DOUBLE, [2], content(np.array([1e300, 2]))), [1e300, 2], id="double bytes"),
        pytest.param(tensor(DOUBLE, [1], field(6, np.float64(1e300).tobytes())), [1e300], id="double_val"),
        pytest.param(tensor(INT32, [2], field(7, varint(-3) + varint(9))), [-3, 9], id="int_val, negative"),
        pytest.param(tensor(INT64, [1], field(10, varint(2**40))), [2**40], id="int64_val"),
    ],
)
def test_constants_come_out_as_they_were_put_in(tmp_path: Path, value: bytes, expected: object) -> None:
    tensors = read_frozen_graph(write(tmp_path, node("a/b", value)))
    assert list(tensors) == ["a/b"]
    np.testing.assert_array_equal(tensors["a/b"], expected)
    assert tensors["a/b"].shape == np.shape(expected)


def test_only_numeric_constants_are_taken(tmp_path: Path) -> None:
    text = node("text", tensor(STRING, [1], field(8, b"label")))
    other = node("relu", tensor(FLOAT, [1], floats(1)), op="Relu6")
    library = field(2, b"functions") + field(4, field(1, 21))  # fields of GraphDef that are not nodes
    assert sorted(read_frozen_graph(write(tmp_path, text + VALID + other + library))) == ["kernel", "size"]


PNG = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "no constants", id="empty file"),
        pytest.param(b"this is a text file\n" * 20, "not a protocol buffer", id="text"),
        pytest.param(PNG, "not a frozen TensorFlow graph", id="picture"),
        pytest.param(VALID[:-3], "not a protocol buffer", id="cut in a node"),
        pytest.param(VALID[:60], "not a protocol buffer", id="cut in a tensor"),
        pytest.param(node("x", b"\x08"), "not a protocol buffer", id="damaged inside"),
        pytest.param(field(1, field(1, b"\xff\xfe")), "not a protocol buffer", id="name that is not UTF-8"),
        pytest.param(node("x", tensor(STRING, [1])), "no constants", id="strings only"),
        pytest.param(
            node("x", tensor(FLOAT, [2, 3], content(KERNEL))), r"x has 96 bytes for the shape \[2, 3\]", id="long"
        ),
        pytest.param(node("x", tensor(FLOAT, [1], field(4, b"abc"))), "x has 3 bytes", id="part of a number"),
        pytest.param(node("x", tensor(FLOAT, [2], floats(1, 2, 3))), "x has 3 values", id="values left over"),
        pytest.param(node("x", tensor(FLOAT, [], floats(1, 2))), "x has 2 values", id="two values for a scalar"),
        pytest.param(node("x", tensor(FLOAT, [-1], floats(1))), "x has no fixed shape", id="unknown side"),
        pytest.param(node("x", tensor(FLOAT, [-2, -12], content(KERNEL))), "x has no fixed shape", id="negative sides"),
        pytest.param(node("x", tensor(FLOAT, [2**40], content(KERNEL))), "x has 96 bytes", id="huge, bytes"),
        pytest.param(node("x", tensor(FLOAT, [2**40, 2**40], floats(1))), "not a frozen", id="huge, one value"),
        pytest.param(node("x", tensor(FLOAT, [2**40], floats(1, 2))), "x has 2 values", id="huge, two values"),
        pytest.param(node("x", tensor(FLOAT, [1] * 100, floats(1))), "not a frozen", id="a hundred sides"),
        pytest.param(VALID + VALID, "two constants are named kernel", id="a name twice"),
    ],
)
def test_damaged_graph_is_a_checkpoint_error(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        read_frozen_graph(write(tmp_path, data))
    assert str(tmp_path / "graph.pb") in str(caught.value)
    assert caught.value.exit_code == 4


def test_file_that_cannot_be_read_is_a_checkpoint_error(tmp_path: Path) -> None:
    for read in (read_frozen_graph, lambda path: checkpoint_digests(path, "frozen-graph")):
        with pytest.raises(CheckpointError, match="directory"):
            read(tmp_path)
    with pytest.raises(UsageError, match="there is no such file"):
        read_checkpoint(tmp_path / "missing.pb", "frozen-graph")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 500), st.binary(max_size=3), st.integers(0, 3)), min_size=1, max_size=4))
def test_any_other_bytes_are_read_or_refused(folder: Path, cuts: list[tuple[int, bytes, int]]) -> None:
    data = VALID
    for position, replacement, length in cuts:
        start = position % len(data)
        data = data[:start] + replacement + data[start + length :]
    try:
        tensors = read_frozen_graph(write(folder, data))
    except CheckpointError:
        return
    assert all(isinstance(array, np.ndarray) for array in tensors.values())


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([FLOAT, DOUBLE, INT32, INT64, STRING, 0, 99]),
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 4), max_size=5),
    st.lists(st.floats(width=32), max_size=4),
    st.binary(max_size=32),
)
def test_any_shape_and_values_are_read_or_refused(
    folder: Path, dtype: int, shape: list[int], values: list[float], raw: bytes
) -> None:
    for stored in (floats(*values), field(4, raw)):
        try:
            tensors = read_frozen_graph(write(folder, node("x", tensor(dtype, shape, stored))))
        except CheckpointError:
            continue
        assert tensors["x"].shape == tuple(shape)


def test_reading_needs_no_tensorflow(tmp_path: Path) -> None:
    path = write(tmp_path, VALID)
    (tmp_path / "tensorflow.py").write_text("")  # an import would succeed, and be seen
    code = (
        "import sys; from pathlib import Path; from mnv2deploy.weights.tensorflow import read_frozen_graph;"
        f"tensors = read_frozen_graph(Path({str(path)!r}));"
        "print(sorted(tensors), {'tensorflow', 'torch', 'onnx'} & set(sys.modules))"
    )
    search = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": search},
        check=True,
    )
    assert done.stdout == "['kernel', 'size'] set()\n"
