"""Virtual environments of the peers, made once from pinned requirements and kept."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import filelock

REQUIREMENTS = Path(__file__).parent / "requirements"


class UnavailableError(Exception):
    """An engine cannot take part; the message says why."""


def python_of(name: str, folder: Path) -> Path:
    """The interpreter of an environment, which is made where it is missing.

    Args:
        name: ``requirements/NAME.txt`` lists every package in it with its version; nothing else is installed.
        folder: Where the environments are.

    Raises:
        UnavailableError: pip failed.
    """
    requirements = REQUIREMENTS / f"{name}.txt"
    home = folder / f"{name}-{key_of(name)}"
    python = home / "bin" / "python"
    complete = home / ".complete"
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(home.with_suffix(".lock")):
        if not complete.exists():
            size = requirements.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
            print(f"Making the environment of {name}, once, in {home}: {size}.", file=sys.stderr)
            shutil.rmtree(home, ignore_errors=True)  # what an interrupted run left
            run([sys.executable, "-m", "venv", str(home)], f"the environment of {name} cannot be made")
            # Every dependency is listed, so pip looks for none: the same versions everywhere, and no surprises.
            install = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
            run([*install, "--requirement", str(requirements)], f"the environment of {name} cannot be installed")
            complete.touch()
    return python


def key_of(name: str) -> str:
    """Stands for the requirements and the Python they are installed in."""
    content = (REQUIREMENTS / f"{name}.txt").read_bytes() + sys.version.encode()
    return hashlib.sha256(content).hexdigest()[:12]


def run(command: list[str], failure: str, **options: Any) -> None:
    """Runs a command in silence.

    Raises:
        UnavailableError: it failed; with ``failure`` and its last words.
    """
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, **options)
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        raise UnavailableError(f"{failure}: {(errors or lines or [f'exit code {done.returncode}'])[-1][:300]}")
