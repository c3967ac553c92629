"""TensorFlow.js graph models: what they hold, and every way they can be damaged."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.checkpoint import checkpoint_digests
from mnv2deploy.weights.tensorflow import read_tensorflowjs

KERNEL = np.arange(12, dtype="<f4").reshape(2, 2, 3) / 7
CODES = np.array([[0, 1, 2], [127, 254, 255]])
WEIGHTS: list[dict[str, Any]] = [
    {"name": "kernel", "shape": [2, 2, 3], "dtype": "float32"},
    {"name": "steps", "shape": [2], "dtype": "int32"},
    {"name": "bytes", "shape": [2, 3], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -3}},
    {"name": "empty", "shape": [0, 4], "dtype": "float32"},
    {"name": "scalar", "shape": [], "dtype": "float32"},
]
DATA = KERNEL.tobytes() + np.array([-5, 2**31 - 1], "<i4").tobytes() + bytes(CODES.ravel().tolist())
DATA += np.float32(2.5).tobytes()
MODEL: dict[str, Any] = {
    "modelTopology": {"node": []},
    "weightsManifest": [{"paths": ["shard1", "shard2"], "weights": WEIGHTS}],
}


def write(folder: Path, model: object = MODEL, data: bytes = DATA) -> Path:
    """The model in two shards, cut in the middle of a number."""
    (folder / "shard1").write_bytes(data[:7])
    (folder / "shard2").write_bytes(data[7:])
    (folder / "model.json").write_text(json.dumps(model))
    return folder / "model.json"


def changed(place: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """The model with one value another."""
    model: Any = {"weightsManifest": copy.deepcopy(MODEL["weightsManifest"])}
    inner = model
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return model


def test_tensors_come_out_as_they_were_put_in(tmp_path: Path) -> None:
    tensors = read_tensorflowjs(write(tmp_path))
    assert list(tensors) == [entry["name"] for entry in WEIGHTS]
    np.testing.assert_array_equal(tensors["kernel"], KERNEL)
    assert tensors["steps"].tolist() == [-5, 2**31 - 1]
    assert tensors["steps"].dtype.kind == "i"
    np.testing.assert_array_equal(tensors["bytes"], CODES * 0.5 - 3)
    assert tensors["bytes"].dtype == np.float32
    assert tensors["empty"].shape == (0, 4)
    assert tensors["scalar"].shape == ()
    assert tensors["scalar"] == 2.5


def test_groups_have_shards_of_their_own(tmp_path: Path) -> None:
    entry = {"name": "a", "shape": [1], "dtype": "float32"}
    groups = [{"paths": ["one"], "weights": [entry]}, {"paths": ["two"], "weights": [{**entry, "name": "b"}]}]
    (tmp_path / "one").write_bytes(np.float32(1).tobytes())
    (tmp_path / "two").write_bytes(np.float32(2).tobytes())
    (tmp_path / "model.json").write_text(json.dumps({"weightsManifest": groups}))
    tensors = read_tensorflowjs(tmp_path / "model.json")
    assert (tensors["a"].item(), tensors["b"].item()) == (1, 2)


@pytest.mark.parametrize(
    ("dtype", "stored", "code", "expected"),
    [
        ("uint8", [0, 128, 255], {"scale": 0.1, "min": -12.8}, [-12.8, 0, 12.7]),
        ("uint16", [0, 256, 65535], {"scale": 0.001, "min": 1}, [1, 1.256, 66.535]),
        ("float16", [0.5, -2, 65504], {}, [0.5, -2, 65504]),
    ],
)
def test_quantized_tensors_are_decoded(
    tmp_path: Path, dtype: str, stored: list[float], code: dict[str, float], expected: list[float]
) -> None:
    entry = {"name": "x", "shape": [3], "dtype": "float32", "quantization": {"dtype": dtype, **code}}
    data = np.array(stored, np.dtype(dtype).newbyteorder("<")).tobytes()
    tensors = read_tensorflowjs(write(tmp_path, changed(("weightsManifest", 0, "weights"), [entry]), data))
    assert tensors["x"].dtype == np.float32
    np.testing.assert_allclose(tensors["x"], expected, rtol=1e-6, atol=1e-6)


FIRST = ("weightsManifest", 0, "weights", 0)
QUANTIZATION = ("weightsManifest", 0, "weights", 2, "quantization")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((*FIRST, "shape"), [2, 2, 4], "end before the tensor steps"),
        ((*FIRST, "shape"), [2, 2, 2], "16 bytes more than model.json lists"),
        ((*FIRST, "shape"), [10**6, 10**6, 10**6, 10**6], "end before the tensor kernel"),
        ((*FIRST, "shape"), [0, 10**30], "not a TensorFlow.js graph model"),
        ((*FIRST, "shape"), [-1], "shape"),
        ((*FIRST, "shape"), [2, -2, -3], "shape"),
        ((*FIRST, "shape"), [2.0, 6], "shape"),
        ((*FIRST, "shape"), [True, 12], "shape"),
        ((*FIRST, "shape"), 12, "not a TensorFlow.js graph model"),
        ((*FIRST, "shape"), "12", "shape"),
        ((*FIRST, "shape"), [1] * 100 + [12], "not a TensorFlow.js graph model"),
        ((*FIRST, "name"), 5, "the tensor 5"),
        ((*FIRST, "name"), "steps", "the tensor steps twice"),
        ((*FIRST, "dtype"), "float33", "float33"),
        ((*FIRST, "dtype"), None, "None"),
        ((*FIRST, "dtype"), "O", "'O'"),
        ((*FIRST, "dtype"), ["float32"], "not a TensorFlow.js graph model"),
        (FIRST, "kernel", "not a TensorFlow.js graph model"),
        (FIRST, {}, "'name'"),
        (QUANTIZATION, {"dtype": "uint8", "scale": 1}, "'min'"),
        ((*QUANTIZATION, "scale"), "wide", "wide"),
        pytest.param((*QUANTIZATION, "scale"), 10**400, "too large", id="huge scale"),
        (QUANTIZATION, 5, "not a TensorFlow.js graph model"),
        (("weightsManifest", 0, "paths"), ["shard1", "shard3"], "shard3"),
        (("weightsManifest", 0, "paths"), ["shard1"], "end before the tensor kernel"),
        (("weightsManifest", 0, "paths"), ["shard2", "shard1", "shard1"], "7 bytes more"),
        (("weightsManifest", 0, "paths"), ["shard1", "../shard2"], "outside its folder: '../shard2'"),
        (("weightsManifest", 0, "paths"), ["/etc/passwd"], "outside its folder: '/etc/passwd'"),
        (("weightsManifest", 0, "paths"), [".."], "directory"),
        (("weightsManifest", 0, "paths"), [""], "directory"),
        (("weightsManifest", 0, "paths"), ["a\0b"], "null"),
        (("weightsManifest", 0, "paths"), [1], "not a TensorFlow.js graph model"),
        (("weightsManifest",), 7, "not a TensorFlow.js graph model"),
        (("weightsManifest",), {"paths": []}, "not a TensorFlow.js graph model"),
    ],
)
def test_wrong_manifest_is_a_checkpoint_error(
    tmp_path: Path, place: tuple[str | int, ...], value: object, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        read_tensorflowjs(write(tmp_path, changed(place, value)))
    assert str(tmp_path) in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("text", ["", "not JSON", "[]", "null", "3", "{}", "\ud800", "[" * 200_000, '{"a":' * 200_000])
def test_other_json_or_none_is_a_checkpoint_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    for read in (read_tensorflowjs, lambda path: checkpoint_digests(path, "tensorflowjs")):
        with pytest.raises(CheckpointError, match="not a TensorFlow.js graph model"):
            read(tmp_path / "model.json")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DATA[:-1], "end before the tensor scalar"),
        (DATA + b"\0", "1 bytes more"),
        (b"", "end before the tensor kernel"),
    ],
)
def test_shards_of_another_length_are_a_checkpoint_error(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_tensorflowjs(write(tmp_path, data=data))


def test_missing_shard_is_named_by_reader_and_digests(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "shard2").unlink()
    for read in (read_tensorflowjs, lambda path: checkpoint_digests(path, "tensorflowjs")):
        with pytest.raises(CheckpointError, match="shard2"):
            read(path)


@pytest.mark.parametrize("scale", [math.inf, 1e308])
def test_quantization_out_of_range_is_left_for_convert_to_refuse(tmp_path: Path, scale: float) -> None:
    assert not np.isfinite(read_tensorflowjs(write(tmp_path, changed((*QUANTIZATION, "scale"), scale)))["bytes"]).all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def read_or_refuse(path: Path) -> None:
    try:
        tensors = read_tensorflowjs(path)
    except CheckpointError:
        return
    assert all(isinstance(name, str) and isinstance(array, np.ndarray) for name, array in tensors.items())


def places(value: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where every value inside stands, containers included."""
    if not isinstance(value, dict | list):
        return [at]
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    return ([at] if at else []) + [place for key, item in items for place in places(item, (*at, key))]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(10**17, 10**320) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["dtype", "name", "scale"]), inner),
    max_leaves=4,
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(places({"weightsManifest": MODEL["weightsManifest"]})), JSON)
def test_any_other_value_in_the_manifest_is_read_or_refused(
    folder: Path, place: tuple[str | int, ...], value: object
) -> None:
    read_or_refuse(write(folder, changed(place, value)))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3), st.integers(0, 3)), min_size=1, max_size=4))
def test_any_other_bytes_are_read_or_refused(folder: Path, cuts: list[tuple[int, bytes, int]]) -> None:
    path = write(folder)
    text = path.read_bytes()
    for position, replacement, length in cuts:
        start = position % len(text)
        text = text[:start] + replacement + text[start + length :]
    path.write_bytes(text)
    read_or_refuse(path)
