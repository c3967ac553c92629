"""Configuration files beside a checkpoint: JSON from strangers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnv2deploy.errors import CheckpointError

Config = Mapping[str, Any]

_LARGEST = 16 << 20  # bytes


def read_json(path: Path) -> Config:
    """Reads a JSON object.

    Raises:
        CheckpointError: the file cannot be read, or holds something else.
    """
    try:
        with path.open("rb") as stream:
            return parse_json(stream.read(_LARGEST + 1), str(path))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}.") from error


def parse_json(text: str | bytes, where: str) -> Config:
    """Parses a JSON object.

    Raises:
        CheckpointError: it is none.
    """
    try:
        found = json.loads(text) if len(text) <= _LARGEST else None
    except (ValueError, RecursionError) as error:
        line = f" from line {error.lineno} on" if isinstance(error, json.JSONDecodeError) else ""
        raise CheckpointError(f"{where} is not JSON{line}.") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{where} should hold one JSON object.")
    return found


def config_value(config: Config, key: str, kind: type | tuple[type, ...], default: Any, where: str) -> Any:
    """An entry of a configuration, its type checked; a JSON true is no number.

    Raises:
        CheckpointError: it is there, and of another type.
    """
    value = config.get(key, default)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise CheckpointError(f"{where}: the configuration has {key} = {str(value)[:60]}, which cannot be.")
    return value
