"""What a report says in words: measured numbers with their units, and what they mean beside the first artifact's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mnv2deploy.artifacts.manifest import Accuracy, Artifact, Check, Manifest, Speed
from mnv2deploy.quantization.verdict import metric_name as metric_name

TASKS = {"classify": "Classification", "detect": "Object detection", "segment": "Segmentation"}


@dataclass(frozen=True, slots=True)
class Tile:
    """One large number.

    Attributes:
        title: What it is.
        value: The number.
        note: What it means.
    """

    title: str
    value: str
    note: str


def megabytes(size: int) -> str:
    """A file's size; small files in kilobytes."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def percent(share: float) -> str:
    """Of a share 0..1."""
    return f"{100 * share:.1f} %"


def interval(ends: tuple[float, float]) -> str:
    """Of two shares 0..1."""
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def milliseconds(value: float) -> str:
    """To three digits."""
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms"


def decibels(sqnr_db: float | None) -> str:
    """Of an SQNR; None where nothing differs."""
    return "exact" if sqnr_db is None else f"{sqnr_db:.1f} dB"


def count(value: int) -> str:
    """Of parameters or multiply-adds."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return str(value)


def pictures(number: int) -> str:
    """How many."""
    return "1 picture" if number == 1 else f"{number} pictures"


def number(value: float) -> str:
    """To six digits."""
    return f"{value:.6g}"


def check_title(name: str) -> str:
    """What a check is of, in words."""
    return _CHECKS[name][0] if name in _CHECKS else name.replace("_", " ")


def check_value(name: str, value: float | None) -> str:
    """A check's limit or what was measured, with its unit."""
    if value is None:
        return "not measured"
    return _CHECKS[name][1].format(value) if name in _CHECKS else f"{value:.4g}"


# The checks of `recipes.Checks`: what each is of, and its value with its unit.
_CHECKS: Mapping[str, tuple[str, str]] = {
    "max_parity_error": ("Difference from torch", "{:.2g} of the range"),
    "max_megabytes": ("Size of the file", "{:.4g} MB"),
    "min_agreement": ("Agreement with the first artifact", "{:.4g} %"),
    "min_accuracy": ("Accuracy", "{:.4g} %"),
    "max_drop": ("Accuracy lost", "{:.3g} points"),
    "min_speedup": ("Speed-up", "{:.3g} times"),
}


def limit(check: Check) -> str:
    """What was wanted: the limit, and on which side of it to be."""
    side = {"max": "at most ", "min": "at least "}.get(check.name[:3], "")
    return side + check_value(check.name, check.wanted)


def verdict(manifest: Manifest) -> str:
    """What came of the checks, in a sentence."""
    checks = [(artifact.name, check) for artifact in manifest.artifacts for check in artifact.checks]
    failed = [f"{check.name} of {name}" for name, check in checks if not check.passed]
    if not checks:
        return "The recipe asks for no checks; what was measured stands below."
    if not failed:
        return "The one check passed." if len(checks) == 1 else f"All {len(checks)} checks passed."
    return f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}."


def tiles(manifest: Manifest) -> tuple[Artifact, list[Tile]]:
    """The artifact people came for, the first quantized one or else the first, and what it is beside the first."""
    first = manifest.artifacts[0]
    shown = next((artifact for artifact in manifest.artifacts if artifact.is_quantized), first)
    provenance = shown.contract.provenance
    made = [Tile("Size", megabytes(shown.file.size), smaller(shown, first))]
    if (speed := shown.speed) is not None:
        made.append(Tile("Time of a picture", milliseconds(speed.milliseconds), faster(speed) or "one thread"))
    if (accuracy := shown.accuracy) is not None:
        made.append(
            Tile(metric_name(accuracy.metric), percent(accuracy.value), lost(accuracy) or accuracy.dataset.name)
        )
    if (agreement := shown.agreement) is not None:
        made.append(Tile(f"Agrees with {agreement.against}", percent(agreement.share), agreement.of))
    made.append(Tile("Runs in", f"≥ {provenance.minimum_onnxruntime}", f"onnxruntime, opset {provenance.opset}"))
    return shown, made


def smaller(artifact: Artifact, first: Artifact) -> str:
    """A file's size beside the first artifact's."""
    ratio = first.file.size / artifact.file.size
    if ratio >= 1.005:
        return f"{ratio:.2f} times smaller"
    return f"{1 / ratio:.2f} times larger" if ratio <= 0.995 else "the same size"


def faster(speed: Speed) -> str:
    """How many times as fast as the first artifact; nothing of the first."""
    return "" if speed.speedup is None else f"{speed.speedup:.2f} times as fast"


def lost(accuracy: Accuracy) -> str:
    """Accuracy beside the first artifact's; nothing of the first."""
    if accuracy.drop is None:
        return ""
    points = f"{abs(accuracy.drop):.1f} points"
    if points == "0.0 points":
        return "no points lost"
    return f"{points} {'less' if accuracy.drop > 0 else 'more'}"
