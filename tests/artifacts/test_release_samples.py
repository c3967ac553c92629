"""Sample pictures: small, the same every time, answers where they belong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mnv2deploy.artifacts.report_samples import choose_pictures, draw_samples, draw_small, encode_jpeg, in_words
from mnv2deploy.errors import InputError
from mnv2deploy.runtime.pipeline import open_pipeline
from mnv2deploy.runtime.results import (
    ClassificationResult,
    ClassScore,
    Detection,
    DetectionResult,
    Segment,
    SegmentationResult,
)
from mnv2deploy.runtime.session import Session


def decode(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)


@pytest.mark.parametrize(
    ("model", "photo", "label"),
    [
        ("mobilenet-v2", "chelsea.png", "Egyptian cat"),
        ("ssdlite-coco", "astronaut.png", "person"),
        ("deeplabv3-voc", "astronaut.png", "person"),
    ],
)
def test_every_task_is_answered_and_drawn(artifacts, photos, model, photo, label):
    progress = Steps()
    artifact = artifacts[model]
    samples = draw_samples({"fp32": artifact, "again": artifact}, [photos[photo]], progress)
    assert [sample.picture for sample in samples] == [photo]
    (first, jpeg, words), (second, same, again) = samples[0].drawings
    assert (first, second, jpeg, words) == ("fp32", "again", same, again)
    assert label in words
    assert len(jpeg) < 40_000
    drawn = decode(jpeg)
    assert max(drawn.shape) <= 480
    bare = cv2.cvtColor(cv2.imread(str(photos[photo])), cv2.COLOR_BGR2RGB)
    bare = cv2.resize(bare, drawn.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert (np.abs(drawn.astype(int) - bare).max(axis=2) > 60).mean() > 0.002  # something was drawn
    assert progress.seen == [2, 1, 2, "stop"]


class Steps:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def start(self, description, total):
        self.seen.append(total)

    def update(self, done):
        self.seen.append(done)

    def stop(self):
        self.seen.append("stop")


def test_the_answer_is_of_the_whole_picture_not_of_the_small_copy(artifacts, photos):
    picture = photos["motorcycle_left.png"]
    result = open_pipeline(Session(artifacts["ssdlite-coco"], threads=1))(picture)
    assert result.width > 480
    assert draw_samples({"fp32": artifacts["ssdlite-coco"]}, [picture])[0].drawings[0][2] == in_words(result)


def test_a_box_is_drawn_where_the_object_is_in_the_small_copy():
    image = np.zeros((1000, 2000, 3), np.uint8)
    result = DetectionResult(2000, 1000, (Detection("cat", 17, 0.9, (500.0, 250.0, 1500.0, 750.0)),))
    drawn = draw_small(image, result)
    assert drawn.shape == (240, 480, 3)
    rows, columns = np.nonzero(drawn[:, :, :].max(axis=2))
    plate = 20  # its label stands on it
    assert 60 - plate <= rows.min() <= 60
    assert (drawn[60, 125:355].max(axis=1) > 0).all()  # its upper edge
    assert rows.max() == pytest.approx(180, abs=1)
    assert (columns.min(), columns.max()) == pytest.approx((120, 360), abs=1)


def test_a_mask_is_shrunk_with_its_picture():
    mask = np.zeros((960, 480), np.uint8)
    mask[480:] = 8
    result = SegmentationResult(480, 960, mask, (Segment("cat", 8, mask.size // 2, 0.5),))
    drawn = draw_small(np.zeros((960, 480, 3), np.uint8), result)
    assert drawn.shape == (480, 240, 3)
    assert drawn[:238, 120:].max() == 0  # the legend may stand at the left
    assert (drawn[242:, 200].max(axis=1) > 0).all()


def test_a_small_picture_is_not_enlarged():
    result = ClassificationResult(64, 48, (ClassScore("cat", 1, 0.5),))
    assert draw_small(np.zeros((48, 64, 3), np.uint8), result).shape == (48, 64, 3)


def test_even_noise_stays_below_the_limit_and_calm_pictures_keep_their_quality():
    noise = np.random.default_rng(0).integers(0, 256, (480, 480, 3), np.uint8)
    assert len(encode_jpeg(noise)) < 40_000
    calm = np.full((480, 480, 3), (200, 30, 60), np.uint8)
    assert np.abs(decode(encode_jpeg(calm)).astype(int) - calm).max() <= 3


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (ClassificationResult(1, 1, (ClassScore("cat", 1, 0.756), ClassScore("dog", 2, 0.1))), "cat 0.76, dog 0.10"),
        (DetectionResult(1, 1, ()), "nothing found"),
        (
            DetectionResult(1, 1, (Detection("cat", 1, 0.9, (0, 0, 1, 1)),) * 7),
            ", ".join(["cat 0.90"] * 5) + " and 2 more",
        ),
        (
            SegmentationResult(
                1,
                1,
                np.zeros((1, 1), np.uint8),
                (Segment("background", 0, 9, 0.9), Segment("cat", 8, 1, 0.0996), Segment("dog", 9, 1, 0.0004)),
            ),
            "cat 10.0 %, dog <0.1 %",
        ),
    ],
)
def test_an_answer_in_words(result, words):
    assert in_words(result) == words


def test_pictures_answered_differently_come_first_in_their_order():
    pictures = [Path("somewhere") / f"{letter}.jpg" for letter in "abcdefgh"]
    chosen = choose_pictures(pictures, ["x/g.jpg", "c.jpg", "gone.jpg"])
    assert [path.stem for path in chosen] == ["g", "c", "a", "b", "d", "e"]


def test_a_picture_that_cannot_be_read_is_named(artifacts, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        draw_samples({"fp32": artifacts["mobilenet-v2"]}, [tmp_path / "broken.jpg"])
