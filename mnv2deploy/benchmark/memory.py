"""The most memory this process ever held."""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory() -> int | None:
    """The most bytes this process has had in memory at a time, the pages of its libraries included.

    Linux counts them as ``VmHWM`` (proc_pid_status(5), in units of 1024 bytes). ``ru_maxrss`` will not do there: a
    process begins with its parent's. None where the system does not tell.
    """
    if _STATUS.exists():
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
