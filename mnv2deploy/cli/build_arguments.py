"""What ``mnv2deploy build`` is told: which recipes, and options that make sense."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnv2deploy.errors import UsageError


def check_options(*, jobs: int, log_level: str | None, quiet: bool, baseline: Path | None) -> str:
    """The log's level, checked with the rest.

    Raises:
        UsageError: one makes no sense, or two contradict each other.
    """
    from mnv2deploy.artifacts.watching import LEVELS
    from mnv2deploy.runtime.processors import thread_count

    thread_count(jobs, "--jobs")
    if log_level is not None and quiet:
        raise UsageError("--quiet is --log-level error; give one of them.")
    if log_level not in (None, *LEVELS):
        raise UsageError(f"--log-level {log_level}: it should be one of {', '.join(LEVELS)}.")
    if baseline is not None and not baseline.exists():
        raise UsageError(f"--baseline {baseline}: there is no such file or folder.")
    return "error" if quiet else log_level or "info"


def choose_recipes(recipes: Sequence[Path], only: Sequence[str]) -> list[Path]:
    """The recipes to build, of different names.

    Args:
        recipes: Files, or folders of them.
        only: Names; none takes all.

    Raises:
        UsageError: there are none, one is not there, or two would be one release.
    """
    recipes = [one for path in recipes for one in (sorted(path.glob("*.toml")) if path.is_dir() else [path])]
    if not recipes:
        raise UsageError("There are no recipes in models/, or where you said; docs/build.md has an example.")
    names = [path.stem for path in recipes]
    if unknown := [name for name in only if name not in names]:
        raise UsageError(f"--only {unknown[0]}: there is no recipe of that name, only {', '.join(names)}.")
    for path in recipes:
        if not path.is_file():
            raise UsageError(f"{path}: there is no such recipe; recipes are files that end in .toml.")
        if names.count(path.stem) > 1:
            raise UsageError(f"Two recipes are called {path.stem}, and would be one release; rename one.")
    return [path for path in recipes if not only or path.stem in only]
