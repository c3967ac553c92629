"""The gates of a recipe: what was measured beside what it must reach."""

from __future__ import annotations

from collections.abc import Callable

from mnv2deploy.artifacts.manifest import Accuracy, Agreement, Artifact, Check

_PERCENT = 100.0
_ROUNDING = 1e-9


def check(artifact: Artifact, wanted: dict[str, float]) -> tuple[Check, ...]:
    """What an artifact reaches of what is wanted.

    Args:
        artifact: Measured.
        wanted: Limits by the names of `recipes.Checks`.
    """
    return tuple(_check(name, limit, _MEASURED[name](artifact)) for name, limit in wanted.items())


def sentence(recipe: str, artifact: str, failed: Check) -> str:
    """What a person is told of a check that failed."""
    got = "nothing was measured" if failed.got is None else _SAID[failed.name].format(failed.got)
    return f"{recipe}: {artifact} fails {failed.name} = {failed.wanted:g}: {got}."


def _check(name: str, wanted: float, got: float | None) -> Check:
    return Check(name=name, wanted=wanted, got=got, passed=got is not None and _is_inside(name, wanted, got))


def _is_inside(name: str, wanted: float, got: float) -> bool:
    """A percentage that only rounding keeps from its limit is inside; NaN never is."""
    return got <= wanted + _ROUNDING if name.startswith("max_") else got >= wanted - _ROUNDING


def _percent(measured: Accuracy | None) -> float | None:
    return None if measured is None else _PERCENT * measured.value


def _agreement(measured: Agreement | None) -> float | None:
    return None if measured is None else _PERCENT * measured.share


_MEASURED: dict[str, Callable[[Artifact], float | None]] = {
    "max_parity_error": lambda artifact: max((one.relative_error for one in artifact.parity), default=None),
    "max_megabytes": lambda artifact: artifact.file.size / 1e6,
    "min_agreement": lambda artifact: _agreement(artifact.agreement),
    "min_accuracy": lambda artifact: _percent(artifact.accuracy),
    "max_drop": lambda artifact: None if artifact.accuracy is None else artifact.accuracy.drop,
    "min_speedup": lambda artifact: None if artifact.speed is None else artifact.speed.speedup,
}
_SAID = {
    "max_parity_error": "it is {:.2g} of the output's range off",
    "max_megabytes": "it has {:.2f} MB",
    "min_agreement": "it gives {:.2f} % of the answers",
    "min_accuracy": "it is right on {:.2f} %",
    "max_drop": "it loses {:.2f} points",
    "min_speedup": "it is {:.2f} times as fast",
}
