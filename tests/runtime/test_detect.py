"""Final boxes against those of the original graphs, run by TensorFlow.js and TensorFlow."""

from pathlib import Path

import inputs as reference_inputs
import numpy as np
import pytest

import mnv2deploy
from mnv2deploy.errors import ModelError, UsageError
from mnv2deploy.runtime import images
from mnv2deploy.runtime.detect import Detector
from mnv2deploy.runtime.resizing import resize
from mnv2deploy.runtime.session import Session

REFERENCE = Path(__file__).parent.parent / "reference"
MODELS = {"ssdlite-coco": "ssdlite_coco.npz", "ssdlite-pedestrian": "ssdlite_pedestrian.npz"}
# Lower down, equal scores in the fourth digit swap places between any two runtimes.
SURE = 0.05


@pytest.fixture(scope="session")
def pictures(photos):
    """The reference's 300x300 inputs by name."""
    return {
        name: reference_inputs.reference_input(name, images.read(photos[f"{name}.png"]))
        for name in ("astronaut", "coffee")
    }


@pytest.mark.parametrize("picture", ["astronaut", "coffee"])
@pytest.mark.parametrize("model", MODELS)
def test_final_detections_are_those_of_the_original_graph(model, picture, artifacts, pictures):
    _, _, references = reference_inputs.load_reference(REFERENCE / MODELS[model])
    reference = references[picture]
    assert reference_inputs.input_sha256(pictures[picture]) == str(reference["input_sha256"])
    sure = reference["detection_scores"] > SURE
    top, left, bottom, right = reference["detection_boxes"][sure].T
    result = mnv2deploy.load(artifacts[model], score=SURE)(pictures[picture])
    assert [detection.class_id for detection in result.detections] == reference["detection_classes"][sure].tolist()
    scores = [detection.score for detection in result.detections]
    np.testing.assert_allclose(scores, reference["detection_scores"][sure], atol=1e-5)
    boxes = np.reshape([detection.box for detection in result.detections], (-1, 4)) / 300
    np.testing.assert_allclose(boxes, np.stack([left, top, right, bottom], axis=1), atol=1e-5)


def test_boxes_are_in_pixels_of_the_picture_whatever_its_size(coco_artifact, photos):
    detect = mnv2deploy.load(coco_artifact)
    # Repeated pixels resize back to the very same 300x300, so only the scale of the boxes may differ.
    image = resize(images.read(photos["chelsea.png"]), 300, 300, "bilinear")
    once, larger = detect(image), detect(image.repeat(3, axis=0).repeat(2, axis=1))
    assert (larger.width, larger.height) == (600, 900)
    assert [found.label for found in once.detections] == ["cat"] == [found.label for found in larger.detections]
    np.testing.assert_allclose(larger.detections[0].box, np.multiply(once.detections[0].box, (2, 3, 2, 3)), rtol=1e-6)


def test_a_path_and_its_pixels_give_the_same_answer(coco_artifact, photos):
    detect = mnv2deploy.load(coco_artifact)
    path = photos["coffee.png"]
    assert detect(path) == detect(str(path)) == detect(images.read(path))
    assert {found.label for found in detect(path).detections} == {"cup", "dining table"}


def test_an_empty_picture_holds_nothing(coco_artifact):
    assert mnv2deploy.load(coco_artifact)(np.full((200, 300, 3), 127, np.uint8)).detections == ()


def test_thresholds_only_ever_remove(coco_artifact, photos):
    def found(**options):
        return list(
            mnv2deploy.load(coco_artifact, **{"max_detections": 10_000, **options})(photos["coffee.png"]).detections
        )

    everything = found(score=0.01)
    assert found(score=0.3) == [one for one in everything if one.score > 0.3] != everything
    assert found(score=0.01, classes=["cup", "spoon"]) == [one for one in everything if one.label in ("cup", "spoon")]
    assert found(score=0.01, max_detections=3) == everything[:3]


def test_a_looser_iou_lets_more_boxes_stand(coco_artifact, photos):
    strict, loose = (
        len(mnv2deploy.load(coco_artifact, score=0.2, iou=iou)(photos["coffee.png"]).detections) for iou in (0.1, 1.0)
    )
    assert strict < loose


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"score": 1.5}, "score 1.5"),
        ({"score": -0.1}, "score -0.1"),
        ({"iou": 2}, "iou 2"),
        ({"max_detections": 0}, "max_detections 0"),
        ({"classes": ["cat", "unicorn"]}, "unicorn"),
        ({"threads": 0}, "threads 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, says, coco_artifact):
    with pytest.raises(UsageError, match=says):
        mnv2deploy.load(coco_artifact, **options)


def test_scores_of_zero_and_one_are_thresholds_too(coco_artifact, photos):
    assert len(mnv2deploy.load(coco_artifact, score=0)(photos["coffee.png"]).detections) == 100
    assert mnv2deploy.load(coco_artifact, score=1)(photos["coffee.png"]).detections == ()


def test_outputs_that_do_not_fit_the_anchors_are_refused(coco_artifact):
    detector = Detector(Session(coco_artifact))
    with pytest.raises(ModelError, match="1917"):
        detector.decode(np.zeros((5, 91), np.float32), np.zeros((5, 4), np.float32), height=10, width=10)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((30, 40, 3), np.float32),  # the commonest slip: already divided by 255
        np.zeros((30, 40, 3), np.uint16),
        np.zeros((30, 40), np.uint8),
        np.zeros((30, 40, 4), np.uint8),
        np.zeros((3, 30, 40), np.uint8),
        np.zeros((1, 30, 40, 3), np.uint8),
        np.zeros((0, 0, 3), np.uint8),
        [[1, 2], [3, 4]],
        None,
    ],
)
def test_what_is_no_picture_is_refused_not_answered(picture, coco_artifact):
    with pytest.raises(UsageError, match=r"\(H, W, 3\) uint8 RGB array"):
        mnv2deploy.load(coco_artifact)(picture)


def test_classes_are_a_list_of_names_in_any_letter_case(coco_artifact, photos):
    assert [
        found.label for found in mnv2deploy.load(coco_artifact, classes=["CUP"])(photos["coffee.png"]).detections
    ] == ["cup"]
    with pytest.raises(UsageError, match="list of names"):
        mnv2deploy.load(coco_artifact, classes="cup")
