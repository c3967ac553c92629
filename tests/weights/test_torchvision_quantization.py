"""Float checkpoints of torchvision.models.quantization, against its own networks (tests/reference/README.md).

In onnxruntime, from the command line on: ``tests/cli/test_export_from.py``.
"""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from deterministic_weights import picture
from origin_cases import BATCH, load
from own_cards import own_card
from test_origins import assert_alike, built

from mnv2deploy.errors import CheckpointError
from mnv2deploy.networks import load_network
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.checkpoint import check_card, describe_checkpoint, describe_tensors, read_checkpoint
from mnv2deploy.weights.description import Description
from mnv2deploy.weights.recognition import recognise
from mnv2deploy.weights.torchvision import folded_name, fused_name, naming, prepared_name, torchvision_name

CASES = {case.name: case for case in load(Path(__file__).parent.parent / "reference" / "torchvision_quantization.npz")}
# Without observers an unfused network is the float network by its names, so its activations would be ReLU6.
SHOWN = [name for name in CASES if name != "unfused"]
WIDTHS = dict.fromkeys(CASES, 0.35) | {"folded_observed": 1.4, "prepared": 0.75}
FOLDED = [name for name in CASES if name.startswith("folded")]


def raw(name: str) -> Tensors:
    """With observers that have seen nothing yet, as torch makes them."""
    made = CASES[name].weights("torch")
    nothing = {"max_val": -np.inf, "min_val": np.inf}
    return {key: np.full_like(made[key], nothing.get(key.rpartition(".")[2], made[key])) for key in made}


def write(name: str, folder: Path) -> Path:
    """What ``torch.save`` writes; of the network in training what torchvision's train_quantization.py does."""
    saved: dict[str, Any] = {key: torch.from_numpy(array) for key, array in raw(name).items()}
    if name == "prepared":
        with warnings.catch_warnings(action="ignore"):
            converted = {"features.0.0.weight": torch.quantize_per_tensor(torch.zeros(1), 1.0, 0, torch.qint8)}
        saved = {"model": saved, "eval_model": converted, "epoch": 3, "args": argparse.Namespace(lr=0.1)}
    torch.save(saved, folder / f"{name}.pth")
    return folder / f"{name}.pth"


def weights_of(name: str) -> set[str]:
    """By what a person sees in the list of names."""
    strange = ("activation_post_process", "fake_quant")
    return {key for key in CASES[name].tensors if not any(word in key for word in strange)}


def described(tensors: Tensors) -> Description:
    return describe_tensors(tensors, Path("m.pth"), "torchvision")


@pytest.mark.parametrize("name", SHOWN)
def test_network_answers_as_torchvisions(name: str, tmp_path: Path) -> None:
    description, network = built(write(name, tmp_path), "torchvision")
    assert description.network.backbone.width_multiplier == WIDTHS[name]
    assert description.network.backbone.activation == ("relu6" if name.startswith("relu6") else "relu")
    assert set(CASES[name].answers) == {(64, 64), (75, 102)}
    for (height, width), expected in CASES[name].answers.items():
        with torch.inference_mode():
            found = network(torch.from_numpy(picture(BATCH, height, width))).numpy()
        assert_alike(found, expected, (height, width))


@pytest.mark.parametrize("name", CASES)
def test_origin_is_recognised(name: str, tmp_path: Path) -> None:
    assert recognise(write(name, tmp_path)).origin == "torchvision"


@pytest.mark.parametrize(
    ("name_of", "names"),
    [
        (
            fused_name,
            {
                "backbone.stem.conv.weight": "features.0.0.0.weight",
                "backbone.blocks.0.depthwise.bn.running_var": "features.1.conv.0.0.1.running_var",
                "backbone.blocks.0.project.conv.weight": "features.1.conv.1.0.weight",
                "backbone.blocks.3.project.bn.bias": "features.4.conv.2.1.bias",
                "classifier.bias": "classifier.1.bias",
            },
        ),
        (
            prepared_name,
            {
                "backbone.stem.conv.weight": "features.0.0.weight",
                "backbone.blocks.0.depthwise.bn.running_var": "features.1.conv.0.0.bn.running_var",
                "backbone.blocks.0.project.conv.weight": "features.1.conv.1.weight",
                "backbone.blocks.3.project.bn.bias": "features.4.conv.2.bn.bias",
                "classifier.weight": "classifier.1.weight",
            },
        ),
        (
            folded_name,
            {
                "backbone.stem.conv.weight": "features.0.0.0.weight",
                "backbone.blocks.0.depthwise.bn.bias": "features.1.conv.0.0.0.bias",
                "backbone.blocks.0.project.conv.weight": "features.1.conv.1.weight",
                "backbone.blocks.3.project.bn.bias": "features.4.conv.2.bias",
                "classifier.weight": "classifier.1.weight",
            },
        ),
    ],
)
def test_names_are_torchvisions(name_of: Callable[[str], str], names: dict[str, str]) -> None:
    assert {key: name_of(key) for key in names} == names
    with pytest.raises(CheckpointError, match=r"head\.pool\.conv\.weight has no counterpart"):
        name_of("head.pool.conv.weight")


@pytest.mark.parametrize("name", CASES)
def test_every_value_is_in_its_place_once(name: str, tmp_path: Path) -> None:
    tensors, weights = raw(name), weights_of(name)
    _, network = built(write(name, tmp_path), "torchvision")
    name_of, used = naming(weights), set()
    for key, tensor in network.state_dict().items():
        if key.endswith(("num_batches_tracked", "bn.weight", "running_mean", "running_var")) and name in FOLDED:
            continue
        if not key.endswith("num_batches_tracked"):
            used.add(name_of(key))
            np.testing.assert_array_equal(tensor.numpy(), tensors[name_of(key)], strict=True)
    assert used == weights
    assert len(weights) == (106 if name in FOLDED else 262)


def test_plain_names_are_the_float_networks_and_a_card_may_say_otherwise(tmp_path: Path) -> None:
    path = write("unfused", tmp_path)
    description = describe_checkpoint(path, "torchvision")
    assert description.network.backbone.activation == "relu6"
    tensors = read_checkpoint(path, "torchvision")
    card = own_card(tmp_path, "torchvision", description, (64, 64), list("abcdefg"), activation='"relu"')
    check_card(card, tensors, path)
    network = load_network(card, tensors, str(path))
    with torch.inference_mode():
        found = network(torch.from_numpy(picture(BATCH, 64, 64))).numpy()
    assert_alike(found, CASES["unfused"].answers[64, 64], "relu")


@pytest.mark.parametrize("name", ["folded_observed", "prepared"])
def test_fused_layers_are_known_without_their_observers(name: str) -> None:
    weights = {key: array for key, array in raw(name).items() if key in weights_of(name)}
    assert len(weights) < len(raw(name))
    assert described(weights) == described(raw(name))


def test_activation_beside_a_layer_fused_without_it_is_not_relu() -> None:
    """A person's own ``fuse_modules`` of convolution and batch norm, which ReLU6 does not stop."""
    of_its_own = {"features.0.2.activation_post_process.scale": np.ones(1, np.float32)}
    assert described(raw("prepared") | of_its_own).network.backbone.activation == "relu6"


@pytest.mark.parametrize("name", SHOWN)
def test_card_of_the_other_activation_is_refused(name: str, tmp_path: Path) -> None:
    path = write(name, tmp_path)
    tensors, description = read_checkpoint(path, "torchvision"), describe_checkpoint(path, "torchvision")
    check_card(own_card(tmp_path, "torchvision", description, (64, 64), list("abcdefg")), tensors, path)
    found, other = ("relu6", "relu") if name.startswith("relu6") else ("relu", "relu6")
    card = own_card(tmp_path, "torchvision", description, (64, 64), list("abcdefg"), activation=f'"{other}"')
    with pytest.raises(CheckpointError, match=f"has backbone.activation = {found}, but the card mine says {other}"):
        check_card(card, tensors, path)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("folded", "features.5.conv.0.0.0.bias"),
        ("folded", "features.5.conv.2.weight"),
        ("fused", "features.18.0.1.running_var"),
        ("prepared", "features.2.conv.2.bn.weight"),
    ],
)
def test_what_is_missing_is_named_as_the_file_would(name: str, missing: str) -> None:
    without = {key: array for key, array in raw(name).items() if key != missing}
    with pytest.raises(CheckpointError, match=f"m\\.pth lacks {re.escape(missing)}[.,]"):
        described(without)


@pytest.mark.parametrize(
    "name",
    [
        "activation_post_process_0.scale",  # graph mode, which leaves ReLU6 where it is
        "features.0.0.bias",
        "features.0.0.bn.gamma",
        "quantizer.scale",
    ],
)
def test_what_is_no_observer_has_no_place(name: str) -> None:
    for case in CASES:
        with pytest.raises(CheckpointError, match=f"m\\.pth has tensors the network has no place for: {name}\\."):
            described(raw(case) | {name: np.ones(1, np.float32)})


def test_two_layouts_mixed_are_refused() -> None:
    half = {key: array for key, array in raw("fused").items() if not key.startswith("features.5.")}
    other = {key: array for key, array in raw("unfused").items() if key.startswith("features.5.")}
    with pytest.raises(CheckpointError, match=r"m\.pth lacks features\.5\.conv\.0\.0\.0\.weight"):
        described(half | other)


def test_float_names_are_a_case_of_their_own() -> None:
    assert naming(CASES["unfused"].tensors) is torchvision_name
    assert naming([]) is torchvision_name
