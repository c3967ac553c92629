"""Which answers are the same: what a margin could carry across a limit is forgiven, and nothing else."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifests import a_contract

from mnv2deploy.artifacts.answers import Margins, compare_answers
from mnv2deploy.artifacts.manifest import Answer
from mnv2deploy.contract import DetectionDecoding, SegmentationDecoding

MARGINS = Margins(score=0.1, iou=0.9, share=0.01)
DETECTS = dataclasses.replace(
    a_contract(),
    decoding=DetectionDecoding(
        coder="yxhw",
        coder_scales=(10, 10, 5, 5),
        activation="sigmoid",
        score_threshold=0.5,
        iou_threshold=0.6,
        max_detections=3,
        anchors=(),
    ),
)
SEGMENTS = dataclasses.replace(a_contract(), decoding=SegmentationDecoding(align_corners=False))


def classes(**scores: float) -> tuple[Answer, ...]:
    """``a=0.5`` is class 97; in the order given."""
    return tuple(Answer(label=name, class_id=ord(name), score=score) for name, score in scores.items())


def thing(label: str, score: float, *box: float) -> Answer:
    return Answer(label=label, class_id=ord(label[0]), score=score, box=box or (0, 0, 100, 100))


def differ(wanted, got, contract=None) -> list[str]:
    return list(compare_answers(wanted, got, contract or a_contract(), MARGINS))


@pytest.mark.parametrize(
    ("wanted", "got", "said"),
    [
        (classes(a=0.6, b=0.2), classes(a=0.69, b=0.11), []),
        (classes(a=0.6, b=0.2), classes(a=0.71, b=0.2), ["gives a a score of 0.710 instead of 0.600"]),
        # near one another two may change places, far from one another not
        (classes(a=0.5, b=0.45), classes(b=0.5, a=0.45), []),
        (classes(a=0.5, b=0.35), classes(b=0.43, a=0.42), []),
        (classes(a=0.6, b=0.3), classes(b=0.6, a=0.3), ["answers b (0.600) first instead of a (0.600)"]),
        (classes(a=0.9), classes(b=0.9), ["answers b (0.900) first instead of a (0.900)"]),
        # the last of the likeliest may be another, if it is not much likelier than what was last
        (classes(a=0.8, b=0.05), classes(a=0.8, c=0.12), []),
        (classes(a=0.4, b=0.05), classes(a=0.4, c=0.3), ["gives c a score of 0.300 instead of 0.050"]),
        (classes(a=0.4, c=0.3), classes(a=0.4, b=0.05), ["gives c a score of 0.050 instead of 0.300"]),
        ((), (), []),
        ((), classes(a=0.9), ["answers 1 classes instead of 0"]),
        (classes(a=0.9), (), ["answers 0 classes instead of 1"]),
    ],
)
def test_classes(wanted, got, said):
    assert differ(wanted, got) == said


CAT, DOG, FAR = thing("cat", 0.9), thing("dog", 0.8, 200, 0, 300, 50), (0, 0, 100, 80)


@pytest.mark.parametrize(
    ("wanted", "got", "said"),
    [
        ((CAT, DOG), (CAT, DOG), []),
        ((CAT, DOG), (DOG, CAT), []),
        ((CAT, DOG), (CAT,), ["does not find dog (0.800) at (200, 0, 300, 50)"]),
        ((CAT,), (CAT, DOG), ["finds dog (0.800) at (200, 0, 300, 50), which it should not"]),
        # one object is one: it is no partner of two
        ((CAT, CAT), (CAT,), ["does not find cat (0.900) at (0, 0, 100, 100)"]),
        # near the threshold (0.5) an object may come and go
        ((CAT, thing("dog", 0.59)), (CAT,), []),
        ((CAT,), (CAT, thing("dog", 0.59)), []),
        ((CAT, thing("dog", 0.61)), (CAT,), ["does not find dog (0.610) at (0, 0, 100, 100)"]),
        # so may those near the last of as many as can be answered (3)
        ((CAT, DOG, thing("eel", 0.75)), (CAT, DOG, thing("fox", 0.78)), []),
        (
            (CAT, thing("eel", 0.88), DOG),
            (CAT, DOG),
            [],
        ),
        # a box may move a little, a score too
        ((CAT,), (thing("cat", 0.81, 0, 0, 100, 91),), []),
        (
            (CAT,),
            (thing("cat", 0.9, *FAR),),
            [
                "does not find cat (0.900) at (0, 0, 100, 100)",
                "finds cat (0.900) at (0, 0, 100, 80), which it should not",
            ],
        ),
        (
            (CAT,),
            (thing("cat", 0.79),),
            [
                "does not find cat (0.900) at (0, 0, 100, 100)",
                "finds cat (0.790) at (0, 0, 100, 100), which it should not",
            ],
        ),
        # another class is another object
        (
            (CAT,),
            (thing("dog", 0.9),),
            [
                "does not find cat (0.900) at (0, 0, 100, 100)",
                "finds dog (0.900) at (0, 0, 100, 100), which it should not",
            ],
        ),
        # a box without area is itself
        ((thing("cat", 0.9, 5, 5, 5, 9),), (thing("cat", 0.9, 5, 5, 5, 9),), []),
        ((), (), []),
    ],
)
def test_objects(wanted, got, said):
    assert differ(wanted, got, DETECTS) == said


def test_of_two_partners_the_nearer_is_taken():
    near, far = thing("cat", 0.9, 0, 0, 100, 99), thing("cat", 0.9, 0, 0, 100, 92)
    assert differ((thing("cat", 0.9), thing("cat", 0.9, 0, 0, 100, 85)), (far, near), DETECTS) == []


@pytest.mark.parametrize(
    ("wanted", "got", "said"),
    [
        ({"a": 0.7, "b": 0.3}, {"b": 0.309, "a": 0.691}, []),
        (
            {"a": 0.7, "b": 0.3},
            {"a": 0.72, "b": 0.28},
            [f"says that {now} of the picture is {name} instead of {then}" for name, now, then in
             (("a", "72.0%", "70.0%"), ("b", "28.0%", "30.0%"))],
        ),
        ({"a": 1.0}, {"a": 0.995, "b": 0.005}, []),
        ({"a": 0.95, "b": 0.05}, {"a": 0.955}, ["says that 0.0% of the picture is b instead of 5.0%"]),
    ],
)  # fmt: skip
def test_segments(wanted, got, said):
    answers = [
        tuple(Answer(label=name, class_id=ord(name), share=share) for name, share in shares.items())
        for shares in (wanted, got)
    ]
    assert differ(*answers, SEGMENTS) == said


boxes = st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(60, 99), st.integers(60, 99))
object_of = st.builds(lambda name, score, box: thing(name, score, *box), st.sampled_from("ab"), st.floats(0, 1), boxes)
objects = st.lists(object_of, max_size=5)


@given(objects, st.randoms())
@settings(max_examples=80, derandomize=True, deadline=None)
def test_objects_in_any_order_are_the_same(things, random):
    shuffled = random.sample(things, len(things))
    # more than can be answered are not asked for here: the limit is by rank
    contract = dataclasses.replace(DETECTS, decoding=dataclasses.replace(DETECTS.decoding, max_detections=100))
    assert differ(things, shuffled, contract) == []
