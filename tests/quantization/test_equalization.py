from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from quantized_networks import artifact_graph, run, tiny_graph
from small_graphs import Builder, inputs_of

from mnv2deploy.quantization.equalization import Channels, equalize, factors_of, scale_channels, shared_channels
from mnv2deploy.quantization.graph import Graph, read_graph
from mnv2deploy.quantization.observation import Extent, measure_extents

NAMES = ("mobilenet-v2", "ssdlite-coco", "deeplabv3-voc")


def extents_of(graph: Graph, inputs: Sequence[NDArray[np.float32]]) -> dict[str, Extent]:
    return measure_extents(graph, [graph.input, *(step.output for step in graph.steps)], inputs)


@pytest.mark.parametrize("name", NAMES)
def test_an_artifact_answers_the_same_on_calibration_pictures(
    name: str, artifacts: dict[str, Path], photos: dict[str, Path]
) -> None:
    graph, _, pictures = artifact_graph(artifacts[name], photos)
    zero_point = 117
    inputs = [picture - np.float32(zero_point) for picture in pictures[:2]]
    before = {layer.name: layer.weight for layer in graph.layers}
    wanted = run(graph.to_model(), inputs[0])
    extents = extents_of(graph, inputs)
    equalize(graph, extents)
    for found, answer in zip(run(graph.to_model(), inputs[0]), wanted, strict=True):
        assert np.square(found - answer).sum() < 1e-8 * np.square(answer).sum()
    changed = [layer.name for layer in graph.layers if not np.array_equal(layer.weight, before[layer.name])]
    assert len(changed) > len(before) * 0.8
    # no channel was lifted past a ReLU6 on these pictures: what was below 6 still is
    cut = [layer.output for layer in graph.layers if layer.ceiling == 6]
    after = measure_extents(graph, cut, inputs[:1])
    assert max(extent.high.max() for extent in after.values()) <= 6


def noise_of(channels: Channels, factors: NDArray[np.float64], extents: dict[str, Extent]) -> float:
    """Of the readers' answers, as a share of their power: rounding tensors and weights, written here once more."""
    observed = [extents[name] for name in channels.tensors]
    steps = []
    for extent in observed:
        low, high = min(0, (extent.low * factors).min()), max(0, (extent.high * factors).max())
        steps.append((high - low) / 255)
    total = 0.0
    power = observed[-1].power * factors**2
    for reader in channels.readers:
        # (O, C, k) with depthwise channels on a diagonal
        flat = reader.weight.reshape(*reader.weight.shape[:2], -1).astype(np.float64)
        if reader.is_depthwise:
            flat = np.eye(len(flat))[:, :, None] * flat
        flat = flat / factors[:, None]
        noise = np.mean(np.square(steps)) / 12 * np.square(flat).sum()
        if not reader.is_depthwise:
            noise += (np.square(np.abs(flat).max((1, 2)) / 127) / 12).sum() * power.sum() * flat.shape[2]
        total += noise / (np.square(flat) * power[:, None]).sum()
    return total


def test_the_factors_chosen_bring_less_noise_than_none(artifacts: dict[str, Path], photos: dict[str, Path]) -> None:
    graph, _, pictures = artifact_graph(artifacts["mobilenet-v2"], photos)
    extents = extents_of(graph, [picture - np.float32(117) for picture in pictures[:2]])
    gains = []
    for channels in shared_channels(graph):
        factors = factors_of(channels, extents)
        noise, before = noise_of(channels, factors, extents), noise_of(channels, np.ones(len(factors)), extents)
        assert noise <= before * (1 + 1e-6)
        gains.append(noise / before)
    assert np.exp(np.mean(np.log(gains))) < 0.8


def tiny_channel(activation: str) -> tuple[Graph, list[NDArray[np.float32]]]:
    """Two convolutions; between them the last of four channels is a hundredth of the others, and read as much."""
    random = np.random.default_rng(0)
    builder = Builder((1, 4, 5, 5))
    sizes = np.array([1, 1, 1, 0.01]).reshape(4, 1, 1, 1)
    middle = builder.layer("write", "image", np.eye(4).reshape(4, 4, 1, 1) * sizes)
    if activation == "Relu":
        middle = builder.node("Relu", [middle], "cut")
    elif activation == "Clip":
        middle = builder.relu6(middle)
    if activation == "depthwise":
        builder.layer("read", middle, random.normal(size=(4, 1, 3, 3)) / sizes, group=4)
    else:
        builder.layer("read", middle, random.normal(size=(4, 4, 1, 1)) / sizes.reshape(1, 4, 1, 1))
    graph = builder.graph("read")
    return graph, inputs_of(graph, 8, spread=2.0)


@pytest.mark.parametrize("activation", ["", "Relu", "Clip", "depthwise"])
def test_a_channel_a_hundredth_of_the_others_is_scaled_up(activation: str) -> None:
    graph, inputs = tiny_channel(activation)
    (channels,) = shared_channels(graph)
    factors = factors_of(channels, extents_of(graph, inputs))
    assert factors[3] / factors[:3].max() > 8
    wanted = run(graph.to_model(), inputs[0])[0]
    scale_channels(channels, factors)
    np.testing.assert_allclose(run(graph.to_model(), inputs[0])[0], wanted, rtol=1e-4, atol=1e-4)


def test_a_channel_that_never_fires_is_scaled_within_reason() -> None:
    graph, inputs = tiny_channel("Relu")
    graph.layers[0].weight[3] = 0
    graph.layers[0].bias[3] = -1
    extents = extents_of(graph, inputs)
    factors = factors_of(shared_channels(graph)[0], extents)
    assert np.isfinite(factors).all()
    assert factors.max() / factors.min() <= 64**2


def test_nothing_calibrated_is_lifted_past_a_relu6() -> None:
    graph, inputs = tiny_channel("Clip")
    before = extents_of(graph, inputs)
    (channels,) = shared_channels(graph)
    factors = factors_of(channels, before)
    high = before[channels.tensors[0]].high
    assert (factors >= 1).all()  # a value that was cut at 6 would come out less
    assert (high * factors <= 6 * (1 + 1e-9)).all()
    assert (factors[high == 6] == 1).all()
    assert factors[3] > 8


def test_channels_that_no_scale_can_leave_alone_are_left_alone() -> None:
    graph = tiny_graph()
    tensors = [set(channels.tensors) for channels in shared_channels(graph)]
    # the input, what Concat, Reshape and Transpose join or turn, and what is an output stay
    assert tensors == [{"expand"}, {"depthwise"}]


def test_writers_and_readers_of_a_stream_are_all_found() -> None:
    random = np.random.default_rng(0)
    builder = Builder((1, 3, 4, 4))

    def square(name: str, source: str) -> str:
        return builder.layer(name, source, random.normal(size=(3, 3, 1, 1)))

    stream = square("a", "image")
    for name in "bc":
        stream = builder.node("Add", [stream, square(name, stream)], f"sum {name}")
    mean = builder.node("GlobalAveragePool", [stream], "mean")
    builder.layer("out", builder.node("Flatten", [mean], "flat"), random.normal(size=(2, 3)), op="Gemm", transB=1)
    graph = builder.graph("out")
    (channels,) = shared_channels(graph)
    assert set(channels.tensors) == {"a", "b", "c", "sum b", "sum c", "mean", "flat"}
    assert [step.name for step in channels.writers] == ["a", "b", "c"]
    assert [step.name for step in channels.readers] == ["b", "c", "out"]
    inputs = inputs_of(graph, 3)
    wanted = run(graph.to_model(), inputs[0])[0]
    scale_channels(channels, np.array([0.1, 1, 30]))
    np.testing.assert_allclose(run(graph.to_model(), inputs[0])[0], wanted, rtol=1e-4, atol=1e-5)


def test_the_residual_streams_of_mobilenet_v2_are_its_stages(artifacts: dict[str, Path]) -> None:
    graph = read_graph(onnx.load(artifacts["mobilenet-v2"]), "mobilenet-v2")
    found = shared_channels(graph)
    streams = [channels for channels in found if len(channels.writers) > 1]
    # table 2 of the paper: the stages with n > 1 repeat a block whose input is added to its output, in c channels
    stages = [(2, 24), (3, 32), (4, 64), (3, 96), (3, 160)]
    assert [(len(channels.writers), len(channels.writers[0].weight)) for channels in streams] == stages
    for channels in streams:
        assert all(step.is_pointwise and step.ceiling is None for step in channels.writers)
        assert len(channels.readers) == len(channels.writers)  # every block's expansion, the next stage's last
        assert all(reader.weight.shape[1] == len(channels.writers[0].weight) for reader in channels.readers)
        blocks = [int(re.findall(r"\d+", step.name)[0]) for step in channels.writers]
        assert blocks == list(range(blocks[0], blocks[0] + len(blocks)))
    # every other tensor is on its own: none is left out but the input and the answer
    assert sum(len(channels.writers) for channels in found) == len(graph.layers) - 1


@pytest.mark.parametrize("bits", [8, 7])
def test_equalizing_twice_changes_little(bits: int) -> None:
    graph, inputs = tiny_channel("Relu")
    equalize(graph, extents_of(graph, inputs), bits)
    again = factors_of(shared_channels(graph)[0], extents_of(graph, inputs), bits)
    assert again.max() / again.min() < 2
