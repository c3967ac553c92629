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
import onnxruntime
import pytest
import torch
from deterministic_weights import picture
from origin_cases import BATCH, CLASSES, Case, load
from safetensors.numpy import save_file
from torch import nn

from mnv2deploy.export import graph
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


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("torchvision", "w0.35"),
        ("timm", "mobilenetv2_110d"),
        ("huggingface", "narrow"),
        ("mmpretrain", "w0.5"),
        ("keras", "sequential.keras"),
    ],
)
def test_onnxruntime_answers_as_the_origins_own(origin: str, name: str, tmp_path: Path) -> None:
    """Through the exporter, at the size that is not square and has sides of both parities."""
    case = CASES[origin, name]
    _, network = built(write(origin, case, tmp_path), origin)
    model = graph.trace(network, (3, 75, 102), ["class_logits"], graph.DEFAULT_OPSET)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": picture(BATCH, 75, 102)})
    assert_alike(found, case.answers[75, 102], name)


def test_what_the_tensors_and_files_say_is_found(tmp_path: Path) -> None:
    """Against the numbers the references were made with (their makers name them)."""
    expected = {
        ("torchvision", "w0.35"): (0.35, 1.0, None, None, "torch", 1e-5, 32),
        ("torchvision", "w1.4"): (1.4, 1.0, None, None, "torch", 1e-5, 32),
        ("timm", "mobilenetv2_050"): (0.5, 1.0, None, None, "torch", 1e-5, 32),
        ("timm", "mobilenetv2_110d"): (1.1, 1.2, None, 1280, "torch", 1e-5, 32),
        ("timm", "mobilenetv2_120d"): (1.2, 1.4, 32, 1280, "torch", 1e-5, 32),
        ("mmpretrain", "w1.33"): (1.33, 1.0, None, 1702, "torch", 1e-5, 32),
        ("huggingface", "narrow"): (0.75, 1.0, None, 960, "torch", 1e-3, 32),
        ("huggingface", "dense"): (0.35, 1.0, None, None, "tf", 1e-5, 16),
        ("huggingface", "segmenter"): (0.5, 1.0, None, None, "tf", 1e-3, 8),
        ("keras", "own_top.h5"): (0.5, 1.0, None, None, "tf", 1e-3, 32),
        ("keras", "any_size.weights.h5"): (1.4, 1.0, None, None, "tf", 1e-3, 32),
    }
    for (origin, name), numbers in expected.items():
        found = describe_checkpoint(write(origin, CASES[origin, name], tmp_path), origin).network.backbone
        assert (
            *(found.width_multiplier, found.depth_multiplier, found.stem_channels, found.last_channels),
            *(found.padding, found.batch_norm_eps, found.output_stride),
        ) == numbers, (origin, name)


def test_what_stands_beside_the_tensors_is_found(tmp_path: Path) -> None:
    def described(origin: str, name: str) -> Description:
        return describe_checkpoint(write(origin, CASES[origin, name], tmp_path), origin)

    assert described("huggingface", "classifier").labels == tuple(f"kind {column}" for column in range(CLASSES))
    own, new = described("keras", "own_top.h5"), described("keras", "new_top.keras")
    assert own.input is not None
    assert (own.input.height, own.input.width, own.sides) == (64, 96, 32)
    assert (own.activation, new.activation) == ("softmax", "sigmoid")
    assert (own.scales_itself, new.scales_itself) == (False, True)
    scaled = described("keras", "preprocessed.keras")
    assert scaled.scales_itself
    for one in (own, new, scaled):
        assert one.preprocessing is not None
        assert (*one.preprocessing.mean, *one.preprocessing.std) == pytest.approx((127.5,) * 6)
    assert described("keras", "sequential.h5").sides is None  # padded for the odd sides of 75 x 102
    any_size = described("keras", "any_size.keras")
    assert (any_size.input, any_size.sides) == (None, 32)
    timm = described("timm", "mobilenetv2_110d").preprocessing
    assert timm is not None
    assert (timm.resize, timm.shorter_side, timm.interpolation) == ("centre_crop", 256, "bicubic")
    assert described("torchvision", "w1.0").preprocessing is None  # V1 and V2 differ, and a user's own is anything
