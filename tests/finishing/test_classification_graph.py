"""Classes ranked in the graph: by hand, and as outside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_graphs import labels_of, run, session_of

from mnv2deploy.contract import ClassificationDecoding
from mnv2deploy.finishing.classification import write_classification
from mnv2deploy.finishing.nodes import Nodes
from mnv2deploy.runtime.classify import Classifier


def written(logits, columns, **options):
    logits = np.asarray(logits, np.float32)
    nodes = Nodes("decoding")
    decoding = ClassificationDecoding(**options)
    answers = write_classification(nodes, "logits", logits.shape[1:], decoding, labels_of(columns))
    return run(nodes, answers, {"logits": logits})


def test_scores_are_the_softmax_over_all_columns_and_ids_the_data_sets():
    odds = np.array([[2, 5, 1, 8, 4], [1, 1, 1, 1, 1]])
    scores, class_ids = written(np.log(odds), range(5), top=2)
    np.testing.assert_allclose(scores, [[0.4, 0.25], [0.2, 0.2]], atol=1e-6)
    assert class_ids.tolist() == [[10, 4], [1, 4]]  # of equals the lower columns


def test_a_column_without_a_label_takes_its_share_and_is_never_answered():
    scores, class_ids = written(np.log([[2, 5, 1, 8, 4]]), [0, 4], top=5)
    np.testing.assert_allclose(scores, [[0.2, 0.1]], atol=1e-6)
    assert class_ids.tolist() == [[13, 1]]


def test_each_score_is_a_sigmoid_where_classes_do_not_exclude_each_other():
    scores, class_ids = written(np.log([[1, 9, 1 / 3]]), range(3), top=3, activation="sigmoid")
    np.testing.assert_allclose(scores, [[0.9, 0.5, 0.25]], atol=1e-6)
    assert class_ids.tolist() == [[4, 1, 7]]


def test_classes_are_ranked_by_logits_where_their_scores_round_to_the_same():
    for activation in ("softmax", "sigmoid"):
        _, class_ids = written([[40, 60, -200, -190]], range(4), top=4, activation=activation)
        assert class_ids.tolist() == [[4, 1, 10, 7]]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["softmax", "sigmoid"]),
    st.integers(1, 12),
    st.sets(st.integers(0, 8), min_size=1),
    st.sampled_from([None, 2]),
)
def test_any_contract_is_decoded_as_outside(seed, activation, top, columns, steps):
    logits = np.random.default_rng(seed).normal(0, 4, (3, 9)).astype(np.float32)
    if steps is not None:
        logits = np.round(logits * steps) / np.float32(steps)
    scores, class_ids = written(logits, columns, top=top, activation=activation)
    decoding = ClassificationDecoding(top=top, activation=activation)
    outside = Classifier(session_of(decoding, labels_of(columns)))
    for index, values in enumerate(logits):
        classes = outside.decode(values, height=1, width=1).classes
        assert class_ids[index].tolist() == [one.class_id for one in classes]
        assert scores[index].tolist() == pytest.approx([one.score for one in classes], abs=1e-6)
