"""It sees: average precision on labelled COCO pictures, by pycocotools and by our own evaluation."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import mnv2deploy
from mnv2deploy.evaluation.coco import read_coco


@pytest.fixture(scope="module")
def dataset(data):
    return read_coco(data / "coco" / "val")


@pytest.fixture(scope="module")
def results(dataset, coco_artifact):
    """The detector's answers, in the order of the data set's items."""
    detect = mnv2deploy.load(coco_artifact, **dataset.pipeline_options())
    assert dataset.problems(detect.contract) == []
    return [detect(item.path) for item in dataset.items]


@pytest.fixture(scope="module")
def predictions(dataset, results):
    """The answers in COCO's form, unrounded, without the help of the evaluation."""
    return [
        {
            "image_id": item.truth,
            "category_id": found.class_id,
            "bbox": [found.box[0], found.box[1], found.box[2] - found.box[0], found.box[3] - found.box[1]],
            "score": found.score,
        }
        for item, result in zip(dataset.items, results, strict=True)
        for found in result.detections
    ]


@pytest.fixture(scope="module")
def records(dataset, results):
    return [dataset.record(item, result) for item, result in zip(dataset.items, results, strict=True)]


@pytest.fixture(scope="module")
def stats(dataset, predictions):
    return pycocotools_stats(json.loads(dataset.source.read_text()), predictions)


def pycocotools_stats(truth, predictions):
    """The twelve numbers."""
    with contextlib.redirect_stdout(io.StringIO()):
        table = COCO()
        table.dataset = truth
        table.createIndex()
        evaluation = COCOeval(table, table.loadRes(predictions), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def test_average_precision_on_coco_val_is_the_reference_networks(stats):
    # The reference network with OpenCV's plain bilinear resize reaches 0.377 and 0.546.
    assert stats[0] >= 0.374
    assert stats[1] >= 0.542
    assert stats[0] == pytest.approx(0.377, abs=0.003)


def test_all_numbers_are_those_of_pycocotools_on_real_predictions(dataset, records, stats):
    assert list(dataset.metrics(records).values()) == pytest.approx(stats.tolist(), abs=1e-6)


def test_the_predictions_file_gives_pycocotools_the_same_numbers(dataset, records, tmp_path):
    path = tmp_path / "predictions.json"
    dataset.write_predictions(records, path)
    again = pycocotools_stats(json.loads(dataset.source.read_text()), str(path))
    assert list(dataset.metrics(records).values()) == pytest.approx(again.tolist(), abs=1e-12)


def test_a_resample_is_the_evaluation_of_pictures_really_repeated(dataset, records, predictions):
    weights = np.random.default_rng(0).multinomial(len(records), np.full(len(records), 1 / len(records)))
    truth = json.loads(dataset.source.read_text())
    images, annotations, found = [], [], []
    for item, weight in zip(dataset.items, weights.tolist(), strict=True):
        for _ in range(weight):
            copy = {"image_id": len(images) + 1}
            images.append({"id": copy["image_id"]})
            annotations += [{**one, **copy} for one in truth["annotations"] if one["image_id"] == item.truth]
            found += [{**one, **copy} for one in predictions if one["image_id"] == item.truth]
    annotations = [{**one, "id": number} for number, one in enumerate(annotations, start=1)]
    stats = pycocotools_stats({**truth, "images": images, "annotations": annotations}, found)
    resampled = dataset.resampled_metrics(records, np.stack([np.ones_like(weights), weights]))
    metrics = dataset.metrics(records)
    for name, value in zip(("AP", "AP50", "AP75"), stats.tolist(), strict=False):
        assert resampled[name] == pytest.approx([metrics[name], value], abs=1e-6)
