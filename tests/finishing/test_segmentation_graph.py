"""Masks made in the graph: against torch's interpolation in float64, and as outside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from written_graphs import labels_of, run

from mnv2deploy.contract import Input, Label, SegmentationDecoding
from mnv2deploy.finishing.nodes import Nodes
from mnv2deploy.finishing.segmentation import write_segmentation
from mnv2deploy.runtime.masks import axis_positions, upsample_argmax


def written(logits, labels, height, width, *, align_corners=True):
    graph_input = Input(name="image", layout="NCHW", dtype="float32", height=height, width=width)
    nodes, decoding = Nodes("decoding"), SegmentationDecoding(align_corners=align_corners)
    answers = write_segmentation(nodes, "logits", logits.shape[1:], decoding, labels, graph_input)
    (mask,) = run(nodes, answers, {"logits": logits})
    return mask


def noise(seed, batch, columns, height, width):
    return np.random.default_rng(seed).normal(0, 3, (batch, columns, height, width)).astype(np.float32)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(33, 49), (32, 48), (50, 31), (9, 13), (9, 20), (7, 11)])
def test_mask_is_the_argmax_of_the_stretched_logits(size, align_corners):
    logits = noise(sum(size), 2, 6, 9, 13)
    mask = written(logits, labels_of(range(6)), *size, align_corners=align_corners)
    full = F.interpolate(torch.from_numpy(logits).double(), size, mode="bilinear", align_corners=align_corners)
    best, second = full.topk(2, dim=1).values.unbind(1)
    sure = (best - second > 1e-4).numpy()
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(mask[sure], full.argmax(dim=1).numpy()[sure] * 3 + 1)
    rows, columns = (axis_positions(g, s, align_corners=align_corners) for g, s in zip((9, 13), size, strict=True))
    for one, values in zip(mask, logits, strict=True):
        assert np.mean(one != upsample_argmax(values, rows, columns) * 3 + 1) < 0.002


def test_columns_without_a_label_never_win():
    logits = noise(1, 1, 5, 6, 6)
    logits[:, [0, 3]] += 100
    mask = written(logits, labels_of([1, 2, 4]), 24, 24)
    lowered = logits.copy()
    lowered[:, [0, 3]] = -1e4
    np.testing.assert_array_equal(mask, written(lowered, labels_of(range(5)), 24, 24))
    assert set(np.unique(mask)) == {4, 7, 13}


@pytest.mark.parametrize(("largest", "dtype"), [(255, np.uint8), (256, np.int32), (70_000, np.int32)])
def test_mask_is_as_wide_as_its_ids_need(largest, dtype):
    labels = [Label(column=0, class_id=3, name="a"), Label(column=1, class_id=largest, name="b")]
    logits = np.zeros((1, 2, 1, 2), np.float32)
    logits[0, 1, 0, 1] = 1
    mask = written(logits, labels, 1, 2)
    assert mask.dtype == dtype
    assert mask.tolist() == [[[3, largest]]]


def test_of_equal_logits_the_lower_column_wins():
    assert (written(np.ones((1, 4, 3, 3), np.float32), labels_of([1, 3]), 9, 9) == 4).all()
