"""Runs a command and writes down what it took.

    python -m quantizers.measured REPORT.json COMMAND...

A program of its own, because a process's peak memory begins with its parent's: this one has next to none.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Writes ``seconds`` from start to end, ``processor_seconds`` of all processes, and ``peak_memory``.

    That is the largest process's, in bytes.
    """
    report, *command = sys.argv[1:]
    began = time.perf_counter()
    code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = {
        "seconds": seconds,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "peak_memory": used.ru_maxrss * 1024,  # Linux counts KiB
    }
    Path(report).write_text(json.dumps(cost), encoding="utf-8")
    sys.exit(code)


if __name__ == "__main__":
    main()
