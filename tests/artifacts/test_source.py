"""What a recipe builds from, and that whatever would change the artifact changes its identity."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from origin_cases import load

from mnv2deploy.artifacts.recipes import CheckpointOptions, read_recipe
from mnv2deploy.artifacts.source import find_source
from mnv2deploy.errors import CheckpointError, ModelError, UsageError

REFERENCE = Path(__file__).parents[1] / "reference"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With a torchvision checkpoint and names for its classes."""
    made = tmp_path_factory.mktemp("recipes")
    case = next(case for case in load(REFERENCE / "torchvision.npz"))
    weights = {name: torch.from_numpy(array) for name, array in case.weights("torch").items()}
    torch.save(weights, made / "mine.pth")
    columns = len(weights["classifier.1.bias"])
    (made / "labels.txt").write_text("\n".join(f"class {index}" for index in range(columns)), encoding="utf-8")
    (made / "few.txt").write_text("only\ntwo\n", encoding="utf-8")
    return made


def source(folder: Path, text: str, name: str = "small.toml"):
    (folder / name).write_text(text, encoding="utf-8")
    return find_source(read_recipe(folder / name))


CHECKPOINT = """\
[export]
size = "64x64"
[checkpoint]
path = "mine.pth"
labels = "labels.txt"
preprocessing = "torchvision"
"""


def test_a_checkpoint_is_found_beside_the_recipe_and_recognised(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = source(folder, CHECKPOINT)
    assert found.weights == folder / "mine.pth"
    assert (found.card.input.height, found.card.input.width) == (64, 64)
    assert found.card.labels[0].name == "class 0"
    assert [name for name, _ in found.identity["weights"]] == ["mine.pth"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('size = "64x64"', 'size = "96x64"'),
        ('preprocessing = "torchvision"', 'preprocessing = "timm"'),
        ('labels = "labels.txt"', 'labels = "numbers"'),
        ('preprocessing = "torchvision"', 'preprocessing = "torchvision"\ninterpolation = "bilinear"'),
    ],
)
def test_every_answer_of_the_owner_is_part_of_the_identity(folder, old, new):
    assert old in CHECKPOINT
    first, same = (source(folder, CHECKPOINT).identity for _ in range(2))
    other = source(folder, CHECKPOINT.replace(old, new), "other.toml").identity
    assert first == same
    assert first != other


def test_other_weights_are_another_identity(folder, tmp_path):
    (tmp_path / "labels.txt").write_bytes((folder / "labels.txt").read_bytes())
    weights = torch.load(folder / "mine.pth", weights_only=True)
    torch.save({name: 2 * tensor for name, tensor in weights.items()}, tmp_path / "mine.pth")
    assert source(tmp_path, CHECKPOINT).identity["weights"] != source(folder, CHECKPOINT).identity["weights"]


def test_a_card_is_known_by_all_that_stands_in_it_and_the_hashes_of_its_weights(folder):
    found = source(folder, 'model = "ssdlite-coco"\n')
    assert found.weights is None
    assert found.identity["card"]["network"]["architecture"] == "ssdlite"
    assert "download" not in found.identity["card"]
    assert found.identity["addresses"] == [source.url for source in found.card.download.sources] != []
    assert [name for name, _ in found.identity["weights"]] == [
        file.name for file in found.card.download.sources[0].files
    ]
    assert all(len(digest) == 64 for _, digest in found.identity["weights"])


def test_weights_of_ones_own_fill_a_card(folder):
    found = source(folder, 'model = "mobilenet-v2"\nweights = "mine.pth"\n')
    assert found.weights == folder / "mine.pth"
    assert [name for name, _ in found.identity["weights"]] == ["mine.pth"]


def test_every_option_of_a_checkpoint_is_handed_on_with_paths_from_the_recipe(folder, monkeypatch):
    """Every field has a value of its own, so that none can be another's, or forgotten."""
    options = CheckpointOptions(
        path="mine.pth",
        origin="timm",
        task="segment",
        head="fcn",
        labels="labels.txt",
        preprocessing="few.txt",
        resize="pad",
        interpolation="bicubic",
        output_stride=8,
        activation="sigmoid",
    )
    asked: list[Any] = []

    def propose(*arguments):
        asked.extend(arguments)
        raise CheckpointError("enough")

    monkeypatch.setattr("mnv2deploy.artifacts.source.card_from_checkpoint", propose)
    (folder / "all.toml").write_text('[export]\nsize = "64x96"\n[checkpoint]\npath = "mine.pth"\n', encoding="utf-8")
    with pytest.raises(CheckpointError, match="enough"):
        find_source(dataclasses.replace(read_recipe(folder / "all.toml"), checkpoint=options))
    path, answers, origin = asked
    assert (path, origin) == (folder / "mine.pth", "timm")
    wanted = {"labels": str(folder / "labels.txt"), "preprocessing": str(folder / "few.txt")}
    for field in dataclasses.fields(CheckpointOptions):
        if field.name not in ("path", "origin"):
            assert getattr(answers, field.name) == wanted.get(field.name, getattr(options, field.name)), field.name
    assert (answers.size.height, answers.size.width) == (64, 96)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (CHECKPOINT.replace("mine.pth", "none.pth"), UsageError, "none.pth: there is no such file"),
        (CHECKPOINT.replace("labels.txt", "few.txt"), CheckpointError, "names 2 classes"),
        (CHECKPOINT.replace('labels = "labels.txt"\n', ""), UsageError, "--labels"),
        (CHECKPOINT.replace("64x64", "wide"), ModelError, "wide is no size"),
        ('model = "mobilenet-v9"\n', UsageError, "mobilenet-v9"),
        ('model = "mobilenet-v2"\n[export]\nsize = "64x64"\n', UsageError, "can be exported at 224x224"),
    ],
)
def test_what_cannot_be_built_is_refused_before_anything_is_made(folder, text, error, message):
    with pytest.raises(error, match=message):
        source(folder, text)
