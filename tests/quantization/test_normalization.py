from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from quantized_networks import run
from small_graphs import Builder

from mnv2deploy.contract import METADATA_KEY, Preprocessing, parse_contract
from mnv2deploy.quantization.encodings import Encoding
from mnv2deploy.quantization.graph import Graph
from mnv2deploy.quantization.normalization import fold_normalization

MEAN, STD = (90.5, 120.25, 140.0), (50.0, 60.0, 70.0)


@pytest.fixture(scope="module")
def preprocessing(artifacts: dict[str, Path]) -> Preprocessing:
    held = onnx.load(artifacts["mobilenet-v2"]).metadata_props[0]
    assert held.key == METADATA_KEY
    return dataclasses.replace(parse_contract(held.value, "").preprocessing, mean=MEAN, std=STD)


def network(seed: int) -> Graph:
    random = np.random.default_rng(seed)
    builder = Builder((1, 3, 10, 10))
    # channels of unlike weight, so that which zero point errs least is not the mean of the means
    weight = random.normal(size=(4, 3, 3, 3)) * random.uniform(0.1, 3, (1, 3, 1, 1))
    return builder.graph(builder.layer("stem", "image", weight, random.normal(size=4), pads=[1, 1, 1, 1]))


def column(values: tuple[float, ...]) -> np.ndarray:
    return np.reshape(values, (1, 3, 1, 1))


@pytest.mark.parametrize("seed", range(3))
def test_bytes_give_what_normalized_values_gave_except_at_the_border(seed: int, preprocessing: Preprocessing) -> None:
    graph = network(seed)
    picture = np.random.default_rng(seed).integers(0, 256, (1, 3, 10, 10)).astype(np.float64)
    before = graph.layers[0].weight.astype(np.float64) / column(STD)
    wanted = run(graph.to_model(), ((picture - column(MEAN)) / column(STD)).astype(np.float32))[0]
    encoding = fold_normalization(graph, preprocessing)
    assert encoding.scale == 1.0
    assert encoding.dtype == "uint8"
    found = run(graph.to_model(), (picture - encoding.zero_point).astype(np.float32))[0]
    np.testing.assert_allclose(found[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1], atol=1e-4)
    # the border was padded with each channel's mean and is padded with the zero point now
    change = (before * (encoding.zero_point - column(MEAN))).sum(1)
    corner = change.sum((1, 2)) - change[:, 1:, 1:].sum((1, 2))
    np.testing.assert_allclose(found[0, :, 0, 0] - wanted[0, :, 0, 0], corner, atol=1e-4)
    np.testing.assert_allclose(found[0, :, 0, 4] - wanted[0, :, 0, 4], change[:, 0].sum(1), atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_zero_point_errs_less_at_the_border(seed: int, preprocessing: Preprocessing) -> None:
    graph = network(seed)
    weight = graph.layers[0].weight.astype(np.float64) / column(STD)
    chosen = fold_normalization(graph, preprocessing).zero_point
    errors = [np.square(weight * (zero_point - column(MEAN))).sum() for zero_point in range(256)]
    assert chosen == int(np.argmin(errors))


@pytest.mark.parametrize(("mean", "zero_point"), [((-20.0,) * 3, 0), ((400.0,) * 3, 255), ((127.5,) * 3, 128)])
def test_the_zero_point_is_a_byte(
    mean: tuple[float, float, float], zero_point: int, preprocessing: Preprocessing
) -> None:
    found = fold_normalization(network(0), dataclasses.replace(preprocessing, mean=mean))
    assert found == Encoding(1.0, zero_point, "uint8")


def test_all_layers_that_read_the_picture_are_rewritten_alike(preprocessing: Preprocessing) -> None:
    random = np.random.default_rng(0)
    builder = Builder((1, 3, 4, 4))
    first = builder.layer("first", "image", random.normal(size=(2, 3, 1, 1)), random.normal(size=2))
    second = builder.layer("second", "image", random.normal(size=(2, 3, 1, 1)), random.normal(size=2))
    graph = builder.graph(builder.node("Add", [first, second], "last"))
    picture = random.integers(0, 256, (1, 3, 4, 4)).astype(np.float64)
    wanted = run(graph.to_model(), ((picture - column(MEAN)) / column(STD)).astype(np.float32))[0]
    encoding = fold_normalization(graph, preprocessing)
    found = run(graph.to_model(), (picture - encoding.zero_point).astype(np.float32))[0]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
