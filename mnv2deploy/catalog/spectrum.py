"""The published sizes of MobileNetV2: what accuracy costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mnv2deploy.catalog.cards import read_toml
from mnv2deploy.errors import ModelError
from mnv2deploy.structure import build

_PATH = Path(__file__).parent / "spectrum.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One published size.

    Attributes:
        width_multiplier: 0.35 to 1.4.
        resolution: Side of the input, pixels.
        multiply_adds_millions: For one picture; the source cuts off to whole millions.
        parameters_millions: Without batch norms.
        top1: Percent, ImageNet val.
        top5: Percent, ImageNet val.
        source: Where these numbers stand, for people.
    """

    width_multiplier: float
    resolution: int
    multiply_adds_millions: float
    parameters_millions: float
    top1: float
    top5: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    sizes: tuple[Size, ...]


def load_spectrum(path: Path = _PATH) -> tuple[Size, ...]:
    """The published sizes, widest and finest first.

    Raises:
        ModelError: the file is malformed.
    """
    table = read_toml(path)
    try:
        sources = table.pop("sources")
        for entry in table["sizes"]:
            entry["source"] = sources[entry["source"]]
        sizes = build(_Table, table).sizes
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: {error}.") from error
    return tuple(sorted(sizes, key=lambda size: (-size.width_multiplier, -size.resolution)))
