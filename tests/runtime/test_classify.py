"""What a picture shows: probabilities and their order by hand, and a cat that is one."""

import dataclasses
import math

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import mnv2deploy
from mnv2deploy.contract import ClassificationDecoding, Label
from mnv2deploy.errors import ModelError, UsageError
from mnv2deploy.runtime import images
from mnv2deploy.runtime.classify import Classifier
from mnv2deploy.runtime.session import Session

CATS = range(281, 286)  # tabby, tiger cat, Persian, Siamese, Egyptian


@pytest.fixture(scope="module")
def artifact(artifacts):
    return artifacts["mobilenet-v2"]


@pytest.fixture(scope="module")
def classify(artifact):
    return mnv2deploy.load(artifact)


def classifier(artifact, labels, **options):
    """With other labels than ImageNet's: (column, class id, name)."""
    session = Session(artifact)
    own = tuple(Label(column=column, class_id=class_id, name=name) for column, class_id, name in labels)
    session.contract = dataclasses.replace(session.contract, labels=own)
    return Classifier(session, **options)


LETTERS = [(column, column, letter) for column, letter in enumerate("abcdef")]


def decoded(classifier, logits):
    result = classifier.decode(np.float32(logits), height=30, width=40)
    assert (result.width, result.height) == (40, 30)
    return [(one.label, one.class_id, pytest.approx(one.score, abs=1e-7)) for one in result.classes]


def test_scores_are_the_softmax_likeliest_first(artifact):
    logits = [math.log(2), math.log(5), 0, math.log(1), math.log(8), math.log(3)]  # e to them: 2 5 1 1 8 3, in all 20
    assert decoded(classifier(artifact, LETTERS, top=6), logits) == [
        *(("e", 4, 0.4), ("b", 1, 0.25), ("f", 5, 0.15)),
        *(("a", 0, 0.1), ("c", 2, 0.05), ("d", 3, 0.05)),  # of equals the lower column first
    ]


def test_each_score_is_a_sigmoid_where_classes_do_not_exclude_each_other(artifact):
    deciding = classifier(artifact, LETTERS, top=6).session
    sigmoid = ClassificationDecoding(activation="sigmoid", top=6)
    deciding.contract = dataclasses.replace(deciding.contract, decoding=sigmoid)
    odds = {"a": 1, "b": 9, "c": 1 / 3, "d": 1e-9, "e": 99, "f": 1e9}
    found = decoded(Classifier(deciding), [math.log(value) for value in odds.values()])
    assert found == [
        *(("f", 5, pytest.approx(1)), ("e", 4, 0.99), ("b", 1, 0.9)),
        *(("a", 0, 0.5), ("c", 2, 0.25), ("d", 3, pytest.approx(1e-9))),
    ]
    far = Classifier(deciding).decode(np.float32([1000, -1000, 0, 0, 0, 0]), height=1, width=1)
    assert (far.classes[0].score, far.classes[-1].score) == (1, 0)


def test_of_equal_scores_the_lower_column_comes_first_and_the_rest_is_cut(artifact):
    assert decoded(classifier(artifact, LETTERS, top=2), [1, 3, 3, 1, 3, 3]) == [
        ("b", 1, pytest.approx(1 / (4 + 2 * math.exp(-2)))),
        ("c", 2, pytest.approx(1 / (4 + 2 * math.exp(-2)))),
    ]
    assert [label for label, *_ in decoded(classifier(artifact, LETTERS, top=6), [7] * 6)] == list("abcdef")


@pytest.mark.parametrize("shift", [-1000, -90, 0, 90, 1000])
def test_softmax_does_not_mind_where_the_logits_lie(artifact, shift):
    logits = np.float32(shift) + np.float32([0, 1, 2, 3, 4, 5])
    parts = [math.exp(index) for index in range(6)]
    scores = [score for *_, score in decoded(classifier(artifact, LETTERS, top=6), logits)]
    assert scores == [pytest.approx(part / sum(parts)) for part in reversed(parts)]


def test_far_behind_is_a_probability_of_nothing(artifact):
    ((label, _, score), *rest) = decoded(classifier(artifact, LETTERS, top=6), [-3e38, 0, 3e38, 0, 0, 0])
    assert (label, score) == ("c", 1.0)
    assert [letter for letter, *_ in rest] == list("bdefa")
    assert all(score == 0 for *_, score in rest)


def test_columns_without_a_label_are_never_answered_but_take_their_share(artifact):
    labels = [(1, 10, "one"), (3, 7, "three")]  # column 0 a background, as TensorFlow's classifiers have
    found = decoded(classifier(artifact, labels), [math.log(6), math.log(1), math.log(2), math.log(1)])
    assert found == [("one", 10, 0.1), ("three", 7, 0.1)]


def test_class_ids_are_the_data_sets_not_the_columns(artifact):
    labels = [(column + 1, column, name) for column, name in enumerate(("tench", "goldfish"))]
    assert decoded(classifier(artifact, labels, top=1), [9, 0, 5])[0][:2] == ("goldfish", 1)


@pytest.mark.parametrize("top", [1, 3, 5, 1000])
def test_top_says_how_many(artifact, classify, photos, top):
    every = classify(photos["chelsea.png"]).classes
    found = mnv2deploy.load(artifact, top=top)(photos["chelsea.png"]).classes
    assert len(found) == top
    assert found[:5] == every[:top]  # the artifact's own number is 5


def test_more_than_there_are_is_all_there_are(artifact, photos):
    classes = mnv2deploy.load(artifact, top=5000)(photos["coffee.png"]).classes
    assert sorted(one.class_id for one in classes) == list(range(1000))
    assert sum(one.score for one in classes) == pytest.approx(1, abs=1e-9)
    scores = [one.score for one in classes]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


@pytest.mark.parametrize("top", [0, -1])
def test_top_below_one_is_refused(artifact, top):
    with pytest.raises(UsageError, match=f"top {top}: at least 1"):
        mnv2deploy.load(artifact, top=top)


def test_none_stands_for_the_artifacts_own_number(artifact):
    session = Session(artifact)
    session.contract = dataclasses.replace(session.contract, decoding=ClassificationDecoding(top=2))
    for options in ({}, {"top": None}):
        assert len(Classifier(session, **options).decode(np.zeros(1000, np.float32), 1, 1).classes) == 2


@pytest.mark.parametrize("other", ["ssdlite-coco", "deeplabv3-voc"])
def test_artifact_of_another_task_is_refused(artifacts, other):
    with pytest.raises(ModelError, match=f"{other}.onnx is a model to (detect|segment) with"):
        Classifier(Session(artifacts[other]))


@pytest.mark.parametrize(
    ("model", "options", "says"),
    [
        ("mobilenet-v2", {"score": 0.5}, "a model to classify with, which has no option score"),
        ("mobilenet-v2", {"top": 3, "iou": None, "classes": ()}, "no option classes, iou"),
        ("ssdlite-coco", {"top": 3}, "a model to detect with, which has no option top"),
        ("deeplabv3-voc", {"top": 3}, "a model to segment with, which has no option top"),
        ("mobilenet-v2", {"colour": 3}, "no option colour"),
    ],
)
def test_option_of_another_task_is_refused_by_name(artifacts, model, options, says):
    with pytest.raises(UsageError, match=says) as caught:
        mnv2deploy.load(artifacts[model], **options)
    assert caught.value.exit_code == 2


def test_chelsea_is_a_cat(classify, photos):
    best, *others = classify(photos["chelsea.png"]).classes
    assert best.class_id in CATS
    assert "cat" in best.label or best.label == "tabby"
    assert best.score > 0.3
    assert sum(one.class_id in CATS for one in others) >= 2


@pytest.mark.parametrize(
    ("photo", "turn", "size", "crop"),
    [
        ("coffee.png", 0, (384, 256), (80, 16, 304, 240)),  # 600 x 400
        ("chelsea.png", 0, (384, 256), (80, 16, 304, 240)),  # 451 x 300
        ("chelsea.png", 90, (256, 384), (16, 80, 240, 304)),
        ("astronaut.png", 0, (256, 256), (16, 16, 240, 240)),
    ],
)
def test_picture_is_prepared_as_pil_does_it(artifact, photos, photo, turn, size, crop):
    """From the file to the probabilities without a line of ours; PIL's antialiased resize to 256, then the middle."""
    with Image.open(photos[photo]) as opened:
        whole = opened.convert("RGB").rotate(turn, expand=True)
    small = whole.resize(size, Image.Resampling.BILINEAR).crop(crop)
    x = (np.asarray(small) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    session = onnxruntime.InferenceSession(artifact, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": x.transpose(2, 0, 1)[None].astype(np.float32)})
    probabilities = np.exp(logits[0]) / np.exp(logits[0]).sum()
    found = mnv2deploy.load(artifact, top=1000)(np.asarray(whole)).classes
    scores = np.array([one.score for one in sorted(found, key=lambda one: one.class_id)])
    assert found[0].class_id == probabilities.argmax()
    np.testing.assert_allclose(scores, probabilities, atol=0.01)


def test_a_path_and_its_pixels_give_the_same_answer(classify, photos):
    path = photos["astronaut.png"]
    assert classify(path) == classify(str(path)) == classify(images.read(path))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2000, 3), (3, 2000), (224, 224), (256, 257)])
def test_pictures_of_any_size_work(classify, height, width):
    result = classify(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
    assert (result.width, result.height, len(result.classes)) == (width, height, 5)
    assert all(math.isfinite(one.score) for one in result.classes)


def test_json_has_the_documented_fields(classify, photos):
    result = classify(photos["chelsea.png"])
    document = result.to_json()
    assert list(document) == ["width", "height", "classes"]
    assert (document["width"], document["height"]) == (451, 300)
    assert list(document["classes"][0]) == ["label", "class_id", "score"]
    assert document["classes"][0]["score"] == pytest.approx(result.classes[0].score, abs=1e-6)
