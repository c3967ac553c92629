"""What it was measured on: a time means nothing without its machine."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from mnv2deploy import __version__
from mnv2deploy.runtime.processors import available_processors


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and the programs.

    Attributes:
        processor: Its model, as the system names it.
        processors: How many the machine has.
        available_processors: How many this process may use.
        load_average: Processes that wanted to run in the last minute, on average; None where the system does not tell.
        platform: Operating system, its version and the architecture.
        python: Version.
        onnxruntime: Version.
        mnv2deploy: Version.
    """

    processor: str
    processors: int
    available_processors: int
    load_average: float | None
    platform: str
    python: str
    onnxruntime: str
    mnv2deploy: str

    @property
    def in_short(self) -> str:
        """For a line above a table."""
        processors = f"{self.available_processors} of {self.processors} processors"
        return f"{self.processor}, {processors}, onnxruntime {self.onnxruntime}"


def this_machine() -> Machine:
    """Describes the machine this runs on."""
    return Machine(
        processor=processor_name(),
        processors=os.cpu_count() or 1,
        available_processors=available_processors(),
        load_average=_load_average(),
        platform=platform.platform(),
        python=platform.python_version(),
        onnxruntime=onnxruntime.__version__,
        mnv2deploy=__version__,
    )


def processor_name(root: Path = Path("/")) -> str:
    """The processor's model.

    Args:
        root: Where /proc and /sys are. x86 names the processor in /proc/cpuinfo; ARM boards name the board in the
            device tree.
    """
    for line in _lines(root / "proc/cpuinfo"):
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    if board := _lines(root / "sys/firmware/devicetree/base/model"):
        return board[0].strip("\0 ")
    if platform.system() == "Darwin":
        done = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False)
        return done.stdout.strip() or platform.machine()
    return platform.processor() or platform.machine()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _load_average() -> float | None:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
