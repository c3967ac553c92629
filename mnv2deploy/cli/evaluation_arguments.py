"""What ``mnv2deploy evaluate`` is given to measure and to measure on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnv2deploy.errors import UsageError


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], Path]:
    """The models, and the data set, which comes last.

    Args:
        arguments: As they were written; at least one.

    Raises:
        UsageError: there is only one, or the last is a model.
    """
    *models, last = arguments
    path = Path(last)
    if not models and path.is_dir():
        raise UsageError(f"No model was given to measure on {last}: mnv2deploy evaluate MODEL... {last}")
    if not models:
        raise UsageError(f"No data set was given to measure {last} on: mnv2deploy evaluate {last} DATASET")
    if _is_model(last):
        raise UsageError(f"{last} is a model; the data set comes last: mnv2deploy evaluate MODEL... DATASET")
    return models, path


def check_numbers(threads: int | None, batch: int, limit: int | None) -> int:
    """Returns how many threads to use.

    Raises:
        UsageError: one of the numbers makes no sense.
    """
    from mnv2deploy.runtime.processors import thread_count

    count = thread_count(threads, "--threads")
    if batch < 1:
        raise UsageError(f"--batch {batch}: at least 1 is needed.")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: at least 1 is needed.")
    return count


def _is_model(text: str) -> bool:
    from mnv2deploy.catalog.cards import card_names

    path = Path(text)
    return (path.suffix == ".onnx" and not path.is_dir()) or (not path.exists() and text in card_names())
