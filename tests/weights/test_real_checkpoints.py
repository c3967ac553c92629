"""Checkpoints strangers published, from the registry to answers on real pictures: one card and one command each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from deterministic_weights import picture
from test_origins import TOLERANCE, built
from test_tflite import ARRAYS, META

import mnv2deploy
from mnv2deploy.catalog.cards import load_card
from mnv2deploy.catalog.photos import load_photos
from mnv2deploy.weights.checkpoint import check_card, describe_checkpoint, read_checkpoint
from mnv2deploy.weights.fetch import fetch

CARDS = Path(__file__).parent / "cards"
pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def weights(cache: Path) -> dict[str, Path]:
    """The checkpoint of each card, downloaded once."""
    names = ("dog-breeds", "document-or-photo", "deeplabv3-050-257")
    return {name: fetch(load_card(str(CARDS / f"{name}.toml")).download).main for name in names}


@pytest.fixture(scope="module")
def pictures(cache: Path) -> dict[str, Path]:
    return dict(fetch(load_photos("imagenet-20")[0]).files)


def exported(cli: Any, name: str, weights: Path, photo: Path, folder: Path) -> Path:
    """With the command a person types."""
    output = folder / f"{name}.onnx"
    done = cli(
        *("export", CARDS / f"{name}.toml", "--weights", weights, "--output", output),
        *("--pictures", photo, "--no-simplify", "--json"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["path"] == str(output)
    return output


def test_dog_breeds_from_keras_know_a_dog(
    cli: Any, weights: dict[str, Path], pictures: dict[str, Path], tmp_path: Path
) -> None:
    dog = pictures["imagenet_00_243.jpg"]  # 243 is ImageNet's bull mastiff
    classify = mnv2deploy.load(exported(cli, "dog-breeds", weights["dog-breeds"], dog, tmp_path))
    best = classify(dog).classes[0]
    assert best.label == "bull_mastiff"
    assert best.score > 0.5


def test_document_classifier_tells_a_page_from_a_photo(
    cli: Any, weights: dict[str, Path], pictures: dict[str, Path], tmp_path: Path
) -> None:
    photo = pictures["imagenet_00_243.jpg"]
    name = "document-or-photo"
    classify = mnv2deploy.load(exported(cli, name, weights[name], photo, tmp_path))
    page = np.full((1100, 850, 3), 255, np.uint8)
    for line in range(40):
        text = "The quick brown fox jumps over the lazy dog, again and again."
        cv2.putText(page, text, (60, 80 + 24 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (20, 20, 20), 1, cv2.LINE_AA)
    assert classify(page).classes[0].label == "document"
    assert classify(photo).classes[0].label == "photo"


def test_cards_agree_with_what_the_files_say(weights: dict[str, Path]) -> None:
    for name, path in weights.items():
        card = load_card(str(CARDS / f"{name}.toml"))
        description = describe_checkpoint(path, card.weights.format)
        assert description.network == card.network, name
        assert description.input in (None, card.input), name
        check_card(card, read_checkpoint(path, card.weights.format), path)


def test_deeplab_answers_as_tensorflow_lite(weights: dict[str, Path]) -> None:
    _, network = built(weights["deeplabv3-050-257"], "tflite")
    with torch.inference_mode():
        logits = network(torch.from_numpy(picture(1, 257, 257))).numpy()
    found = logits[0].reshape(21, -1).T[:: META["every"]]
    expected = ARRAYS["deeplab/logits"]
    assert found.shape == expected.shape == (363, 21)
    assert np.abs(found - expected).max() <= TOLERANCE * np.ptp(expected)


def test_deeplab_sees_a_person(cli: Any, weights: dict[str, Path], photos: dict[str, Path], tmp_path: Path) -> None:
    name, photo = "deeplabv3-050-257", photos["astronaut.png"]
    segment = mnv2deploy.load(exported(cli, name, weights[name], photo, tmp_path))
    shares = {one.label: one.share for one in segment(photo).segments}
    assert shares["person"] > 0.2
    assert sum(share for label, share in shares.items() if label not in ("background", "person")) < 0.1
