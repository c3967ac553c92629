"""TensorFlow Lite models, against its own interpreter (tests/reference/make_tflite.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from deterministic_weights import origin_weight, picture
from test_origins import TOLERANCE, built

from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.checkpoint import describe_checkpoint, read_checkpoint

with np.load(Path(__file__).parent.parent / "reference" / "tflite.npz") as stored:
    ARRAYS = {key: stored[key] for key in stored.files}
META = json.loads(ARRAYS["meta"].tobytes())


def write(case: str, folder: Path) -> Path:
    """The converter's own file, its weights made again by the names of their tensors."""
    data = bytearray(ARRAYS[f"{case}/file"].tobytes())
    for start, dtype, name, shape in META["cases"][case]["weights"]:
        array = origin_weight(name, tuple(shape), "tflite").astype(dtype)
        data[start : start + array.nbytes] = array.tobytes()
    path = folder / "model.tflite"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("case", META["cases"])
def test_network_answers_as_the_interpreter(case: str, tmp_path: Path) -> None:
    description, network = built(write(case, tmp_path), "tflite")
    height, width = META["cases"][case]["size"]
    assert description.input is not None
    assert (description.input.height, description.input.width) == (height, width)
    with torch.inference_mode():
        logits = network(torch.from_numpy(picture(1, height, width)))
    found = {"new_top": logits.sigmoid(), "preprocessed": logits}.get(case, logits.softmax(1)).numpy()
    expected = ARRAYS[f"{case}/answer"]
    found = found[:, 1:] if case == "sequential" else found  # one sigmoid: the second of two classes
    assert np.abs(found - expected).max() <= TOLERANCE * max(np.ptp(expected), expected.max())


def test_what_a_graph_says_is_found(tmp_path: Path) -> None:
    found = {case: describe_checkpoint(write(case, tmp_path), "tflite") for case in META["cases"]}
    widths = {case: one.network.backbone.width_multiplier for case, one in found.items()}
    assert widths == {"own_top": 0.5, "own_top_half": 0.5, "new_top": 1.0, "sequential": 0.35, "preprocessed": 0.75}
    assert {case: one.activation for case, one in found.items()} == dict.fromkeys(found, "softmax") | {
        "new_top": "sigmoid",
        "preprocessed": None,  # it ends in the logits
    }
    assert {case for case, one in found.items() if one.scales_itself} == {"new_top", "preprocessed"}
    assert {one.network.backbone.padding for one in found.values()} == {"tf"}
    for case in ("new_top", "preprocessed"):  # Rescaling becomes MUL and ADD, `preprocess_input` DIV or MUL and SUB
        scaled = found[case].preprocessing
        assert scaled is not None
        assert (*scaled.mean, *scaled.std) == pytest.approx((127.5,) * 6, abs=1e-3)
    assert found["own_top"].preprocessing is None  # Lite keeps nothing of it


def change(data: bytes, **positions: Any) -> bytes:
    changed = bytearray(data)
    changed[positions["at"]] = positions["to"]
    return bytes(changed)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda data: b"", "is not a TensorFlow Lite file"),
        (lambda data: b"PK\x03\x04" + data, "is not a TensorFlow Lite file"),
        (lambda data: data[: len(data) // 2], "or is damaged"),
        (lambda data: data[:4000], "or is damaged"),
        (lambda data: data[:4] + b"TFL3" + bytes(200), "or is damaged"),
        (lambda data: b"\xff\xff\xff\x7f" + data[4:], "or is damaged"),
    ],
)
def test_file_that_is_none_is_refused(tmp_path: Path, make: Any, says: str) -> None:
    path = write("own_top", tmp_path)
    path.write_bytes(make(path.read_bytes()))
    with pytest.raises(CheckpointError, match=says) as caught:
        read_checkpoint(path, "tflite")
    assert str(path) in str(caught.value)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = write("own_top", tmp_path)
    start, dtype, _, _ = META["cases"]["own_top"]["weights"][0]
    data = bytearray(path.read_bytes())
    data[start : start + 4] = np.array([np.nan], dtype).tobytes()
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="not finite"):
        built(path, "tflite")
