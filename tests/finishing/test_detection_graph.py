"""Boxes decoded in the graph are those decoded outside it, whatever the contract says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_graphs import labels_of, run, session_of

from mnv2deploy.contract import AnchorLayer, DetectionDecoding
from mnv2deploy.finishing.detection import write_detection
from mnv2deploy.finishing.nodes import Nodes
from mnv2deploy.runtime.detect import Detector

LAYERS = (
    AnchorLayer(grid=(4, 3), step=(0.25, 0.33), sizes=((0.3, 0.2), (0.2, 0.4))),
    AnchorLayer(grid=(1, 2), step=(1.0, 0.5), sizes=((0.7, 0.6),)),
)
ANCHORS = 4 * 3 * 2 + 2
DECODING = DetectionDecoding(
    coder="yxhw",
    coder_scales=(10.0, 9.0, 5.0, 4.0),
    activation="sigmoid",
    score_threshold=0.3,
    iou_threshold=0.5,
    max_detections=9,
    anchors=LAYERS,
)
COLUMNS = 5


def both(decoding, columns, logits, encodings):
    """(class ids, scores, boxes in fractions) of each picture, in the graph and outside it."""
    labels = labels_of(columns)
    nodes = Nodes("decoding")
    answers = write_detection(nodes, "logits", "encodings", logits.shape[1:], decoding, labels)
    assert [one.name for one in answers] == ["boxes", "scores", "class_ids", "counts"]
    boxes, scores, class_ids, counts = run(nodes, answers, {"logits": logits, "encodings": encodings})
    detector = Detector(session_of(decoding, labels))
    inside, outside = [], []
    for index, count in enumerate(counts.tolist()):
        for values in (boxes, scores, class_ids):
            assert not values[index, count:].any()
        inside.append((class_ids[index, :count].tolist(), scores[index, :count], boxes[index, :count]))
        found = detector.decode(logits[index], encodings[index], height=1, width=1).detections
        ids, sure = [one.class_id for one in found], [one.score for one in found]
        outside.append((ids, np.float32(sure), np.reshape([one.box for one in found], (-1, 4))))
    return inside, outside


def assert_same(inside, outside):
    for one, other in zip(inside, outside, strict=True):
        assert one[0] == other[0]
        np.testing.assert_allclose(one[1], other[1], atol=1e-6)
        np.testing.assert_allclose(one[2], other[2], atol=1e-5)


def outputs(seed, batch=2, *, steps=None):
    """Logits around 0 and encodings of boxes that overlap and reach out; in ``steps``, so that scores are equal."""
    random = np.random.default_rng(seed)
    logits = random.normal(-0.5, 1.5, (batch, ANCHORS, COLUMNS)).astype(np.float32)
    if steps is not None:
        logits = np.round(logits * steps) / np.float32(steps)
    return logits, random.normal(0, 4, (batch, ANCHORS, 4)).astype(np.float32)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["yxhw", "xywh"]),
    st.sampled_from(["sigmoid", "softmax"]),
    st.sampled_from(["after_nms", "before_nms"]),
    st.sampled_from([None, 1.5]),
    st.sampled_from([None, 1, 7, 12, 1000]),
    st.sampled_from([(0, 1, 2, 3, 4), (1, 2, 3, 4), (0, 2)]),
    st.sampled_from([(0.3, 0.5, 9), (0.0, 0.9, 10_000), (0.05, 0.0, 1), (0.2, 1.0, 30)]),
)
def test_any_contract_is_decoded_as_outside(seed, coder, activation, clip, ratio, candidates, columns, thresholds):
    score, iou, most = thresholds
    decoding = dataclasses.replace(
        DECODING,
        coder=coder,
        activation=activation,
        clip=clip,
        size_ratio_limit=ratio,
        candidates_per_map=candidates,
        score_threshold=score,
        iou_threshold=iou,
        max_detections=most,
    )
    assert_same(*both(decoding, columns, *outputs(seed)))


@pytest.mark.parametrize("candidates", [None, 6])
def test_of_equal_scores_the_lower_anchor_and_column_come_first(candidates):
    decoding = dataclasses.replace(DECODING, candidates_per_map=candidates)
    for seed in range(10):
        inside, outside = both(decoding, range(COLUMNS), *outputs(seed, steps=1))
        assert_same(inside, outside)
        assert len(set(inside[0][1].tolist())) < len(inside[0][1])


def test_each_picture_of_a_batch_is_decoded_by_itself():
    logits, encodings = outputs(3, batch=3)
    logits[1] = -20  # nothing in the middle one
    together, _ = both(DECODING, range(COLUMNS), logits, encodings)
    assert [len(ids) > 0 for ids, *_ in together] == [True, False, True]
    for index in range(3):
        (alone,), _ = both(DECODING, range(COLUMNS), logits[index : index + 1], encodings[index : index + 1])
        assert alone[0] == together[index][0]
        np.testing.assert_array_equal(alone[2], together[index][2])


def test_boxes_lie_in_the_picture_and_come_by_falling_score():
    inside, _ = both(dataclasses.replace(DECODING, max_detections=50), range(COLUMNS), *outputs(5))
    for _, scores, boxes in inside:
        assert len(scores) > 9
        assert (np.diff(scores) <= 0).all()
        assert (scores > 0.3).all()
        assert (boxes >= 0).all()
        assert (boxes <= 1).all()
        assert (boxes[:, 2:] >= boxes[:, :2]).all()


def test_one_box_by_hand():
    """Anchor 24 is centred on (0.5, 0.25), 0.7 high and 0.6 wide; its box is moved and made half as wide."""
    logits = np.full((1, ANCHORS, COLUMNS), -9, np.float32)
    logits[0, 24, 2] = np.log(4)  # 0.8
    encodings = np.zeros((1, ANCHORS, 4), np.float32)
    encodings[0, 24] = (-0.1 / 0.7 * 10, 0.05 / 0.6 * 9, 0, np.log(0.5) * 4)
    ((ids, scores, boxes),), _ = both(DECODING, range(COLUMNS), logits, encodings)
    assert ids == [2 * 3 + 1]
    assert scores == pytest.approx([0.8], abs=1e-6)
    assert boxes[0] == pytest.approx([0.3 - 0.15, 0.4 - 0.35, 0.3 + 0.15, 0.4 + 0.35], abs=1e-6)


@pytest.mark.parametrize("threshold", [0.001, 0.3, 0.9])
def test_scores_over_the_threshold_are_answered_and_no_others(threshold):
    logits = np.full((1, ANCHORS, COLUMNS), -200, np.float32)
    sigmoid = [threshold * 1.001 + 1e-4, threshold * 0.999]
    for anchor, score in zip((0, 24), sigmoid, strict=True):
        logits[0, anchor, 1] = np.log(score / (1 - score))
    decoding = dataclasses.replace(DECODING, score_threshold=threshold, iou_threshold=1.0)
    ((ids, scores, _),), _ = both(decoding, range(COLUMNS), logits, np.zeros((1, ANCHORS, 4), np.float32))
    assert ids == [1 * 3 + 1]
    assert scores == pytest.approx(sigmoid[:1], rel=1e-4)
