"""Commands that are run without coverage: it takes a third longer, and other tests cover what these long ones run."""

from __future__ import annotations

import os


def uncovered(**environment: str) -> dict[str, str]:
    """This process's environment, without what would have coverage start in the next one."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")} | environment
