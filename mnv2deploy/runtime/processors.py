"""How many processors this process may use: what the container allows, not what the machine has."""

from __future__ import annotations

import os
from pathlib import Path

from mnv2deploy.errors import UsageError

_MOST_A_PROCESSOR = 8


def thread_count(threads: int | None, name: str = "threads") -> int:
    """How many threads to start.

    Args:
        threads: As asked for; None takes every processor.
        name: What to call them in messages.

    Raises:
        UsageError: none, or so many that a slip of the finger would bring the machine down.
    """
    processors = available_processors()
    most = _MOST_A_PROCESSOR * processors
    if threads is not None and not 1 <= threads <= most:
        raise UsageError(
            f"{name} {threads}: at least 1 and at most {most}, {_MOST_A_PROCESSOR} a processor, make sense here."
        )
    return processors if threads is None else threads


def available_processors(root: Path = Path("/")) -> int:
    """The least of the machine's processors, this process's affinity and its control group's quota, at least 1.

    Args:
        root: Where /proc and /sys are.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    for quota in _quotas(root):
        processors = min(processors, max(1, int(quota)))
    return processors


def _quotas(root: Path) -> list[float]:
    """Processors each control group above this process grants; versions 1 and 2 (Linux, cgroups(7))."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mounts, names = ["sys/fs/cgroup", "sys/fs/cgroup/unified"], ["cpu.max"]
        elif "cpu" in controllers.split(","):
            mounts, names = (
                [f"sys/fs/cgroup/{controllers}", "sys/fs/cgroup/cpu"],
                ["cpu.cfs_quota_us", "cpu.cfs_period_us"],
            )
        else:
            continue
        group = Path(path.lstrip("/"))
        # A container may see its own group as the root of the mount, whatever its path outside.
        for folder in {root / mount / part for mount in mounts for part in (group, *group.parents)}:
            quotas += _read_quota([folder / name for name in names])
    return quotas


def _read_quota(files: list[Path]) -> list[float]:
    try:
        words = [word for file in files for word in file.read_text(encoding="utf-8").split()]
        return [int(words[0]) / int(words[1])] if int(words[0]) > 0 else []
    except (OSError, ValueError, IndexError, ZeroDivisionError):  # no such group, or "max": no limit
        return []
