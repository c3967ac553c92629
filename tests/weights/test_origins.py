"""Classifiers of other frameworks, against what those frameworks' own code answers (tests/reference/README.md).

The same weights are made again by their names, written to a file as the origin writes one, read, described, built from
the description, exported and run.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from deterministic_weights import picture
from origin_cases import BATCH, CLASSES, Case, load
from safetensors.numpy import save_file
from torch import nn

from mnv2deploy.networks import build_network
from mnv2deploy.weights.checkpoint import convert, describe_checkpoint, read_checkpoint
from mnv2deploy.weights.description import Description

REFERENCE = Path(__file__).parent.parent / "reference"
TOLERANCE = 1e-4  # of the answers' range
CASES = {
    (origin, case.name): case
    for origin in ("torchvision", "timm", "huggingface", "mmpretrain", "keras")
    for case in load(REFERENCE / f"{origin}.npz")
}


def write(origin: str, case: Case, folder: Path) -> Path:
    """The checkpoint as a person has it: of timm and transformers as safetensors, of other torch users pickled."""
    if origin == "keras":
        return write_keras(case, folder)
    weights = case.weights("torch")
    for name, content in case.config.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    if origin in ("timm", "huggingface"):
        path = folder / "model.safetensors"
        save_file(weights, path)
    else:
        path = folder / "model.pth"
        tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
        torch.save({"state_dict": tensors, "meta": {"epoch": 3}} if origin == "mmpretrain" else tensors, path)
    return path


def write_keras(case: Case, folder: Path) -> Path:
    """A file with the very tensors, at the very places, that Keras has in its own."""
    path = folder / f"model.{case.name.partition('.')[2]}"
    opened = io.BytesIO()
    with h5py.File(opened, "w") as file:
        for name, array in case.weights("keras").items():
            file[name] = array
        if case.config and path.suffix == ".h5":
            file.attrs["model_config"] = json.dumps(case.config["model"])
    if path.suffix == ".h5":
        path.write_bytes(opened.getvalue())
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(case.config["model"]))
            archive.writestr("model.weights.h5", opened.getvalue())
    return path


def built(path: Path, origin: str) -> tuple[Description, nn.Module]:
    """The network the description says, filled from the file."""
    description = describe_checkpoint(path, origin)
    network = build_network(description.network)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    epsilons = {name: module.eps for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    state = convert(read_checkpoint(path, origin), origin, shapes, epsilons, str(path))
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in state.items()})
    return description, network


def assert_alike(found: Any, expected: Any, what: object) -> None:
    if expected.shape[1] == 1:  # of Keras's single unit we make two columns, 0 and its own
        expected = np.concatenate([np.zeros_like(expected), expected], axis=1)
    assert expected.std() > 0.5, what  # the comparison says something
    assert found.shape == expected.shape, what
    assert np.abs(found - expected).max() <= TOLERANCE * np.ptp(expected), what


@pytest.mark.parametrize(("origin", "name"), CASES)
def test_network_answers_as_its_origins_own(origin: str, name: str, tmp_path: Path) -> None:
    case = CASES[origin, name]
    description, network = built(write(origin, case, tmp_path), origin)
    assert description.network.columns == (2 if name.startswith("sequential") else CLASSES)
    assert case.answers
    for (height, width), expected in case.answers.items():
        x = torch.from_numpy(picture(BATCH, height, width)[: len(expected)])
        with torch.inference_mode():
            assert_alike(network(x).numpy(), expected, (height, width))
