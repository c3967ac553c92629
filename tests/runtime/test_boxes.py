"""Anchors, coder and NMS against computations of another kind."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2deploy.contract import AnchorLayer
from mnv2deploy.runtime.boxes import BoxCoder, generate_anchors, non_maximum_suppression, strongest

SCALES = (10.0, 10.0, 5.0, 5.0)


def encode(box: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """Faster R-CNN, equation 2, in float64: the inverse of what is tested. Box xyxy, anchor yxhw, result yxhw."""
    height, width = box[3] - box[1], box[2] - box[0]
    centre_y, centre_x = (box[1] + box[3]) / 2, (box[0] + box[2]) / 2
    y, x, h, w = anchor
    return np.array([10 * (centre_y - y) / h, 10 * (centre_x - x) / w, 5 * np.log(height / h), 5 * np.log(width / w)])


def brute_force_nms(boxes, scores, classes, threshold, limit):
    """One pair at a time, in Python numbers."""
    kept = []
    for index in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if len(kept) < limit and all(
            classes[index] != classes[other] or overlap(boxes[index], boxes[other]) <= threshold for other in kept
        ):
            kept.append(index)
    return kept


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height)


def test_anchors_are_ordered_layer_row_column_shape():
    layers = [
        AnchorLayer(grid=(2, 3), step=(0.5, 0.25), sizes=((0.1, 0.2), (0.3, 0.4))),
        AnchorLayer(grid=(1, 1), step=(1.0, 1.0), sizes=((0.9, 0.8),)),
    ]
    expected = [
        [(row + 0.5) * 0.5, (column + 0.5) * 0.25, *size]
        for row in range(2)
        for column in range(3)
        for size in ((0.1, 0.2), (0.3, 0.4))
    ] + [[0.5, 0.5, 0.9, 0.8]]
    anchors = generate_anchors(layers)
    assert anchors.dtype == np.float32
    np.testing.assert_allclose(anchors, expected, rtol=1e-6)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), max_size=30), st.integers(1, 6))
def test_strongest_of_each_group_are_the_first_of_it_sorted(candidates, limit):
    groups, scores = (np.array([entry[part] for entry in candidates]) for part in (0, 1))
    expected = []
    for group in range(5):
        members = [index for index, entry in enumerate(candidates) if entry[0] == group]
        expected += sorted(members, key=lambda index: -candidates[index][1])[:limit]
    kept = strongest(scores.astype(np.float32), groups.astype(np.intp), limit)
    assert kept.tolist() == sorted(expected)


@given(st.floats(-40, 40), st.floats(-40, 40))
def test_a_box_is_at_most_so_many_times_as_large_or_small_as_its_anchor(tall, wide):
    anchor = np.array([[0.5, 0.5, 0.25, 0.125]], np.float32)
    box = BoxCoder("yxhw", SCALES, 8.0).decode(np.array([[0, 0, tall, wide]], np.float32), anchor)[0]
    sizes = np.array([box[3] - box[1], box[2] - box[0]])
    expected = np.clip(np.exp(np.array([tall, wide]) / 5), 1 / 8, 8) * (0.25, 0.125)
    np.testing.assert_allclose(sizes, expected, rtol=1e-5)


corner = st.floats(0.0, 0.9)
side = st.floats(0.02, 0.5)


@given(corner, corner, side, side, corner, corner, side, side)
def test_decoding_inverts_the_encoding_of_the_paper(left, top, width, height, y, x, h, w):
    box = np.array([left, top, left + width, top + height])
    anchor = np.array([[y, x, h, w]], np.float32)
    encoding = encode(box, anchor[0].astype(np.float64))[None].astype(np.float32)
    np.testing.assert_allclose(BoxCoder("yxhw", SCALES).decode(encoding, anchor)[0], box, atol=2e-5)


def test_the_order_of_the_encodings_is_only_an_order():
    anchor = np.array([[0.5, 0.4, 0.2, 0.3]], np.float32)
    encoding = np.array([[1.0, -2.0, 0.5, 0.7]], np.float32)
    swapped = encoding[:, [1, 0, 3, 2]]
    np.testing.assert_array_equal(
        BoxCoder("yxhw", (10, 8, 5, 4)).decode(encoding, anchor),
        BoxCoder("xywh", (8, 10, 4, 5)).decode(swapped, anchor),
    )


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(corner, corner, side, side, st.integers(1, 6), st.integers(0, 2)), max_size=40),
    st.sampled_from([0.0, 0.3, 0.6, 1.0]),
    st.integers(1, 30),
)
def test_nms_keeps_what_brute_force_keeps(raw, threshold, limit):
    # Quantised corners and scores on purpose: equal scores and equal boxes must come out in their first order.
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _, _ in raw], np.float32).reshape(-1, 4).round(1)
    boxes[:, 2:] += np.float32(0.05)
    scores = np.array([score / 6 for *_, score, _ in raw], np.float32)
    classes = np.array([kind for *_, kind in raw], np.intp)
    expected = brute_force_nms(boxes.astype(np.float64), scores.tolist(), classes.tolist(), threshold, limit)
    kept = non_maximum_suppression(boxes, scores, classes, threshold, limit)
    if threshold in (0.0, 1.0):
        assert kept.tolist() == expected
    else:  # in float32 an overlap of exactly the threshold may fall on either side
        margins = [abs(overlap(a, b) - threshold) for a in boxes.astype(np.float64) for b in boxes.astype(np.float64)]
        assert kept.tolist() == expected or min(margins) < 1e-5


def test_nms_of_nothing_is_nothing():
    empty = np.zeros((0, 4), np.float32)
    assert non_maximum_suppression(empty, empty[:, 0], np.zeros(0, np.intp), 0.5, 10).tolist() == []
