"""What the kernel knows of a process's threads (Linux, Documentation/scheduler/sched-stats.rst)."""

from pathlib import Path


def totals(process: int | str) -> tuple[float, float]:
    """Seconds its threads have run so far, and have been ready to run while no processor was free.

    Args:
        process: Its id, or ``self``.
    """
    ran = waited = 0
    for task in Path(f"/proc/{process}/task").iterdir():
        try:
            fields = (task / "schedstat").read_text(encoding="ascii").split()
        except (FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            continue
        ran, waited = ran + int(fields[0]), waited + int(fields[1])
    return ran / 1e9, waited / 1e9
