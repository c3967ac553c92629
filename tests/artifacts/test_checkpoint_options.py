"""What a recipe's ``[checkpoint]`` says reaches the export as the command's options would."""

from __future__ import annotations

import dataclasses

import pytest

from mnv2deploy.artifacts import source
from mnv2deploy.artifacts.recipes import CheckpointOptions, read_recipe
from mnv2deploy.catalog.cards import load_card
from mnv2deploy.errors import ModelError
from mnv2deploy.export.from_checkpoint import Answers, Proposal

ARTIFACTS = '[[artifacts]]\nname = "fp32"\n'


def test_every_key_of_a_checkpoint_is_an_answer(tmp_path, monkeypatch):
    asked = []

    def propose(path, answers, origin):
        asked.append((path, answers, origin))
        return Proposal(load_card("mobilenet-v2"), path, ())

    monkeypatch.setattr(source, "card_from_checkpoint", propose)
    (tmp_path / "mine.pth").write_bytes(b"weights")
    said = {
        "task": "classify",
        "labels": "numbers",
        "preprocessing": "timm",
        "resize": "pad",
        "interpolation": "bicubic",
        "activation": "sigmoid",
    }
    lines = "".join(f'{key} = "{value}"\n' for key, value in said.items())
    text = f'[checkpoint]\npath = "mine.pth"\norigin = "timm"\n{lines}[export]\nsize = "96"\n{ARTIFACTS}'
    (tmp_path / "mine.toml").write_text(text)
    source.find_source(read_recipe(tmp_path / "mine.toml"))
    ((path, answers, origin),) = asked
    assert (path, origin) == (tmp_path / "mine.pth", "timm")
    assert {key: getattr(answers, key) for key in said} == said
    assert str(answers.size) == "96x96"
    fields = {field.name for field in dataclasses.fields(Answers)} - {"size"}
    assert fields == {field.name for field in dataclasses.fields(CheckpointOptions)} - {"path", "origin"}


@pytest.mark.parametrize(("size", "says"), [("20000x20000", "a side has at most 4096"), ("wide", "wide is no size")])
def test_a_size_that_cannot_be_is_refused(size, says, tmp_path):
    (tmp_path / "mine.toml").write_text(f'model = "mobilenet-v2"\n[export]\nsize = "{size}"\n{ARTIFACTS}')
    with pytest.raises(ModelError, match=says):
        source.find_source(read_recipe(tmp_path / "mine.toml"))
