"""It sees where things end: mean intersection over union on labelled pictures, counted by hand from the masks."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mnv2deploy

IGNORED = 255
PEERS = json.loads((Path(__file__).parent / "reference" / "segmentation_metrics.json").read_text())["voc_val"]


def pixels(path):
    with Image.open(path) as opened:
        return np.array(opened)


def digest(masks):
    found = hashlib.sha256()
    for mask in masks:
        found.update(f"{mask.shape} ".encode() + mask.tobytes())
    return found.hexdigest()


def test_mean_iou_on_voc_val_is_the_reference_networks(data, artifacts, cli, tmp_path):
    folder = data / "voc" / "val"
    answers = tmp_path / "answers"
    done = cli("evaluate", artifacts["deeplabv3-voc"], folder, "--save-predictions", answers, "--json", "--per-class")
    assert done.returncode == 0, done.stderr
    truths = {path.stem: pixels(path) for path in sorted((folder / "masks").glob("*.png"))}
    found = {name: pixels(answers / f"{name}.png") for name in truths}
    assert len(truths) == 100
    segment = mnv2deploy.load(artifacts["deeplabv3-voc"])
    for name in list(truths)[::25]:  # the masks are those anybody gets
        np.testing.assert_array_equal(found[name], segment(folder / "images" / f"{name}.jpg").mask)
    # Row: what a pixel is. Column: what it was taken for.
    confusion = np.zeros((21, 21), np.int64)
    for name, truth in truths.items():
        assert found[name].shape == truth.shape
        counted = truth != IGNORED
        assert truth[counted].max() <= 20
        pairs = truth[counted].astype(np.int64) * 21 + found[name][counted]
        confusion += np.bincount(pairs, minlength=21 * 21).reshape(21, 21)
    both, answered, true = np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    assert (true > 0).sum() == 20
    iou = both[true > 0] / (answered + true - both)[true > 0]
    # The reference network reaches 0.600 on these pictures.
    assert iou.mean() >= 0.596
    (model,) = json.loads(done.stdout)["models"]
    # As in mmseg, a class that is answered and nowhere true counts with 0. Here there are no cows, and none is seen.
    counted_classes = (answered + true > 0).sum()
    assert model["metrics"]["mean_iou"] == pytest.approx(iou.sum() / counted_classes)
    assert model["metrics"]["pixel_accuracy"] == pytest.approx(both.sum() / confusion.sum())
    assert model["metrics"]["mean_accuracy"] == pytest.approx((both[true > 0] / true[true > 0]).mean())
    check_against_peers(model, truths.values(), found.values())


def check_against_peers(model, truths, found):
    """To the last digits on the very masks the peers were given; another processor's differ in a few pixels."""
    assert digest(truths) == PEERS["truths_sha256"]
    assert model["metrics"]["pixel_accuracy"] == pytest.approx(PEERS["mmseg"]["pixel_accuracy"], abs=1e-3)
    if digest(found) == PEERS["answers_sha256"]:
        assert model["metrics"] == pytest.approx({name: PEERS["mmseg"][name] for name in model["metrics"]}, abs=1e-9)
        peers = PEERS["torchmetrics"]
        assert {name: model["metrics"][name] for name in peers} == pytest.approx(peers, abs=1e-6)
        iou = [one["iou"] for one in model["per_class"]]
        assert iou == [value if value is None else pytest.approx(value) for value in PEERS["mmseg"]["iou"]]
