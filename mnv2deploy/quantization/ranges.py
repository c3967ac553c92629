"""From the spread of a tensor's values to the range that eight bits are to cover."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.quantization.encodings import Encoding, encoding_of_range
from mnv2deploy.quantization.graph import MOVEMENT, Graph
from mnv2deploy.quantization.observation import Extent, Histogram

if TYPE_CHECKING:
    from mnv2deploy.quantization.targets import Target

Range = tuple[float, float]
Write = Callable[[float, float], Encoding]

_PERCENTILE = 99.99


def by_minmax(histogram: Histogram, write: Write) -> Range:
    """All values seen (Jacob et al. 2018, arXiv 1712.05877, section 3)."""
    del write
    return histogram.low, histogram.high


def by_percentile(histogram: Histogram, write: Write) -> Range:
    """All but 0.01 % of the values, half of it at either end (Wu et al. 2020, arXiv 2004.09602, section 4)."""
    del write
    edges = _edges(histogram)
    share = np.concatenate([[0.0], np.cumsum(_with_zeros(histogram))])
    share /= max(share[-1], 1.0)
    tail = (100 - _PERCENTILE) / 200
    low = edges[max(int(np.searchsorted(share, tail, "right")) - 1, 0)]
    high = edges[min(int(np.searchsorted(share, 1 - tail, "left")), len(edges) - 1)]
    return float(low), float(high)


def by_mse(histogram: Histogram, write: Write) -> Range:
    """The range with the least mean squared error, cut and rounded together (Banner et al. 2019, arXiv 1810.05723).

    A coarse search over both ends, then finer ones around the best.
    """
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    best, least = (low, high), math.inf
    reach = 0.5
    for _ in range(3):
        centre = best
        for down in np.linspace(-reach, reach, 11):
            for up in np.linspace(-reach, reach, 11):
                trial = (float(np.clip(centre[0] - down * low, low, 0)), float(np.clip(centre[1] + up * high, 0, high)))
                if trial[0] < trial[1] and (error := squared_error(histogram, write(*trial))) < least:
                    least, best = error, trial
        reach /= 5
    return best


def by_entropy(histogram: Histogram, write: Write) -> Range:
    """The range whose rounded values are distributed most like the values.

    Migacz 2017, "8-bit inference with TensorRT". Both ends are drawn in alike; the distance is Kullback and Leibler's,
    of the values cut at the ends from the same spread evenly over the bins that each whole number stands for. Exact
    zeros, half of what a ReLU makes, are left out: that spike alone would draw every range in.
    """
    counts = histogram.counts.astype(np.float64)
    values = _centres(histogram)
    best, least = (histogram.low, histogram.high), math.inf
    if not counts.any():
        return best
    for share in np.linspace(1.0, 0.25, 76):
        trial = (histogram.low * share, histogram.high * share)
        distance = _divergence(values, counts, write(*trial))
        if distance < least:
            least, best = distance, trial
    return best


@dataclass(frozen=True, slots=True)
class Method:
    """A way to choose ranges.

    Attributes:
        choose: From what was counted.
        histograms: Whether values have to be counted, in a second pass; a range is enough otherwise.
    """

    choose: Callable[[Histogram, Write], Range]
    histograms: bool = True


METHODS = {
    "minmax": Method(by_minmax, histograms=False),
    "percentile": Method(by_percentile),
    "entropy": Method(by_entropy),
    "mse": Method(by_mse),
}
DEFAULT_METHOD = "mse"


def encode_tensors(
    graph: Graph,
    tensors: Sequence[str],
    extents: Mapping[str, Extent],
    histograms: Mapping[str, Histogram] | None,
    method: str,
    target: Target,
    margin: float = 1.0,
) -> dict[str, Encoding]:
    """The encoding of every tensor.

    Values that are only moved about keep the encoding they have; none reaches above an activation's ceiling.

    Args:
        graph: Float.
        tensors: In the order of execution.
        extents: Of all of them.
        histograms: Of all of them, where the method counts.
        method: One of `METHODS`.
        target: Says the type, and whether zero is in the middle.
        margin: What the chosen ranges are multiplied by.
    """

    def write(low: float, high: float) -> Encoding:
        return encoding_of_range(low, high, target.activations, symmetric=target.symmetric_activations)

    found: dict[str, Encoding] = {}
    for name in tensors:
        step = graph.producer(name)
        if step is not None and step.op in MOVEMENT and len(step.inputs) == 1:
            found[name] = found[step.inputs[0]]
            continue
        extent = extents[name]
        bounds = float(extent.low.min()), float(extent.high.max())
        histogram = histograms[name] if histograms else Histogram(*bounds, np.zeros(0, np.int64), 0)
        low, high = (margin * end for end in METHODS[method].choose(histogram, write))
        if step is not None and step.ceiling is not None:
            low, high = 0.0, min(high, step.ceiling)
        found[name] = write(low, high)
    return found


def squared_error(histogram: Histogram, encoding: Encoding) -> float:
    """The sum of squared errors: of a value inside the range a rounding's mean, of one outside what is cut off too."""
    values = _centres(histogram)
    held = np.clip(values, encoding.low, encoding.high)
    beyond = np.where(held == values, encoding.scale**2 / 12, np.square(values - held) + encoding.scale**2 / 12)
    return float((histogram.counts * beyond).sum())


def _divergence(values: NDArray[np.float64], counts: NDArray[np.float64], encoding: Encoding) -> float:
    """Kullback and Leibler's, in nats: how much is lost where one whole number stands for several bins."""
    low, high = encoding.limits
    whole = np.clip(np.rint(values / encoding.scale) + encoding.zero_point, low, high).astype(np.int64) - low
    inside = (values >= encoding.low - encoding.scale / 2) & (values <= encoding.high + encoding.scale / 2)
    if not inside.any():
        return math.inf
    first, last = np.flatnonzero(inside)[[0, -1]]
    cut = np.where(inside, counts, 0.0)
    cut[first] += counts[:first].sum()
    cut[last] += counts[last + 1 :].sum()
    filled = inside & (counts > 0)
    mass = np.bincount(whole[inside], weights=counts[inside], minlength=256)
    members = np.bincount(whole[filled], minlength=256)
    spread = np.where(filled, mass[whole] / np.maximum(members[whole], 1), 0.0)
    p, q = cut / cut.sum(), spread / max(spread.sum(), 1e-300)
    meant = p > 0
    return float((p[meant] * np.log(p[meant] / np.maximum(q[meant], 1e-12))).sum())


def _edges(histogram: Histogram) -> NDArray[np.float64]:
    return np.linspace(histogram.low, histogram.high, len(histogram.counts) + 1)


def _centres(histogram: Histogram) -> NDArray[np.float64]:
    edges = _edges(histogram)
    return np.asarray((edges[:-1] + edges[1:]) / 2, np.float64)


def _with_zeros(histogram: Histogram) -> NDArray[np.float64]:
    """All counts, exact zeros in their bin."""
    counts = histogram.counts.astype(np.float64)
    counts[np.argmin(np.abs(_centres(histogram)))] += histogram.zeros
    return counts
