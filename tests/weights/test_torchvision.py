"""Torchvision's classifier: every tensor has its place, and a file that is not one is refused without running it."""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mnv2deploy.catalog.cards import load_card
from mnv2deploy.errors import CheckpointError, UsageError
from mnv2deploy.networks import build_network, load_network
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.checkpoint import convert, read_checkpoint
from mnv2deploy.weights.fetch import Fetched
from mnv2deploy.weights.state_dict import read_state_dict
from mnv2deploy.weights.torchvision import torchvision_name

CARD = load_card("mobilenet-v2")
NETWORK = build_network(CARD.network)
SHAPES = {name: tuple(tensor.shape) for name, tensor in NETWORK.state_dict().items()}
KEYS = [key for key in SHAPES if not key.endswith("num_batches_tracked")]


@pytest.fixture(scope="session", autouse=True)
def cache() -> Path:
    """The run's cache (``tests/conftest.py``), not the empty one that a test of fetching gets."""
    return Path(__file__).parent.parent.parent / "build" / "cache"


@pytest.fixture(scope="module")
def raw(classifier_weights: Fetched) -> Tensors:
    return read_state_dict(classifier_weights.main)


def converted(raw: Tensors, **changes: np.ndarray | None) -> Tensors:
    """With tensors replaced, added, or removed where None is given."""
    changed = {name: array for name, array in {**raw, **changes}.items() if array is not None}
    return convert(changed, "torchvision", SHAPES, {}, "model.pth")


def test_names_are_a_bijection_onto_the_files(raw: Tensors) -> None:
    assert len(raw) == 314
    counters = [name for name in raw if name.endswith("num_batches_tracked")]
    names = [torchvision_name(key) for key in KEYS]
    assert len(names) == len(set(names)) == 314 - len(counters) == 262
    assert set(names) == set(raw) - set(counters)
    assert all(SHAPES[key] == raw[name].shape for key, name in zip(KEYS, names, strict=True))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("backbone.stem.conv.weight", "features.0.0.weight"),
        ("backbone.stem.bn.running_var", "features.0.1.running_var"),
        ("backbone.blocks.0.depthwise.conv.weight", "features.1.conv.0.0.weight"),
        ("backbone.blocks.0.project.conv.weight", "features.1.conv.1.weight"),
        ("backbone.blocks.0.project.bn.bias", "features.1.conv.2.bias"),
        ("backbone.blocks.3.expand.bn.bias", "features.4.conv.0.1.bias"),
        ("backbone.blocks.16.depthwise.bn.running_mean", "features.17.conv.1.1.running_mean"),
        ("backbone.blocks.16.project.bn.weight", "features.17.conv.3.weight"),
        ("backbone.last.conv.weight", "features.18.0.weight"),
        ("classifier.bias", "classifier.1.bias"),
    ],
)
def test_names_are_torchvisions(key: str, name: str) -> None:
    assert torchvision_name(key) == name


@pytest.mark.parametrize(
    "key", ["head.pool.conv.weight", "backbone.blocks.1.squeeze.conv.weight", "", "Classifier.bias"]
)
def test_key_torchvision_does_not_have_is_refused_by_name(key: str) -> None:
    with pytest.raises(CheckpointError, match=f"^{key} has no counterpart in a torchvision checkpoint"):
        torchvision_name(key)


def test_every_value_of_the_file_is_in_its_place(raw: Tensors) -> None:
    state = converted(raw)
    assert set(state) == set(SHAPES)
    for key in KEYS:
        np.testing.assert_array_equal(state[key], raw[torchvision_name(key)], strict=True)


def test_the_files_counters_of_batches_are_not_needed(raw: Tensors) -> None:
    without = {name: array for name, array in raw.items() if not name.endswith("num_batches_tracked")}
    state = convert(without, "torchvision", SHAPES, {}, "model.pth")
    assert all(np.array_equal(array, state[key]) for key, array in converted(raw).items())


def test_network_with_these_weights_knows_a_cat(raw: Tensors, photos: dict[str, Path]) -> None:
    """From outside this code: the weights stand where they compute what they were trained for."""
    network = load_network(CARD, raw, "model.pth")
    picture = cv2.imread(str(photos["chelsea.png"]), cv2.IMREAD_COLOR_RGB)[40:264, 100:324] / 255
    x = (picture - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    with torch.inference_mode():
        logits = network(torch.from_numpy(x.transpose(2, 0, 1)[None].astype(np.float32)))[0]
    assert set(logits.topk(3).indices.tolist()) <= {281, 282, 283, 284, 285}
    assert logits.softmax(0)[281:286].sum() > 0.8


def test_whichever_tensor_is_missing_is_named(raw: Tensors) -> None:
    for name in map(torchvision_name, KEYS):
        with pytest.raises(CheckpointError, match=f"model.pth lacks the tensor {re.escape(name)}\\.$") as caught:
            converted(raw, **{name: None})
        assert caught.value.exit_code == 4


def test_whichever_tensor_is_misshapen_is_named_with_both_shapes(raw: Tensors) -> None:
    for key in KEYS:
        name = torchvision_name(key)
        for wrong in (raw[name][:-1], raw[name][None], raw[name].ravel()[:0]):
            says = f"{name} becomes {key} with shape {wrong.shape}, but the network needs {SHAPES[key]}"
            with pytest.raises(CheckpointError, match=re.escape(says)):
                converted(raw, **{name: wrong})


def test_kernel_of_the_same_size_but_another_shape_is_refused(raw: Tensors) -> None:
    name = "features.18.0.weight"
    with pytest.raises(CheckpointError, match=re.escape(name)):
        converted(raw, **{name: raw[name].transpose(1, 0, 2, 3)})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_whichever_tensor_is_not_finite_is_named(raw: Tensors, value: float) -> None:
    for name in map(torchvision_name, KEYS[:: 1 if np.isnan(value) else 20]):
        damaged = raw[name].copy()
        damaged.flat[-1] = value
        with pytest.raises(CheckpointError, match=f"{re.escape(name)} holds values that are not finite"):
            converted(raw, **{name: damaged})


@pytest.mark.parametrize(
    "name", ["features.19.0.weight", "features.1.conv.3.weight", "classifier.0.weight", "optimizer"]
)
def test_tensor_without_a_place_is_named(raw: Tensors, name: str) -> None:
    with pytest.raises(CheckpointError, match=f"no place for: {re.escape(name)}\\."):
        converted(raw, **{name: np.zeros(3, np.float32)})


def test_half_precision_is_widened(raw: Tensors) -> None:
    state = converted(raw, **{"classifier.1.bias": raw["classifier.1.bias"].astype(np.float16)})
    assert state["classifier.bias"].dtype == np.float32
    np.testing.assert_allclose(state["classifier.bias"], raw["classifier.1.bias"], atol=1e-3)


class Attack:
    """A pickle that makes a file when it is read carelessly."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.made,)


def attack_in_a_zip(made: Path) -> bytes:
    """The same inside a file that is otherwise torch's own."""
    out = io.BytesIO()
    torch.save({"features.0.0.weight": torch.zeros(1), "x": Attack(made)}, out)
    return out.getvalue()


@pytest.mark.parametrize("make", [lambda made: pickle.dumps(Attack(made)), attack_in_a_zip], ids=["plain", "zip"])
def test_code_in_a_file_is_not_run(tmp_path: Path, make: Any) -> None:
    made, path = tmp_path / "made", tmp_path / "evil.pth"
    path.write_bytes(make(made))
    with pytest.raises(CheckpointError, match="evil.pth is not a torch state dict .* without running code") as caught:
        read_checkpoint(path, "torchvision")
    assert caught.value.exit_code == 4
    assert not made.exists()
    with contextlib.suppress(RuntimeError):
        torch.load(path, weights_only=False)  # it does work on who is careless
    assert made.exists()


def zip_of(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, data)
    return out.getvalue()


def saved(value: object) -> bytes:
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda whole: b"", id="empty"),
        pytest.param(lambda whole: whole[: len(whole) // 2], id="truncated"),
        pytest.param(lambda whole: whole[:-1000], id="end cut off"),
        pytest.param(lambda whole: b"weights, honestly\n" * 100, id="text"),
        pytest.param(lambda whole: b"{}", id="json"),
        pytest.param(lambda whole: zip_of("a.txt", b"hello"), id="another zip"),
        pytest.param(lambda whole: zip_of("archive/data.pkl", b"hello"), id="a zip nearly torch's"),
        pytest.param(lambda whole: saved(torch.nn.Sequential(torch.nn.Linear(2, 2))), id="a whole module"),
        pytest.param(lambda whole: saved(torch.zeros(3)), id="one tensor"),
        pytest.param(lambda whole: saved([torch.zeros(3)]), id="a list"),
        pytest.param(lambda whole: saved({"weights": {"a": torch.zeros(3)}}), id="nested"),
        pytest.param(lambda whole: saved({"a": torch.zeros(3), "epoch": 7}), id="a number beside"),
        pytest.param(lambda whole: saved({"a": torch.eye(3).to_sparse()}), id="sparse"),
        pytest.param(lambda whole: saved(None), id="nothing"),
    ],
)
def test_file_that_is_no_state_dict_is_refused(tmp_path: Path, classifier_weights: Fetched, make: Any) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(make(classifier_weights.main.read_bytes()))
    with pytest.raises(CheckpointError, match=r"model\.pth is not a torch state dict") as caught:
        read_checkpoint(path, "torchvision")
    assert caught.value.exit_code == 4


def test_missing_file_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        read_checkpoint(tmp_path / "nowhere.pth", "torchvision")


@pytest.mark.parametrize("is_zip", [True, False])
def test_state_dict_is_read_however_torch_wrote_it(tmp_path: Path, is_zip: bool) -> None:
    state = OrderedDict(a=torch.arange(6.0).reshape(2, 3), b=torch.nn.Parameter(torch.ones(2)))
    torch.save(state, tmp_path / "model.pth", _use_new_zipfile_serialization=is_zip)
    tensors = read_state_dict(tmp_path / "model.pth")
    assert list(tensors) == ["a", "b"]
    np.testing.assert_array_equal(tensors["a"], np.arange(6, dtype=np.float32).reshape(2, 3), strict=True)
    np.testing.assert_array_equal(tensors["b"], np.ones(2, np.float32), strict=True)
