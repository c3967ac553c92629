from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from quantized_networks import STREAM, encode, run, simulate, stream_graph, tiny_graph
from small_graphs import inputs_of

from mnv2deploy.quantization import qdq
from mnv2deploy.quantization.encodings import Encodings, LayerEncoding
from mnv2deploy.quantization.graph import Graph
from mnv2deploy.quantization.refinement import Rates, SimulatedGraph, refine, relative_error

Array = NDArray[np.float32]
STEPS = 40


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More only get in each other's way where tensors are this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return tiny_graph()


@pytest.fixture(scope="module")
def inputs(graph: Graph) -> list[Array]:
    return inputs_of(graph, 8, spread=2)


@pytest.fixture(scope="module")
def start(graph: Graph, inputs: list[Array]) -> Encodings:
    return encode(graph, inputs)


@pytest.fixture(scope="module")
def spreads(graph: Graph) -> dict[str, float]:
    return {layer.output: 1.0 for layer in graph.layers}


def simulated(graph: Graph, encodings: Encodings, tensor: Array) -> dict[str, Array]:
    """What torch's simulation answers."""
    spreads = {layer.output: 1.0 for layer in graph.layers}
    with torch.no_grad():
        answers = SimulatedGraph(graph, encodings, spreads)(torch.from_numpy(tensor))
    return {name: answer.numpy() for name, answer in zip(graph.outputs, answers, strict=True)}


def looked_into(graph: Graph, tensors: list[str]) -> Graph:
    """The graph with these tensors for outputs."""
    changed = graph.copy()
    changed.outputs, changed.output_shapes = tensors, [None] * len(tensors)  # type: ignore[list-item]
    return changed


@pytest.mark.parametrize("form", ["uint8", "int8", "int8 symmetric"])
@pytest.mark.parametrize("kept", [(), ("expand", "head")], ids=["all", "some in float"])
def test_the_simulation_answers_what_onnxruntime_does(
    graph: Graph, inputs: list[Array], form: str, kept: tuple[str, ...]
) -> None:
    dtype, _, symmetric = form.partition(" ")
    encodings = encode(graph, inputs, dtype=dtype, symmetric=bool(symmetric), kept=kept)
    inner = [name for name in ("stem", "expand", "depthwise", "project", "sum", "both") if name in encodings.tensors]
    changed = looked_into(graph, [*inner, *graph.outputs])
    model = qdq.write(changed, encodings, picture_bytes=False)
    for tensor in inputs[:3]:
        found = simulated(changed, encodings, tensor)
        for name, wanted in zip(changed.outputs, run(model, tensor, optimise=False), strict=True):
            # a value halfway between two steps may go either way, and what follows it with it
            off = np.abs(found[name] - wanted) > 1e-5 * max(1, np.abs(wanted).max())
            assert off.mean() < (0.002 if name in inner[:2] else 0.02), name
            step = encodings.tensors[name].scale if name in encodings.tensors else 0.05
            assert np.abs(found[name] - wanted).max() <= 2.01 * step, name


def test_the_simulation_starts_where_the_definition_says(graph: Graph, inputs: list[Array], start: Encodings) -> None:
    found = simulated(graph, start, inputs[0])
    wanted = simulate(graph, start, inputs[0])
    for name in graph.outputs:
        np.testing.assert_allclose(np.median(np.abs(found[name] - wanted[name])), 0, atol=1e-5)


@pytest.mark.parametrize("kept", [(), ("last.expand",)], ids=["all", "one in float"])
def test_a_stream_in_float32_is_simulated_as_onnxruntime_runs_it(kept: tuple[str, ...]) -> None:
    graph = stream_graph()
    random = np.random.default_rng(0)
    inputs = [random.normal(0, 2, (2, 3, 8, 8)).astype(np.float32) for _ in range(4)]
    encodings = dataclasses.replace(encode(graph, inputs, kept=kept), stream=STREAM)
    model = qdq.write(graph, encodings, picture_bytes=False)
    for tensor in inputs:
        found, (wanted,) = simulated(graph, encodings, tensor)["answers"], run(model, tensor)
        off = np.abs(found - wanted)
        assert off.max() <= 2.01 * encodings.tensors["answers"].scale
        assert (off < 1e-5).mean() > 0.98
    learned_stream = SimulatedGraph(graph, encodings, {layer.output: 1.0 for layer in graph.layers}).encodings().stream
    assert learned_stream == STREAM


def batches(graph: Graph, inputs: list[Array]) -> Iterator[tuple[Array, list[Array]]]:
    model = graph.to_model()
    held = [(tensor, run(model, tensor)) for tensor in inputs]
    return itertools.cycle(held)


def loss_of(graph: Graph, encodings: Encodings, inputs: list[Array]) -> float:
    """By the definition, not by the simulation."""
    total = 0.0
    for tensor in inputs:
        found = simulate(graph, encodings, tensor)
        for name, wanted in zip(graph.outputs, run(graph.to_model(), tensor), strict=True):
            total += float(np.square(found[name] - wanted).mean() / np.square(wanted).mean())
    return total / len(inputs) / len(graph.outputs)


def coarse(encodings: Encodings) -> Encodings:
    """Weights of 16 steps only, so that there is something to learn."""
    found = Encodings(dict(encodings.tensors))
    for name, layer in encodings.layers.items():
        whole = np.clip(np.rint(layer.weight / 16), -7, 7).astype(np.int8)
        found.layers[name] = LayerEncoding(whole, layer.scales * np.float32(16), layer.bias)
    return found


def learned(
    graph: Graph, start: Encodings, spreads: dict[str, float], inputs: list[Array], **options: object
) -> Encodings:
    return refine(graph, start, spreads, batches(graph, inputs), STEPS, **options)  # type: ignore[arg-type]


def test_a_few_steps_bring_the_answers_nearer_to_the_float_networks(
    graph: Graph, inputs: list[Array], start: Encodings, spreads: dict[str, float]
) -> None:
    losses: list[float] = []
    rates = Rates(weight=0.05, bias=0.01)
    found = learned(graph, coarse(start), spreads, inputs, rates=rates, told=losses.append)
    assert len(losses) == STEPS
    assert np.mean(losses[-8:]) < 0.7 * np.mean(losses[:8])
    # what ships is what was learned
    assert loss_of(graph, found, inputs) < 0.7 * loss_of(graph, coarse(start), inputs)


def test_what_is_exported_is_what_was_simulated(
    graph: Graph, inputs: list[Array], start: Encodings, spreads: dict[str, float]
) -> None:
    network = SimulatedGraph(graph, coarse(start), spreads)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():  # as training would have moved it
        for layer in network.layers.values():
            layer.whole += torch.randn(layer.whole.shape, generator=random) * 0.4
            layer.log_scale += torch.randn(layer.log_scale.shape, generator=random) * 0.02
            layer.bias += torch.randn(layer.bias.shape, generator=random) * 0.02
        for tensor in network.tensors.values():
            if tensor.log_scale.requires_grad:
                tensor.log_scale += torch.randn(1, generator=random) * 0.02
            if tensor.zero_point.requires_grad:
                tensor.zero_point += torch.randn(1, generator=random)
        answers = network(torch.from_numpy(inputs[0]))
    exported = network.encodings()
    assert exported.tensors.keys() == start.tensors.keys()
    assert exported.tensors["tiled"] == exported.tensors["pooled"]
    names = ("project", "mean", "both", "means", "head")
    assert any(exported.tensors[name].zero_point != start.tensors[name].zero_point for name in names)
    wanted = simulate(graph, exported, inputs[0])
    for name, answer in zip(graph.outputs, answers, strict=True):
        step = exported.tensors["head"].scale if name == "boxes" else 0.02
        assert np.abs(answer.numpy() - wanted[name]).max() <= 2.01 * step
        assert np.median(np.abs(answer.numpy() - wanted[name])) < 1e-4


def test_no_scale_passes_the_relu6(
    graph: Graph, inputs: list[Array], start: Encodings, spreads: dict[str, float]
) -> None:
    network = SimulatedGraph(graph, start, spreads)
    with torch.no_grad():
        for tensor in network.tensors.values():
            tensor.log_scale += 3
    found = network.encodings()
    for name in ("stem", "expand", "depthwise"):
        assert found.tensors[name].high <= 6 * (1 + 1e-6)
        assert found.tensors[name].zero_point == 0
    assert found.tensors["project"].scale == pytest.approx(start.tensors["project"].scale * np.exp(3), rel=1e-5)


def test_the_picture_and_zeros_of_activations_stay_as_they_are(
    graph: Graph, inputs: list[Array], start: Encodings, spreads: dict[str, float]
) -> None:
    found = learned(graph, start, spreads, inputs, rates=Rates(0.05, 0.01, 0.5, 0.01))
    assert found.tensors["image"] == start.tensors["image"]
    for name in ("stem", "expand", "depthwise", "sum", "pooled"):
        assert found.tensors[name].zero_point == 0
    assert any(found.tensors[name].zero_point != start.tensors[name].zero_point for name in ("project", "head", "mean"))
    assert any(found.tensors[name].scale != start.tensors[name].scale for name in ("project", "head"))
    for name, layer in found.layers.items():
        assert np.abs(layer.weight.astype(int)).max() <= 127
        assert not np.array_equal(layer.weight, start.layers[name].weight) or not np.array_equal(
            layer.bias, start.layers[name].bias
        )


def test_symmetric_zero_points_stay_in_the_middle(graph: Graph, inputs: list[Array], spreads: dict[str, float]) -> None:
    start = coarse(encode(graph, inputs, dtype="int8", symmetric=True))
    for name in ("project", "head"):  # so narrow that moving zero would help
        start.tensors[name] = dataclasses.replace(start.tensors[name], scale=start.tensors[name].scale / 2)
    found = learned(graph, start, spreads, inputs, rates=Rates(zero_point=1.0), symmetric=True)
    assert {encoding.zero_point for encoding in found.tensors.values()} == {0}
    assert loss_of(graph, found, inputs) < loss_of(graph, start, inputs)


@pytest.mark.parametrize("bits", [8, 7])
def test_weights_keep_to_the_bits_of_the_target(
    graph: Graph, inputs: list[Array], start: Encodings, spreads: dict[str, float], bits: int
) -> None:
    found = learned(graph, start, spreads, inputs[:2], rates=Rates(weight=30.0), bits=bits)
    greatest = max(np.abs(layer.weight.astype(int)).max() for layer in found.layers.values())
    assert greatest == 2 ** (bits - 1) - 1


def test_two_runs_learn_the_same(
    graph: Graph, inputs: list[Array], start: Encodings, spreads: dict[str, float]
) -> None:
    first, second = (learned(graph, coarse(start), spreads, inputs) for _ in range(2))
    assert first.tensors == second.tensors
    for name, layer in first.layers.items():
        np.testing.assert_array_equal(layer.weight, second.layers[name].weight)
        np.testing.assert_array_equal(layer.scales, second.layers[name].scales)
        np.testing.assert_array_equal(layer.bias, second.layers[name].bias)


def test_the_loss_is_the_share_of_the_power_that_is_wrong() -> None:
    wanted = [torch.tensor([3.0, 4.0]), torch.tensor([[100.0]])]
    found = [torch.tensor([3.0, 3.0]), torch.tensor([[110.0]])]
    assert relative_error(found, wanted).item() == pytest.approx((1 / 25 + 0.01) / 2)
