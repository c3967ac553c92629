"""What is timed: every combination of the models and of the ways to run them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way to run one model.

    Attributes:
        model: As the person named it, for tables.
        artifact: The file.
        threads: Of one inference.
        batch: Pictures a run.
        provider: Execution provider in short, as `Session` takes it.
    """

    model: str
    artifact: Path
    threads: int
    batch: int
    provider: str

    def to_json(self) -> dict[str, Any]:
        """The fields by which `mnv2deploy bench --json` tells configurations apart."""
        return {**dataclasses.asdict(self), "artifact": str(self.artifact)}

    def __str__(self) -> str:
        plural = "s" if self.threads > 1 else ""
        return f"{self.model}, {self.threads} thread{plural}, batch {self.batch}, {self.provider}"


def combine(
    models: Sequence[tuple[str, Path]], threads: Sequence[int], batches: Sequence[int], providers: Sequence[str]
) -> list[Configuration]:
    """Every model with every number of threads, batch and provider, the last named changing fastest.

    Args:
        models: What the person named it and its artifact. One that is named twice is timed twice, which shows how far
            two equal things differ here.
        threads: Numbers of threads.
        batches: Pictures a run.
        providers: Execution providers in short.
    """
    return [
        Configuration(model, artifact, count, batch, provider)
        for (model, artifact), count, batch, provider in itertools.product(models, threads, batches, providers)
    ]
