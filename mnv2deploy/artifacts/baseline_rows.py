"""What a comparison of two releases is made of: one thing before and after, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass

HEADER = ("ARTIFACT", "WHAT", "BEFORE", "AFTER", "CHANGE", "NOTE")
_DIGEST = 12  # digits of it that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing before and after.

    Attributes:
        artifact: Its name; empty of what concerns the whole release.
        what: ``size`` in bytes; ``speed-up``; ``agreement`` or a metric such as ``top_1``, 0..1; ``sha256`` and other
            texts.
        before: None where it was not there or not measured.
        after: None where it is not there or not measured any more.
        change: Of a size or speed-up in percent, of a share in percentage points; None where it makes no sense.
        note: Why the two cannot be compared, or not well.
    """

    artifact: str
    what: str
    before: float | str | None
    after: float | str | None
    change: float | None = None
    note: str = ""

    def cells(self) -> list[str]:
        """Texts under `HEADER`."""
        before, after = (_cell(self.what, value) for value in (self.before, self.after))
        unit = "%" if self.what in ("size", "speed-up") else "points"
        change = "" if self.change is None else f"{self.change:+.2f} {unit}"
        return [self.artifact or "-", self.what, before, after, change, self.note]


def _cell(what: str, value: float | str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return f"{value[:_DIGEST]}..." if what in ("sha256", "weights", "calibration") else value
    if what == "size":
        return f"{value / 1e6:.2f} MB"
    return f"{value:.2f} times" if what == "speed-up" else f"{100 * value:.2f} %"
