"""It knows what it sees: top-1 and top-5 on labelled ImageNet pictures, counted by hand from the answers."""

import csv
import json

import numpy as np
import pytest

import mnv2deploy


def test_accuracy_on_imagenet_val_is_the_reference_networks(data, artifacts, cli, tmp_path):
    folder = data / "imagenet" / "val"
    with (folder / "labels.csv").open(newline="") as stream:
        labels = {row["file"]: int(row["class_index"]) for row in csv.DictReader(stream)}
    assert len(labels) == 500
    answers = tmp_path / "answers.jsonl"
    done = cli("evaluate", artifacts["mobilenet-v2"], folder, "--save-predictions", answers, "--json")
    assert done.returncode == 0, done.stderr
    found = {}
    for line in answers.read_text().splitlines():
        answer = json.loads(line)
        found[answer["file"]] = [one["class_id"] for one in answer["classes"]]
    classify = mnv2deploy.load(artifacts["mobilenet-v2"], top=5)
    for file in sorted(labels)[::25]:  # the answers are those anybody gets
        path = folder / "images" / file
        assert found[str(path)] == [one.class_id for one in classify(path).classes]
    right = (
        np.array([found[str(folder / "images" / file)] for file in labels]) == np.array(list(labels.values()))[:, None]
    )
    top_1, top_5 = right[:, 0].mean() * 100, right.any(axis=1).mean() * 100
    # The reference network with PIL's resize reaches 85.0 and 96.6.
    assert top_1 >= 84.8
    assert top_5 >= 96.4
    metrics = json.loads(done.stdout)["models"][0]["metrics"]
    assert [metrics["top_1"] * 100, metrics["top_5"] * 100] == pytest.approx([top_1, top_5])
