"""What a measurement was made on."""

import platform
import re
from pathlib import Path
from typing import Any

from mnv2deploy.runtime.processors import available_processors

FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
)


def describe() -> dict[str, Any]:
    """Processor, its instructions that matter here, and how many of it may be used."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: (.+)$", text, re.MULTILINE)
    present = set(flags[1].split()) if flags else set()
    return {
        "processor": model[1] if model else platform.machine(),
        "flags": [flag for flag in FLAGS if flag in present],
        "cores": available_processors(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
