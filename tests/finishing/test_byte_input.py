"""A graph that normalises a picture's bytes computes what `prepare` does, and the network behind it the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tiny_models import SIDE, tiny_segmenter

from mnv2deploy.contract import METADATA_KEY, parse_contract
from mnv2deploy.finishing.artifact import finish
from mnv2deploy.runtime import images
from mnv2deploy.runtime.preprocessing import prepare, to_tensor
from mnv2deploy.runtime.session import Session

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
LABELS = {0: "red", 1: "green", 2: "blue"}


def normalised_like(path: Path, kernel: np.ndarray | None = None) -> Path:
    """A tiny artifact with ImageNet's normalisation, and maybe another convolution, padded with zeros."""
    model = onnx.load(tiny_segmenter(path, LABELS))
    contract = parse_contract(model.metadata_props[0].value, "tiny")
    preprocessing = dataclasses.replace(contract.preprocessing, mean=MEAN, std=STD)
    del model.metadata_props[:]
    contract = dataclasses.replace(contract, preprocessing=preprocessing)
    onnx.helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    if kernel is not None:
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(kernel, "kernel"))
        model.graph.node[0].attribute.append(onnx.helper.make_attribute("pads", [1, 1, 1, 1]))
    onnx.save(model, path)
    return path


def with_bytes(model: Path) -> Session:
    return Session(finish(model, model.with_name("bytes.onnx"), byte_input=True, end_to_end=False).path)


def test_every_byte_of_every_channel_becomes_the_number_prepare_makes_of_it(tmp_path):
    session = with_bytes(normalised_like(tmp_path / "tiny.onnx"))
    pixels = np.arange(256, dtype=np.uint8).reshape(4, SIDE, SIDE, 1).repeat(3, axis=3)
    (found,) = session.run(pixels)
    wanted = np.concatenate([to_tensor(one, MEAN, STD) for one in pixels])
    assert np.abs(found - wanted).max() < 1e-6 * np.ptp(wanted)


def test_zero_padding_stays_the_mean(tmp_path):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 3)).astype(np.float32)
    model = normalised_like(tmp_path / "tiny.onnx", kernel)
    picture = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    (wanted,), *_ = Session(model).run_picture(picture)
    (found,), *_ = with_bytes(model).run_picture(picture)
    np.testing.assert_allclose(found, wanted, atol=1e-6 * np.ptp(wanted))


def test_contract_asks_for_the_resized_picture(tmp_path):
    contract = with_bytes(normalised_like(tmp_path / "tiny.onnx")).contract
    assert (contract.input.dtype, contract.input.layout, contract.input.shape) == ("uint8", "NHWC", (SIDE, SIDE, 3))
    assert (set(contract.preprocessing.mean), set(contract.preprocessing.std)) == ({0.0}, {1.0})
    assert not contract.finished


@pytest.mark.parametrize("name", ["mobilenet-v2", "ssdlite-coco"])
def test_real_network_answers_a_photo_as_it_did(name, artifacts, photos, tmp_path):
    raw = Session(artifacts[name], threads=1)
    of_bytes = Session(finish(artifacts[name], tmp_path / "b.onnx", byte_input=True, end_to_end=False).path, threads=1)
    assert of_bytes.fixed_batch is None
    pictures = [images.read(photos[file]) for file in ("coffee.png", "rocket.jpg")]
    wanted, found = (
        session.run(
            np.concatenate([prepare(p, session.contract.input, session.contract.preprocessing) for p in pictures])
        )
        for session in (raw, of_bytes)
    )
    for one, other in zip(found, wanted, strict=True):
        assert np.abs(one - other).max() < 1e-5 * np.ptp(other)
