"""What was measured."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model; the float32 one is the first, and has no closeness and no cost.

    Attributes:
        name: Of the quantizer, or ``float32``.
        settings: For people.
        metrics: All of the labelled set's, fractions of 1.
        difference: Of the first metric to float32's, and its 95 % interval.
        agreement: Share of the answers that are float32's; None for detectors.
        sqnr: Of the first output, dB.
        milliseconds: Median time of a run, one thread.
        time_ratio: To float32's, in the same rounds: median, lower and upper quartile.
        size: Bytes of the file.
        cost: See `making.Made`: its ``seconds``, ``processor_seconds`` and ``peak_memory``.
    """

    name: str
    settings: str
    metrics: dict[str, float]
    difference: tuple[float, float | None, float | None] | None = None
    agreement: float | None = None
    sqnr: float | None = None
    milliseconds: float
    time_ratio: tuple[float, float, float]
    size: int
    cost: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One float32 artifact and what was made of it.

    Attributes:
        model: As it was named.
        labelled: The data set.
        pictures: Of it.
        calibration: Pictures the quantizers were given.
        rows: float32 first.
        left_out: Why, of every quantizer that gave no model.
    """

    model: str
    labelled: Path
    pictures: int
    calibration: int
    rows: list[Row]
    left_out: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {**dataclasses.asdict(self), "labelled": str(self.labelled)}
