"""Two releases of one model: what changed between them, and whether the new one is worse than is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from mnv2deploy.artifacts.baseline_rows import Row
from mnv2deploy.artifacts.manifest import Artifact, Manifest
from mnv2deploy.artifacts.recipes import BaselineOptions

_ROUNDING = 1e-9  # what is exactly at a limit is inside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two releases side by side.

    Attributes:
        rows: What was measured in both, and what changed.
        failures: What breaks a limit, in sentences.
    """

    rows: tuple[Row, ...]
    failures: tuple[str, ...]

    def to_rows(self) -> list[list[str]]:
        """Cells under `baseline_rows.HEADER`, for a table."""
        return [row.cells() for row in self.rows]

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {"rows": [asdict(row) for row in self.rows], "failures": list(self.failures)}


def compare_releases(old: Manifest, new: Manifest, limits: BaselineOptions) -> Comparison:
    """Compares a release with the one before it, artifacts of the same name with one another.

    A limit that is asked and cannot be told, because something is not measured any more or on other pictures, is
    broken too: nobody knows that it is kept.

    Args:
        old: The baseline.
        new: What was built now.
        limits: How much worse it may be.
    """
    rows, failures = list(_compare_origins(old, new)), []
    after = {artifact.name: artifact for artifact in new.artifacts}
    before = {artifact.name: artifact for artifact in old.artifacts}
    for name, artifact in before.items():
        if name in after:
            compared = _ComparedArtifact(artifact, after[name], limits)
            rows += compared.rows
            failures += compared.failures
        else:
            rows.append(Row(artifact=name, what="artifact", before=artifact.file.name, after=None, note="removed"))
            if limits != BaselineOptions():
                failures.append(f"{name} is not in the release any more.")
    rows += [
        Row(artifact=name, what="artifact", before=None, after=artifact.file.name, note="added")
        for name, artifact in after.items()
        if name not in before
    ]
    return Comparison(rows=tuple(rows), failures=tuple(failures))


class _ComparedArtifact:
    """The rows and failures of one artifact, which both releases have."""

    def __init__(self, old: Artifact, new: Artifact, limits: BaselineOptions) -> None:
        self.name = new.name
        self.rows: list[Row] = []
        self.failures: list[str] = []
        self._compare_size(old, new, limits.max_size_growth)
        self._compare_answers(old, new, limits.max_drop)
        self._compare_speed(old, new, limits.max_slowdown)
        if old.file.sha256 != new.file.sha256:
            self._add("sha256", old.file.sha256, new.file.sha256)

    def _compare_size(self, old: Artifact, new: Artifact, limit: float | None) -> None:
        growth = _percent(old.file.size, new.file.size)
        self._add("size", old.file.size, new.file.size, growth)
        self._judge("max_size_growth", limit, growth, f"grew by {growth:.2f} %")

    def _compare_answers(self, old: Artifact, new: Artifact, limit: float | None) -> None:
        one, other = _measured(old, new)
        if (measure := one or other) is None:
            return
        note = _why_not(one, other)
        before, after = (None if each is None else each.value for each in (one, other))
        if before is None or after is None or note:
            self._add(measure.what, before, after, None, note)
            self._miss("max_drop", None if one is None else limit, measure.what, note)
            return
        points = 100 * (after - before)
        self._add(measure.what, before, after, points)
        self._judge("max_drop", limit, -points, f"lost {-points:.2f} points of {measure.what}")

    def _compare_speed(self, old: Artifact, new: Artifact, limit: float | None) -> None:
        before, after = (None if each.speed is None else each.speed.speedup for each in (old, new))
        if before is None and after is None:
            return
        if before is None or after is None:
            note = "not measured before" if before is None else "not measured any more"
            self._add("speed-up", before, after, None, note)
            self._miss("max_slowdown", None if before is None else limit, "speed-up", note)
            return
        change = _percent(before, after)
        self._add("speed-up", before, after, change, _machine_note(old, new))
        self._judge("max_slowdown", limit, -change, f"lost {-change:.2f} % of its speed-up over the first artifact")

    def _add(
        self,
        what: str,
        before: float | str | None,
        after: float | str | None,
        change: float | None = None,
        note: str = "",
    ) -> None:
        self.rows.append(Row(artifact=self.name, what=what, before=before, after=after, change=change, note=note))

    def _judge(self, name: str, limit: float | None, got: float, sentence: str) -> None:
        if limit is not None and got > limit + _ROUNDING:
            self.failures.append(f"{self.name} {sentence}, and {name} allows {limit:g}.")

    def _miss(self, name: str, limit: float | None, what: str, note: str) -> None:
        if limit is not None:
            self.failures.append(f"{self.name}: {name} cannot be told, because {what} was {note}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """How good an artifact's answers are.

    Attributes:
        what: The metric, or ``agreement``.
        value: 0..1.
        counted: How: two values that were counted otherwise are not compared.
        pictures: Sha256 of the set.
    """

    what: str
    value: float
    counted: str
    pictures: str


def _measured(old: Artifact, new: Artifact) -> tuple[_Measured | None, _Measured | None]:
    """Both accuracies; else both agreements; else of each what it has."""
    accuracies = _accuracy(old), _accuracy(new)
    agreements = _agreement(old), _agreement(new)
    for pair in (accuracies, agreements):
        if all(pair):
            return pair
    return accuracies[0] or agreements[0], accuracies[1] or agreements[1]


def _accuracy(artifact: Artifact) -> _Measured | None:
    if (held := artifact.accuracy) is None:
        return None
    return _Measured(what=held.metric, value=held.value, counted=held.metric, pictures=held.dataset.sha256)


def _agreement(artifact: Artifact) -> _Measured | None:
    if (held := artifact.agreement) is None:
        return None
    counted = f"{held.of}, against {held.against}"
    return _Measured(what="agreement", value=held.share, counted=counted, pictures=held.pictures.sha256)


def _why_not(one: _Measured | None, other: _Measured | None) -> str:
    """Why two values cannot be compared; empty where they can."""
    if one is None:
        return "not measured before"
    if other is None:
        return "not measured any more"
    if one.counted != other.counted:
        return f"measured as {other.counted} now"
    return "" if one.pictures == other.pictures else "measured on other pictures"


def _machine_note(old: Artifact, new: Artifact) -> str:
    notes = []
    if old.speed and new.speed and old.speed.machine != new.speed.machine:
        notes.append(f"on another machine ({new.speed.machine}, before {old.speed.machine})")
    if any(each.speed and each.speed.disturbed for each in (old, new)):
        notes.append("other programs had the processors meanwhile")
    return "; ".join(notes)


def _compare_origins(old: Manifest, new: Manifest) -> Iterator[Row]:
    """What the releases were made of, where it is not the same."""
    before, after = dict(old.tools), dict(new.tools)
    pairs: list[tuple[str, str | None, str | None]] = [
        ("model", old.title, new.title),
        ("weights", _texts(old.weights.files), _texts(new.weights.files)),
        ("calibration", _calibration(old), _calibration(new)),
    ]
    pairs += [(tool, before.get(tool), after.get(tool)) for tool in sorted(before | after)]
    for what, one, other in pairs:
        if one != other:
            yield Row(artifact="", what=what, before=one, after=other)


def _calibration(manifest: Manifest) -> str | None:
    return None if manifest.calibration is None else manifest.calibration.sha256


def _texts(files: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{digest} {name}" for name, digest in files)


def _percent(before: float, after: float) -> float:
    return 100 * (after / before - 1) if before else 0.0
