"""Learned refinement: the simulated quantized network is trained until it answers as the float network does.

No label is used: the loss is the mean squared difference of the outputs, relative to the float outputs' power
("logit matching"; Hinton et al. 2015, arXiv 1503.02531), on calibration pictures with random crops and flips. What is
trained is what the quantized network has: where each weight rounds to (straight-through, in units of its scale; a
weight need only cross the middle between two whole numbers, as in AdaRound, Nagel et al. 2020, arXiv 2004.10568), the
scales of weights and tensors and the zero points (LSQ, Esser et al. 2020, arXiv 1902.08153; LSQ+, Bhalgat et al. 2020,
arXiv 2004.09576) and the biases. The simulation computes what QLinearConv computes, so what is learned is what ships.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnv2deploy.quantization.encodings import Encoding, Encodings, LayerEncoding, per_channel, weight_limits
from mnv2deploy.quantization.graph import MOVEMENT, Floats, Graph, Step

# Of 1000 logits a few decide the answer, so their errors count extra. MobileNetV2 after 200 steps, SQNR and how many of
# 500 first classes its noise should turn: 23.1 dB and 13.6 with 5 contestants of weight 1, 23.3 and 13.0 with 10 of
# weight 1, 23.5 and 12.4 with 10 of weight 0.3; with one more layer in float32 23.9 and 12.3 with these, 24.1 and
# 11.2 with 30 of weight 0.2.
_CONTESTANTS, _CONTEST_WEIGHT = 30, 0.2


@dataclass(frozen=True, slots=True)
class Rates:
    """Adam's learning rates at the start; they fall to nothing along a cosine.

    Attributes:
        weight: Of weights, in steps of their scale.
        scale: Of all scales, relative.
        zero_point: In steps.
        bias: Of biases, relative to the spread of the layer's answers.
    """

    weight: float = 0.01
    scale: float = 5e-4
    zero_point: float = 0.01
    bias: float = 1e-3


def run_layer(step: Step, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A convolution or Gemm with these parameters, without its activation."""
    if step.op == "Gemm":
        return F.linear(x, weight, bias)
    top, left, bottom, right = step.attributes.get("pads", (0, 0, 0, 0))
    padding = (top, left)
    if (top, left) != (bottom, right):
        x, padding = F.pad(x, (left, right, top, bottom)), (0, 0)
    strides, dilations = step.attributes.get("strides", (1, 1)), step.attributes.get("dilations", (1, 1))
    return F.conv2d(x, weight, bias, tuple(strides), padding, tuple(dilations), step.groups)


class SimulatedLayer(nn.Module):
    """A layer whose weights are whole numbers in the forward pass."""

    def __init__(self, step: Step, encoding: LayerEncoding, spread: float, bits: int, *, whole_bias: bool) -> None:
        super().__init__()
        self.step = step
        scales = torch.from_numpy(per_channel(encoding.scales, step.weight).astype(np.float32))
        whole = torch.from_numpy(encoding.weight.astype(np.float32))
        self.whole = nn.Parameter(whole)
        self.log_scale = nn.Parameter(torch.zeros_like(scales))
        self.scale = scales
        self.spread = spread
        self.bias = nn.Parameter(torch.from_numpy(encoding.bias.astype(np.float32)) / spread)
        self.greatest = weight_limits(bits)[1]
        self.whole_bias = whole_bias

    def rounded(self) -> Tensor:
        """The whole numbers, gradients passed straight through."""
        held = self.whole.clamp(-self.greatest, self.greatest)
        return held + (held.round() - held).detach()

    def forward(self, x: Tensor, input_scale: Tensor) -> Tensor:
        scale = self.scale * self.log_scale.exp()
        weight = self.rounded() * scale
        unit = (scale.reshape(-1) * input_scale).detach()
        bias = self.bias * self.spread
        if self.whole_bias:
            bias = bias + ((bias / unit).round() * unit - bias).detach()
        return run_layer(self.step, x, weight, bias)

    def encoding(self) -> LayerEncoding:
        """What has been learned."""
        whole = self.whole.detach().clamp(-self.greatest, self.greatest).round().numpy().astype(np.int8)
        scales = (self.scale * self.log_scale.detach().exp()).reshape(-1).numpy().astype(np.float32)
        return LayerEncoding(whole, scales, (self.bias.detach() * self.spread).numpy().astype(np.float64))


def _product(step: Step, given: Tensor) -> Tensor:
    """A MatMul, its constant on the side where it stands."""
    ((position, matrix),) = step.constants.items()
    factor = torch.tensor(matrix)
    return factor @ given if position == 0 else given @ factor


class SimulatedTensor(nn.Module):
    """Rounds a tensor to its encoding."""

    def __init__(self, encoding: Encoding, ceiling: float | None, *, fixed: bool, symmetric: bool) -> None:
        super().__init__()
        self.first = encoding
        self.ceiling = ceiling
        self.log_scale = nn.Parameter(torch.zeros(1), requires_grad=not fixed)
        moves = not (fixed or symmetric or ceiling is not None)
        self.zero_point = nn.Parameter(torch.tensor([float(encoding.zero_point)]), requires_grad=moves)

    def scale(self) -> Tensor:
        """Of one step; never so large that the encoding reaches past the activation's ceiling."""
        scale = self.first.scale * self.log_scale.exp()
        if self.ceiling is not None and self.ceiling < math.inf:
            scale = scale.clamp(max=self.ceiling / (self.first.limits[1] - self.first.zero_point))
        return scale

    def forward(self, x: Tensor) -> Tensor:
        low, high = self.first.limits
        if self.ceiling is not None and self.first.zero_point != low:  # eight bits that do not cut at 0
            x = x.clamp(0, self.ceiling)
        return torch._fake_quantize_learnable_per_tensor_affine(x, self.scale(), self.zero_point, low, high, 1.0)

    def encoding(self) -> Encoding:
        """What has been learned."""
        low, high = self.first.limits
        zero_point = int(self.zero_point.detach().round().clamp(low, high))
        return Encoding(float(np.float32(self.scale().detach().item())), zero_point, self.first.dtype)


class SimulatedGraph(nn.Module):
    """The quantized graph in torch, with gradients.

    Args:
        graph: Float.
        encodings: Of all its layers and tensors to start from.
        spreads: By tensor that a layer makes, its root mean square.
        bits: Of the weights.
        symmetric: Whether zero points stay where they are.
    """

    def __init__(
        self,
        graph: Graph,
        encodings: Encodings,
        spreads: dict[str, float],
        bits: int = 8,
        *,
        symmetric: bool = False,
    ) -> None:
        super().__init__()
        self.graph = graph
        self.stream = encodings.stream
        self.layers = {
            step.name: SimulatedLayer(
                step,
                encodings.layers[step.name],
                spreads[step.output],
                bits,
                whole_bias=step.output not in encodings.stream,
            )
            for step in graph.layers
            if step.name in encodings.layers
        }
        self.tensors: dict[str, SimulatedTensor] = {}
        self.shared: dict[str, str] = {}  # of values only moved about, whose encoding they keep
        for name, encoding in encodings.tensors.items():
            producer = graph.producer(name)
            if producer is not None and producer.op in MOVEMENT and len(producer.inputs) == 1:
                self.shared[name] = self.shared.get(producer.inputs[0], producer.inputs[0])
            else:
                ceiling = None if producer is None else producer.ceiling
                self.tensors[name] = SimulatedTensor(encoding, ceiling, fixed=name == graph.input, symmetric=symmetric)
        self.trained = nn.ModuleList([*self.layers.values(), *self.tensors.values()])

    def forward(self, x: Tensor) -> list[Tensor]:
        first = self.graph.input
        values = {first: self.tensors[first](x) if first in self.tensors else x}
        for step in self.graph.steps:
            given = [values[name] for name in step.inputs]
            made = self._run(step, given)
            if step.output in self.tensors and step.output not in self.stream:
                made = self.tensors[step.output](made)
            elif step.ceiling is not None:
                made = made.clamp(0, step.ceiling)
            values[step.output] = made
        return [values[name] for name in self.graph.outputs]

    def _run(self, step: Step, given: list[Tensor]) -> Tensor:
        if step.is_layer:
            return self._layer(step, given[0])
        if step.op == "Add":
            return given[0] + given[1]
        if step.op == "GlobalAveragePool":
            return given[0].mean((2, 3), keepdim=True)
        if step.op == "Flatten":
            return given[0].flatten(1)
        if step.op == "Tile":
            return given[0].tile(tuple(int(count) for count in step.constants[1]))
        if step.op == "Transpose":
            return given[0].permute(*step.attributes["perm"])
        if step.op == "Reshape":
            first, *sizes = (int(size) for size in step.constants[1])
            return given[0].reshape(-1 if first == -1 else len(given[0]), *sizes)
        if step.op == "MatMul":
            return _product(step, given[0])
        if step.op == "Resize":
            scales = tuple(float(scale) for scale in step.constants[2][2:])
            return nn.functional.interpolate(given[0], scale_factor=scales, mode="bilinear", align_corners=False)
        return torch.cat(given, int(step.attributes["axis"]))

    def _layer(self, step: Step, given: Tensor) -> Tensor:
        if step.name in self.layers:
            source = self.shared.get(step.inputs[0], step.inputs[0])
            if step.inputs[0] in self.stream:
                given = self.tensors[source](given)
            made: Tensor = self.layers[step.name](given, self.tensors[source].scale())
            return made
        return run_layer(step, given, torch.from_numpy(step.weight), torch.from_numpy(step.bias))

    def encodings(self) -> Encodings:
        """What has been learned."""
        found = Encodings(stream=self.stream)
        found.layers = {name: layer.encoding() for name, layer in self.layers.items()}
        found.tensors = {name: tensor.encoding() for name, tensor in self.tensors.items()}
        found.tensors |= {name: found.tensors[source] for name, source in self.shared.items()}
        return found


def relative_error(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Mean over outputs of the squared difference as a share of the float output's power."""
    shares = [(a - b).square().mean() / b.square().mean() for a, b in zip(found, wanted, strict=True)]
    return torch.stack(shares).mean()


def contest_error(found: Tensor, wanted: Tensor) -> Tensor:
    """The same of the differences between the float network's likeliest classes: those that decide the answer.

    Args:
        found: (N, classes) logits.
        wanted: The float network's.
    """
    likeliest = wanted.topk(min(_CONTESTANTS, wanted.shape[1]), 1).indices
    ours, floats = found.gather(1, likeliest), wanted.gather(1, likeliest)
    return relative_error([ours - ours.mean(1, keepdim=True)], [floats - floats.mean(1, keepdim=True)])


def loss_of(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """What refinement lowers: the error of all outputs and, of a classifier, of its contest too."""
    loss = relative_error(found, wanted)
    if wanted[0].ndim == 2 and wanted[0].shape[1] > 2:
        loss = loss + _CONTEST_WEIGHT * contest_error(found[0], wanted[0])
    return loss


def refine(
    graph: Graph,
    encodings: Encodings,
    spreads: dict[str, float],
    batches: Iterable[tuple[Floats, list[Floats]]],
    steps: int,
    bits: int = 8,
    rates: Rates = Rates(),
    told: Callable[[float], None] = lambda _: None,
    *,
    symmetric: bool = False,
) -> Encodings:
    """Trains, and returns what was learned.

    Args:
        graph: Float, equalized.
        encodings: To start from.
        spreads: By tensor, its root mean square.
        batches: Inputs of the float graph and what the float network answers; at least ``steps`` of them.
        steps: Of Adam.
        bits: Of the weights.
        rates: Its learning rates.
        told: Given the loss of every step.
        symmetric: Whether zero points stay where they are, as the target needs it.
    """
    network = SimulatedGraph(graph, encodings, spreads, bits, symmetric=symmetric)
    tensors = list(network.tensors.values())
    layers = list(network.layers.values())
    groups = [
        {"params": [layer.whole for layer in layers], "lr": rates.weight},
        {"params": [p.log_scale for p in (*layers, *tensors) if p.log_scale.requires_grad], "lr": rates.scale},
        {
            "params": [tensor.zero_point for tensor in tensors if tensor.zero_point.requires_grad],
            "lr": rates.zero_point,
        },
        {"params": [layer.bias for layer in layers], "lr": rates.bias},
    ]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 10) * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))
    )
    for step, (x, wanted) in enumerate(batches):
        if step == steps:
            break
        loss = loss_of(network(torch.from_numpy(x)), [torch.from_numpy(y) for y in wanted])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        told(float(loss.detach()))
    return network.encodings()
