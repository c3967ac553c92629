"""Virtual environments of the quantizers, made once from pinned requirements and kept."""

import shutil
import sys
from pathlib import Path

import filelock
from engines.environments import run

REQUIREMENTS = Path(__file__).parent / "requirements"


def requirements_of(name: str) -> Path:
    """The file that lists every package of an environment with its version; nothing else is installed."""
    return REQUIREMENTS / f"{name}.txt"


def python_of(name: str, folder: Path) -> Path:
    """The interpreter of an environment, which is made where it is missing or was made from other requirements.

    Args:
        name: See `requirements_of`.
        folder: Where the environments are.

    Raises:
        UnavailableError: pip failed.
    """
    wanted = requirements_of(name).read_text(encoding="utf-8") + sys.version
    home = folder / f"quantizer-{name}"
    python, complete = home / "bin" / "python", home / ".complete"
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(home.with_suffix(".lock")):
        if not complete.exists() or complete.read_text(encoding="utf-8") != wanted:
            size = wanted.splitlines()[0].removeprefix("# ")
            print(f"Making the environment of {name}, once, in {home}: {size}.", file=sys.stderr)
            shutil.rmtree(home, ignore_errors=True)  # what an interrupted run left
            run([sys.executable, "-m", "venv", str(home)], f"the environment of {name} cannot be made")
            install = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
            run([*install, "--requirement", str(requirements_of(name))], f"{name} cannot be installed")
            complete.write_text(wanted, encoding="utf-8")
    return python
