"""State dicts as training scripts leave them, and files that only pretend to be some."""

from __future__ import annotations

import argparse
import io
import json
import pickle
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.state_dict import StateDict, read_state_dict

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.num_batches_tracked": torch.tensor(7)}


def prefixed(prefix: str, state: dict[str, torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in (state or STATE).items()}


@pytest.mark.parametrize(
    "saved",
    [
        STATE,
        OrderedDict(STATE),
        {"state_dict": STATE, "epoch": 3, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        {"model": prefixed("module."), "args": argparse.Namespace(lr=0.1, data="/data")},  # torchvision's references
        {"model_state_dict": prefixed("_orig_mod.")},
        {"ema": prefixed("model.")},
        {"ema": 0.999, "model": "mobilenet_v2", "net": STATE},  # a word for something else
        {"model": STATE, "best": np.float64(71.2), "seen": np.int64(3), "half": np.float32(0.5)},
        {"state_dict": prefixed("model.net."), "pytorch-lightning_version": "2.4"},
        # averaged weights come before the others; of them torch counts
        {"state_dict": {"a.weight": torch.zeros(1)}, "state_dict_ema": STATE},
        {"model": {"a.weight": torch.zeros(1)}, "model_ema": {**prefixed("module."), "n_averaged": torch.tensor(9)}},
        # OpenMMLab swaps them when it saves
        {"state_dict": STATE, "ema_state_dict": {"a.weight": torch.zeros(1)}, "meta": {"epoch": 12}},
    ],
)
def test_state_dict_is_found_whatever_it_is_wrapped_in(tmp_path: Path, saved: Any) -> None:
    torch.save(saved, tmp_path / "model.pth")
    tensors = read_state_dict(tmp_path / "model.pth")
    np.testing.assert_array_equal(tensors["a.weight"], np.arange(6, dtype=np.float32).reshape(2, 3), strict=True)
    assert set(tensors) <= {"a.weight", "a.num_batches_tracked", "n_averaged"}


def test_prefix_of_some_names_alone_is_theirs(tmp_path: Path) -> None:
    torch.save({"model.a": torch.ones(1), "head.b": torch.ones(1)}, tmp_path / "model.pth")
    assert set(read_state_dict(tmp_path / "model.pth")) == {"model.a", "head.b"}


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_half_precision_is_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"model{ending}"
    state = {"a": torch.tensor([1.5, -2.0], dtype=torch.bfloat16), "b": torch.tensor([0.25], dtype=torch.float16)}
    save_file(state, path) if ending == ".safetensors" else torch.save(state, path)
    tensors = read_state_dict(path)
    assert tensors["a"].tolist() == [1.5, -2.0]
    assert tensors["b"].tolist() == [0.25]


def saved(value: object) -> bytes:
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


def compressed(data: bytes) -> bytes:
    """The same archive, deflated: a gigabyte of zeros would be a megabyte."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return out.getvalue()


def laughs() -> bytes:
    """A pickle of ten lists of ten lists of ten..., every level one object: a billion to whoever walks through."""
    value: Any = "lol"
    for _ in range(9):
        value = [value] * 10
    return saved({"state_dict": {"a": value}})


def quantized() -> bytes:
    with warnings.catch_warnings(action="ignore"):  # torch will not make such tensors much longer; files have them
        return saved({"a": torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8)})


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    ("ending", "data", "says"),
    [
        (".pth", compressed(saved(STATE)), "is damaged"),
        (".pth", laughs(), "'a' is no tensor"),
        (".pth", saved({"a": torch.zeros(1).expand(10**6, 10**6)}), "a claims more numbers than the file holds"),
        (".pth", saved({"a": torch.zeros(3), "epoch": 7}), "'epoch' is no tensor"),
        (".pth", saved({3: torch.zeros(3)}), "a key of type int is no tensor"),
        (".pth", saved({"a" * 10_000: 3}), f"'{'a' * 60}' is no tensor"),
        (".pth", saved({}), "it holds no tensors"),
        (".pth", saved({"a": torch.eye(3).to_sparse()}), "a is sparse"),
        (".pth", quantized(), "'a' is quantized"),
        (".pth", saved([torch.zeros(3)]), "but one list"),
        (".pth", saved(torch.nn.Linear(2, 2)), "it needs torch.nn.modules.linear.Linear"),
        (".pth", pickle.dumps({"a": argparse.ArgumentParser}), "without running code"),
        (".pth", saved(STATE)[:-200], "is damaged"),
        (".safetensors", b"", "not a safetensors file, or is damaged"),
        (".safetensors", saved(STATE), "not a safetensors file, or is damaged"),
        (".safetensors", (2**62).to_bytes(8, "little"), "not a safetensors file, or is damaged"),
        (
            ".safetensors",
            safetensors({"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}),
            "not a safetensors file, or is damaged",
        ),
        (
            ".safetensors",
            safetensors({"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4]}}, bytes(4)),
            "not a safetensors file, or is damaged",
        ),
        (".safetensors", safetensors({"a": {"dtype": "F9", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)), "not a"),
    ],
)
def test_file_that_only_pretends_is_refused_in_a_sentence(tmp_path: Path, ending: str, data: bytes, says: str) -> None:
    path = tmp_path / f"model{ending}"
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert says in message
    assert len(message) < 600
    assert "\n" not in message
    assert caught.value.exit_code == 4


def test_pickle_that_needs_a_class_says_how_to_convert_it(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"torch\.save\(model\.state_dict\(\), FILE\)"):
        read_state_dict(tmp_path / "model.pth")


def eight_bit(per_channel: bool) -> torch.Tensor:
    """A weight as ``torch.ao.quantization.convert`` leaves it, in the way of fbgemm or of qnnpack."""
    with warnings.catch_warnings(action="ignore"):  # torch means to give these tensors up
        if not per_channel:
            return torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.qint8)
        return torch.quantize_per_channel(torch.ones(2, 3), torch.ones(2), torch.zeros(2), 0, torch.qint8)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("is_packed", [True, False])
def test_eight_bits_are_refused_with_what_to_give_instead(tmp_path: Path, per_channel: bool, is_packed: bool) -> None:
    """A linear layer's are packed with its bias, and are all that dynamic quantization makes."""
    weight, path = eight_bit(per_channel), tmp_path / "model.pth"
    name = "fc._packed_params._packed_params" if is_packed else "conv.weight"
    layer = {"fc._packed_params.dtype": torch.qint8, name: (weight, torch.zeros(2)) if is_packed else weight}
    torch.save({"state_dict": {**STATE, "fc.scale": torch.tensor(1.0), **layer}}, path)
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(path)
    assert str(caught.value) == (
        f"{path} is no float checkpoint: {name!r} is quantized, so its weights are already eight-bit; "
        "give the float or QAT checkpoint it was made of."
    )
    assert caught.value.exit_code == 4


def test_eight_bits_beside_the_floats_do_not_matter(tmp_path: Path) -> None:
    """What torchvision's train_quantization.py saves."""
    torch.save({"model": STATE, "eval_model": {"a.weight": eight_bit(True)}, "epoch": 3}, tmp_path / "model.pth")
    assert set(read_state_dict(tmp_path / "model.pth")) == set(STATE)


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    for name in ("nowhere.pth", "nowhere.safetensors"):
        with pytest.raises(CheckpointError, match="nowhere"):
            read_state_dict(tmp_path / name)


def test_tensors_nothing_asked_for_are_told_but_for_counters_and_what_leads_nowhere() -> None:
    names = ("b.weight", "a.weight", "b.bias", "auxiliary.weight", "a.num_batches_tracked", "n_averaged")
    raw = {name: np.full(1, index) for index, name in enumerate(names)}
    origin = StateDict(raw, lambda key: f"{key}.weight", "m.pth")
    assert origin.unused() == ["a.weight", "auxiliary.weight", "b.bias", "b.weight"]
    assert origin.tensor("a").item() == 1
    assert origin.last == "a.weight"
    assert origin.unused() == ["auxiliary.weight", "b.bias", "b.weight"]
    with pytest.raises(CheckpointError, match=r"^m\.pth lacks the tensor c\.weight\.$"):
        origin.tensor("c")
    aside = StateDict(raw, str, "m.pth", leads_nowhere=("auxiliary.", "a."))
    assert aside.unused() == ["b.bias", "b.weight"]
