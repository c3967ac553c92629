"""Checkpoints of our own: all of a network is in the file, and a file that was changed is not taken for what it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, load_file, save_file

from mnv2deploy.catalog.cards import card_names, load_card
from mnv2deploy.catalog.sources import Download
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.native import WeightsOrigin, native_bytes, native_card, native_origin, recorded_origin

ORIGIN = WeightsOrigin(source="https://example.org/kinds.pth", files=(("kinds.pth", "ab" * 32),), licence="MIT")
CARD = load_card("mobilenet-v2")


def state() -> Tensors:
    """Some tensors, two of them of one shape."""
    random = np.random.default_rng(0)
    shapes = {"classifier.weight": (4, 6), "backbone.stem.bn.weight": (4,), "backbone.stem.bn.bias": (4,)}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "ours.safetensors").write_bytes(native_bytes(CARD, ORIGIN, state()))
    return tmp_path / "ours.safetensors"


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "numpy") as file:
        return file.metadata()


def test_tensors_are_kept_in_float32_whatever_they_were_and_counters_are_not(path: Path) -> None:
    wanted = state()
    for name, array in load_file(path).items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, wanted.pop(name))
    assert not wanted
    # Doubles, in another order and another layout of the memory, of a network that counts its batches.
    other = {name: np.asfortranarray(array.astype(np.float64)) for name, array in reversed(state().items())}
    other["backbone.stem.bn.num_batches_tracked"] = np.array(5)
    assert native_bytes(CARD, ORIGIN, other) == path.read_bytes()


@pytest.mark.parametrize("name", card_names())
def test_the_card_comes_back_whole_but_for_its_downloads(name: str, tmp_path: Path) -> None:
    card = load_card(name)
    (tmp_path / "ours.safetensors").write_bytes(native_bytes(card, ORIGIN, state()))
    weights = dataclasses.replace(card.weights, format="native")
    expected = dataclasses.replace(card, weights=weights, download=Download(name, ()))
    assert native_card(tmp_path / "ours.safetensors") == expected


def test_header_is_what_other_versions_read(path: Path) -> None:
    """A file outlives the program that wrote it: names in the header and what is hashed are not to be changed."""
    header = json.loads(metadata(path)["mnv2deploy"])
    digest = hashlib.sha256()
    for name, shape in (
        ("backbone.stem.bn.bias", b"(4,)"),
        ("backbone.stem.bn.weight", b"(4,)"),
        ("classifier.weight", b"(4, 6)"),
    ):
        digest.update(name.encode() + b" " + shape + b"\n" + state()[name].astype("<f4").tobytes())
    assert header["version"] == 1
    assert header["tensors_sha256"] == digest.hexdigest()
    assert header["origin"] == {"source": ORIGIN.source, "files": [["kinds.pth", "ab" * 32]], "licence": "MIT"}
    assert "download" not in header["card"]
    assert sorted(header) == ["card", "origin", "tensors_sha256", "version"]


def exchanged(tensors: Tensors) -> None:
    weight, bias = "backbone.stem.bn.weight", "backbone.stem.bn.bias"
    tensors[weight], tensors[bias] = tensors[bias], tensors[weight]


def renamed(tensors: Tensors) -> None:
    tensors["classifier.kernel"] = tensors.pop("classifier.weight")


def reshaped(tensors: Tensors) -> None:
    tensors["classifier.weight"] = tensors["classifier.weight"].reshape(6, 4)


def trained(tensors: Tensors) -> None:
    tensors["classifier.weight"][3, 5] = np.nextafter(tensors["classifier.weight"][3, 5], np.float32(9))


def test_weights_are_from_where_they_were_before(path: Path) -> None:
    assert recorded_origin(path, state()) == ORIGIN
    other = {name: np.asfortranarray(array) for name, array in reversed(state().items())}
    assert recorded_origin(path, other) == ORIGIN


@pytest.mark.parametrize("change", [exchanged, renamed, reshaped, trained, dict.popitem])
def test_changed_weights_are_no_longer_from_there(change: Callable[[Tensors], Any], path: Path) -> None:
    tensors = state()
    change(tensors)
    save_file(tensors, path, metadata(path))
    assert recorded_origin(path, load(path.read_bytes())) is None
    assert native_card(path) is not None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda header: header.update(version=9), "another version of mnv2deploy, as version 9 of its header"),
        (lambda header: header.update(version=0), "another version of mnv2deploy, as version 0 of its header"),
        (lambda header: header.pop("version"), r"cannot be understood\.$"),
        (lambda header: header.pop("origin"), "cannot be understood"),
        (lambda header: header.update(more=1), "cannot be understood"),
        (lambda header: header["card"].pop("network"), "cannot be understood"),
        (lambda header: header["card"]["network"].update(columns=3), "has no column in logits of 3"),
        (lambda header: header["card"]["network"]["backbone"].update(width_multiplier="wide"), "cannot be understood"),
    ],
)
def test_header_that_was_changed_is_refused(change: Callable[[Any], object], says: str, path: Path) -> None:
    header = json.loads(metadata(path)["mnv2deploy"])
    change(header)
    save_file(state(), path, {"mnv2deploy": json.dumps(header)})
    for read in (native_card, lambda path: recorded_origin(path, state())):
        with pytest.raises(CheckpointError, match=f"^{path} .*{says}"):
            read(path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 1}', "[" * 100_000])
def test_header_that_is_none_is_refused(text: str, path: Path) -> None:
    save_file(state(), path, {"mnv2deploy": text})
    with pytest.raises(CheckpointError, match=f"^{path} has a header of mnv2deploy's that cannot be understood"):
        native_card(path)


def test_file_of_another_program_is_not_ours(path: Path) -> None:
    for header in (None, {"format": "pt"}):
        save_file(state(), path, header)
        assert native_card(path) is None
        assert recorded_origin(path, state()) is None


def test_file_that_cannot_be_read_is_named(path: Path, tmp_path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=f"^{path} is not a safetensors file, or is damaged"):
        native_card(path)
    with pytest.raises(CheckpointError, match=r"^.*never\.safetensors: .*[Nn]o such file"):
        native_card(tmp_path / "never.safetensors")


def test_tensors_are_found_by_our_own_names(path: Path) -> None:
    origin = native_origin(load_file(path), str(path))
    np.testing.assert_array_equal(origin.tensor("classifier.weight"), state()["classifier.weight"])
    assert origin.unused() == ["backbone.stem.bn.bias", "backbone.stem.bn.weight"]
    with pytest.raises(CheckpointError, match=f"^{path} lacks the tensor classifier.bias"):
        origin.tensor("classifier.bias")
