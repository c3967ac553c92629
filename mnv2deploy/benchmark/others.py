"""Whether other programs had the processors while this one measured."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Of the processors this process may use, the part that others may take before times are doubtful. A machine at rest
# stays well below it.
_TOLERATED = 0.2
_BUSY = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal; idle and iowait are rest, guest is part of user


@dataclass(frozen=True, slots=True)
class Others:
    """What the machine did besides.

    Attributes:
        processors_used: By other programs and, on a virtual machine, by its host; on average over the time watched.
        processors: Of the machine.
        available: Those that this process may use.
    """

    processors_used: float
    processors: int
    available: int

    @property
    def disturbed(self) -> bool:
        """Whether they left clearly less than the processors this process may use."""
        return self.processors_used > self.processors - self.available + _TOLERATED * self.available

    def to_json(self) -> dict[str, Any]:
        """``other_programs`` of what `mnv2deploy bench --json` prints."""
        return {**asdict(self), "processors_used": round(self.processors_used, 2), "disturbed": self.disturbed}


class OthersWatch:
    """Watches from its creation on.

    Args:
        available: Processors this process may use.
        root: Where /proc is.
    """

    def __init__(self, available: int, root: Path = Path("/")) -> None:
        self._available = available
        self._root = root
        self._began = time.monotonic()
        self._own = _own_seconds()
        self._busy = _busy_seconds(root)

    def read(self) -> Others | None:
        """What others did until now; None where the system does not tell. Children count as ours once they ended."""
        busy = _busy_seconds(self._root)
        elapsed = time.monotonic() - self._began
        if busy is None or self._busy is None or elapsed <= 0:
            return None
        seconds = busy[0] - self._busy[0] - (_own_seconds() - self._own)
        return Others(max(seconds, 0.0) / elapsed, busy[1], self._available)


def _own_seconds() -> float:
    """Processor time of this process and of those it started and waited for."""
    return sum(os.times()[:4])


def _busy_seconds(root: Path) -> tuple[float, int] | None:
    """Seconds that processors worked since the machine started, all together, and how many there are (proc_stat(5))."""
    try:
        lines = (root / "proc/stat").read_text(encoding="ascii", errors="replace").splitlines()
        ticks = [int(word) for word in lines[0].split()[1:]]
        processors = sum(line.startswith("cpu") for line in lines) - 1
        # A sandbox may show the file without the numbers.
        return (sum(ticks[field] for field in _BUSY) / os.sysconf("SC_CLK_TCK"), processors) if any(ticks) else None
    except (OSError, ValueError, IndexError):
        return None
