"""A checkpoint of mmsegmentation to a mask: export with --weights and --size, then segment."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import mnv2deploy
from mnv2deploy.catalog.cards import card_path, load_card
from mnv2deploy.export.artifact import export
from mnv2deploy.networks import build_network
from mnv2deploy.weights.mmsegmentation import mmsegmentation_name

HEADS = ("fcn", "pspnet", "deeplabv3", "deeplabv3plus")


def narrow_card(folder: Path, head: str) -> Path:
    """The catalog's, but for a narrow network and small inputs."""
    text = card_path(f"{head}-cityscapes").read_text(encoding="utf-8")
    for old, new in (
        ("width_multiplier = 1.0", "width_multiplier = 0.1"),
        ("\nchannels = 512", "\nchannels = 8"),
        ("height = 1024\nwidth = 2048", "height = 64\nwidth = 96"),
        ("height = 512\nwidth = 1024", "height = 64\nwidth = 128"),
    ):
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{head}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def checkpoint(card: Path, folder: Path) -> Path:
    """As mmsegmentation saves one, with its second head."""
    torch.manual_seed(0)
    state = build_network(load_card(str(card)).network).state_dict()
    tensors = {mmsegmentation_name(key): tensor for key, tensor in state.items()}
    tensors["auxiliary_head.conv_seg.bias"] = torch.zeros(19)
    path = folder / "checkpoint.pth"
    torch.save({"meta": {"mmseg_version": "1.2.2"}, "state_dict": tensors}, path)
    return path


@pytest.mark.parametrize("head", HEADS)
def test_checkpoint_becomes_masks(tmp_path: Path, photos: dict[str, Path], head: str) -> None:
    path, output, photo = narrow_card(tmp_path, head), tmp_path / "narrow.onnx", photos["coffee.png"]
    card = load_card(str(path))
    exported = export(card, output, simplified=False, weights=checkpoint(path, tmp_path), pictures=[photo])
    assert max(entry.relative_error for entry in exported.parity) < 1e-4
    segment = mnv2deploy.load(output)
    contract = segment.contract
    assert (contract.input.height, contract.input.width) == (64, 128)
    assert contract.decoding.align_corners is False
    assert contract.preprocessing.resize == "pad"
    result = segment(photo)
    assert result.mask.shape == (result.height, result.width)
    assert {part.label for part in result.segments} <= {label.name for label in load_card("fcn-cityscapes").labels}
    assert all(part.colour is not None for part in result.segments)


def test_one_command_exports_it_at_another_size(tmp_path: Path, photos: dict[str, Path], cli) -> None:
    card, output = narrow_card(tmp_path, "pspnet"), tmp_path / "narrow.onnx"
    options = ["--weights", checkpoint(card, tmp_path), "--size", "64x96", "--pictures", photos["coffee.png"]]
    done = cli("export", card, *options, "-o", output, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["simplified"]
    contract = mnv2deploy.load(output).contract
    assert (contract.input.height, contract.input.width) == (64, 96)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["fcn-cityscapes"],
            2,
            "The weights of fcn-cityscapes have to be fetched by hand: "
            "https://download.openmmlab.com/mmsegmentation/v0.5/mobilenet_v2/mobilenet-v2-d8_fcn_",
        ),
        (["fcn-cityscapes", "--offline"], 2, "; then run `mnv2deploy export fcn-cityscapes --weights FILE`"),
        (["fcn-cityscapes", "--size", "512x512"], 2, "can be exported at 512x1024 or 1024x2048, not at 512x512"),
        (["fcn-cityscapes", "--size", "1024x"], 2, "--size 1024x is no size; give height x width, as 512x1024"),
        (["fcn-ade20k", "--size", "0x512"], 2, "--size 0x512 is no size"),
        (["ssdlite-coco", "--size", "320x320"], 2, "ssdlite-coco can be exported at 300x300, not at 320x320"),
    ],
)
def test_what_cannot_be_exported_says_why(tmp_path: Path, cli, arguments: list[str], code: int, message: str) -> None:
    done = cli("export", *arguments, "-o", tmp_path / "never.onnx")
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["pull", "pspnet-ade20k"], ["segment", "x.png", "--model", "pspnet-ade20k"]])
def test_other_commands_say_where_the_file_is_too(cli, command: list[str]) -> None:
    done = cli(*command)
    assert done.returncode == 2
    assert load_card("pspnet-ade20k").weights.official in done.stderr
    assert "--weights FILE" in done.stderr
    assert "Building" not in done.stderr


def test_a_checkpoint_of_another_head_is_refused(tmp_path: Path, cli) -> None:
    card = narrow_card(tmp_path, "fcn")
    weights = checkpoint(narrow_card(tmp_path, "deeplabv3"), tmp_path)
    done = cli("export", card, "--weights", weights, "-o", tmp_path / "never.onnx")
    assert done.returncode == 4
    assert "lacks the tensor decode_head.convs.0.conv.weight" in done.stderr
    assert not (tmp_path / "never.onnx").exists()


def test_inspect_shows_where_the_file_is_and_the_other_sizes(cli) -> None:
    printed = cli("inspect", "deeplabv3-cityscapes").stdout
    assert f"by hand: {load_card('deeplabv3-cityscapes').weights.official}, then mnv2deploy export" in printed
    assert "other inputs   1024x2048" in printed
    assert "18,375,443" in printed
    fields = json.loads(cli("inspect", "deeplabv3-cityscapes", "--json").stdout)
    assert fields["other_inputs"] == [{"height": 1024, "width": 2048}]


def test_gray_beside_a_picture_is_nearly_the_mean() -> None:
    """What mmsegmentation pads with is 0 once normalised."""
    preprocessing = load_card("fcn-ade20k").preprocessing
    normalised = (preprocessing.pad_value - np.array(preprocessing.mean)) / preprocessing.std
    assert np.abs(normalised).max() < 0.2
