"""Against the peers' mask utilities: pycocotools' C code, as faster-coco-eval carries it on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from faster_coco_eval.core import mask as peer
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mnv2deploy.runtime.rle import encode_rle
from mnv2deploy.runtime.segment import Segmenter
from mnv2deploy.runtime.session import Session


def peer_encode(mask: np.ndarray) -> dict:
    encoded = peer.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}


@example(np.ones((1, 1), bool))
@example(np.zeros((1, 1), bool))
@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 60), st.integers(1, 60))))
def test_the_peers_decoder_gives_every_mask_back(mask: np.ndarray) -> None:
    encoded = encode_rle(mask)
    assert encoded["size"] == list(mask.shape)
    np.testing.assert_array_equal(peer.decode({**encoded, "counts": encoded["counts"].encode()}), mask)
    assert encoded == peer_encode(mask)


# Densities make runs of every length, sizes make numbers of one to six characters and differences of both signs.
@pytest.mark.parametrize("share", [0, 1e-6, 1e-4, 0.01, 0.3, 0.5, 0.99, 1])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (480, 640), (3000, 4000)])
def test_is_to_the_letter_what_the_peer_writes(shape: tuple[int, int], share: float) -> None:
    mask = np.random.default_rng(7).random(shape) < share
    assert encode_rle(mask) == peer_encode(mask)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 511, 512, 513, 16383, 16384, 524287, 524288, 16777215, 16777216])
def test_runs_around_the_powers_of_two(length: int) -> None:
    mask = np.zeros((1, 2 * length + 40), bool)
    mask[0, length : length + 3] = True
    mask[0, length + 10 : 2 * length + 10] = True
    mask[0, -1] = True
    assert encode_rle(mask) == peer_encode(mask)


def test_masks_of_real_pictures(artifacts, photos) -> None:
    segmenter = Segmenter(Session(artifacts["deeplabv3-voc"]))
    for name in ("chelsea.png", "astronaut.png"):
        result = segmenter(photos[name])
        assert len(result.segments) > 1
        for segment in result.segments:
            here = result.mask == segment.class_id
            encoded = encode_rle(here)
            assert encoded == peer_encode(here)
            assert peer.area({**encoded, "counts": encoded["counts"].encode()}) == segment.pixels


def test_the_order_in_memory_does_not_matter_and_json_can_hold_it() -> None:
    mask = np.random.default_rng(0).random((50, 70)) < 0.2
    encoded = encode_rle(mask)
    assert encode_rle(np.asfortranarray(mask)) == encoded
    assert json.loads(json.dumps(encoded)) == encoded
