"""What the values inside a graph are on calibration pictures: one picture at a time, nothing kept but counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from mnv2deploy.quantization.graph import Floats, Graph
from mnv2deploy.runtime.processors import thread_count

BINS = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Extent:
    """The least and greatest value of each channel of one tensor.

    Attributes:
        low: (C,) float32.
        high: (C,) float32.
        power: (C,) float64: the mean of the squares.
    """

    low: Floats
    high: Floats
    power: NDArray[np.float64]

    def widened(self, factor: float) -> Extent:
        """What values that are so many times greater would have shown."""
        return Extent(self.low * np.float32(factor), self.high * np.float32(factor), self.power * factor**2)


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How often values fall into each of `BINS` bins of equal width.

    Attributes:
        low: Where the first bin begins.
        high: Where the last one ends.
        counts: (BINS,) int64; of values that are not exactly 0.
        zeros: How many are: half of what a ReLU makes, and written without error by every encoding.
    """

    low: float
    high: float
    counts: NDArray[np.int64]
    zeros: int


def open_graph(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session on a graph in memory, see `open_session`."""
    return open_session(model.SerializeToString())


def open_session(data: bytes) -> onnxruntime.InferenceSession:
    """A session that prints nothing, whose threads sleep between runs: others, numpy's or torch's, work then."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = thread_count(None)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def values_of(graph: Graph, tensors: Sequence[str], inputs: Iterable[Floats]) -> Iterator[dict[str, Floats]]:
    """These tensors for each input of the float graph, one input at a time."""
    made = [name for name in tensors if name != graph.input]
    session = open_graph(graph.to_model(made)) if made else None
    for tensor in inputs:
        found = session.run(made, {graph.input: tensor}) if session else []
        values = dict(zip(made, found, strict=True))
        if graph.input in tensors:
            values[graph.input] = tensor
        yield values


def measure_extents(
    graph: Graph, tensors: Sequence[str], inputs: Iterable[Floats], told: Callable[[], None] = lambda: None
) -> dict[str, Extent]:
    """One pass: least, greatest and power of each channel."""
    found: dict[str, Extent] = {}
    count = 0
    for values in values_of(graph, tensors, inputs):
        count += 1
        for name, tensor in values.items():
            flat = tensor.swapaxes(0, 1).reshape(tensor.shape[1], -1)
            power = np.einsum("cx,cx->c", flat, flat).astype(np.float64) / flat.shape[1]
            seen = found.get(name, Extent(flat[:, 0], flat[:, 0], np.zeros(len(flat))))
            found[name] = Extent(
                np.minimum(seen.low, flat.min(1)), np.maximum(seen.high, flat.max(1)), seen.power + power
            )
        told()
    return {name: Extent(seen.low, seen.high, seen.power / count) for name, seen in found.items()}


def measure_histograms(
    graph: Graph,
    extents: dict[str, Extent],
    inputs: Iterable[Floats],
    told: Callable[[], None] = lambda: None,
) -> dict[str, Histogram]:
    """A second pass, over the same inputs: how the values spread between the extents."""
    bounds = {name: (float(extent.low.min()), float(extent.high.max())) for name, extent in extents.items()}
    counts = {name: np.zeros(BINS, np.int64) for name in extents}
    zeros = dict.fromkeys(extents, 0)
    for values in values_of(graph, list(extents), inputs):
        for name, tensor in values.items():
            low, high = bounds[name]
            counts[name] += np.bincount(_bins(tensor.ravel(), low, high), minlength=BINS)
            zeros[name] += tensor.size - int(np.count_nonzero(tensor))
        told()
    for name, (low, high) in bounds.items():
        counts[name][_bins(np.zeros(1, np.float32), low, high)] -= zeros[name]
    return {name: Histogram(*bounds[name], counts[name], zeros[name]) for name in extents}


def _bins(values: Floats, low: float, high: float) -> NDArray[np.int32]:
    """The bin of each value, in one arithmetic for all that are counted and the zeros taken away again."""
    place = (values - np.float32(low)) * np.float32(BINS / max(high - low, 1e-12))
    return np.asarray(np.clip(place, 0, BINS - 1), np.int32)
