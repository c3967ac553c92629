"""It sees: average precision on labelled COCO pictures, scored by faster-coco-eval."""

import contextlib
import io
import json

import pytest
from faster_coco_eval import COCO, COCOeval_faster

import mnv2deploy


def test_average_precision_on_coco_val_is_the_reference_networks(data, coco_artifact):
    folder = data / "coco" / "val"
    annotations = folder / "instances.json"
    detect = mnv2deploy.load(coco_artifact, score=0.01)
    predictions = []
    for image in json.loads(annotations.read_text())["images"]:
        (path,) = folder.rglob(image["file_name"])
        for found in detect(path).detections:
            left, top, right, bottom = found.box
            box = [left, top, right - left, bottom - top]
            predictions.append(
                {"image_id": image["id"], "category_id": found.class_id, "bbox": box, "score": found.score}
            )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        evaluation = COCOeval_faster(truth, truth.loadRes(predictions), "bbox")
        evaluation.run()
    precision, precision_50 = evaluation.stats[:2]
    # The reference network with OpenCV's plain bilinear resize reaches 0.377 and 0.546.
    assert precision >= 0.374
    assert precision_50 >= 0.542
    assert precision == pytest.approx(0.377, abs=0.003)
