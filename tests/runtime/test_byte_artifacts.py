"""A graph that takes bytes answers as the same network does that takes floats."""

from __future__ import annotations

import numpy as np
import pytest

import mnv2deploy

# Float32 has 24 bits, and the two graphs round once more or less on the way to the network.
SCORE, PIXEL = 1e-4, 0.05


@pytest.fixture
def both(byte_artifacts, photos):
    """Answers to two photos, of both kinds, for a model's name."""

    def answers(name, *files):
        pipelines = [mnv2deploy.load(path, threads=1) for path in byte_artifacts[name]]
        assert [one.session.contract.input.dtype for one in pipelines] == ["float32", "uint8"]
        return [[pipeline(photos[file]) for pipeline in pipelines] for file in files]

    return answers


def test_classes_are_the_same(both) -> None:
    for floats, of_bytes in both("mobilenet-v2", "coffee.png", "rocket.jpg"):
        assert [one.class_id for one in of_bytes.classes] == [one.class_id for one in floats.classes]
        assert [one.score for one in of_bytes.classes] == pytest.approx(
            [one.score for one in floats.classes], abs=SCORE
        )


def test_boxes_are_the_same(both) -> None:
    pictures = both("ssdlite-coco", "coffee.png", "rocket.jpg")
    assert any(floats.detections for floats, _ in pictures)
    for floats, of_bytes in pictures:
        assert [one.label for one in of_bytes.detections] == [one.label for one in floats.detections]
        for one, other in zip(of_bytes.detections, floats.detections, strict=True):
            assert one.score == pytest.approx(other.score, abs=SCORE)
            assert one.box == pytest.approx(other.box, abs=PIXEL)


def test_masks_are_the_same(both) -> None:
    pictures = both("deeplabv3-voc", "coffee.png", "rocket.jpg")
    assert any(len(floats.segments) > 1 for floats, _ in pictures)
    for floats, of_bytes in pictures:
        assert of_bytes.mask.shape == floats.mask.shape
        assert np.mean(of_bytes.mask != floats.mask) < 1e-4
