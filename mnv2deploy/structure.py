"""Typed dataclasses out of parsed JSON and TOML: every key known, every type checked, in one place."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


def build(kind: type[T], value: Any, path: str = "") -> T:
    """Makes the dataclass ``kind`` out of plain dicts, lists and scalars.

    Keys may be left out where the field has a default; unknown keys are refused. Integers are taken where a
    float is wanted, lists become tuples; infinity and NaN are no numbers here.

    Args:
        kind: A dataclass whose fields are dataclasses, tuples, unions with None, strings, numbers and booleans.
        value: What the parser returned.
        path: Where ``value`` stands, for messages (``decoding.anchors[2]``).

    Raises:
        ValueError: naming the place and what should be there.
    """
    result: T = _build(kind, value, path)
    return result


def _build(kind: Any, value: Any, path: str) -> Any:
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        if isinstance(value, typing.cast(type, kind)):  # parsed by its own reader already
            return value
        return _build_dataclass(kind, value, path)
    if origin is tuple:
        return _build_tuple(typing.get_args(kind), value, path)
    if origin is types.UnionType:
        options = [option for option in typing.get_args(kind) if option is not types.NoneType]
        return None if value is None else _build(options[0], value, path)
    if origin is typing.Literal:
        if value not in typing.get_args(kind):
            raise ValueError(f"{path} should be one of {', '.join(typing.get_args(kind))}, not {value!r}")
        return value
    if kind is float and type(value) in (int, float):
        return _finite(value, path)
    if type(value) is not kind:
        raise ValueError(f"{path} should be {kind.__name__}, not {value!r}")
    return value


def _finite(value: float, path: str) -> float:
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{path} should be a finite number")
    return number


def _build_dataclass(kind: Any, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{path or 'the whole'} should be a table, not {value!r}")
    hints, required = _fields(kind)
    place = f" in {path}" if path else ""
    if unknown := sorted(set(value) - set(hints)):
        raise ValueError(f"unknown key {', '.join(unknown)}{place}")
    if missing := sorted(required - set(value)):
        raise ValueError(f"no {', '.join(missing)}{place}")
    prefix = f"{path}." if path else ""
    return kind(**{name: _build(hints[name], item, prefix + name) for name, item in value.items()})


@functools.cache
def _fields(kind: Any) -> tuple[dict[str, Any], frozenset[str]]:
    """The types of a dataclass's fields, and which must be given. Cached: looking types up is slow."""
    missing = dataclasses.MISSING
    required = frozenset(
        field.name
        for field in dataclasses.fields(kind)
        if field.default is missing and field.default_factory is missing
    )
    return typing.get_type_hints(kind), required


def _build_tuple(arguments: tuple[Any, ...], value: Any, path: str) -> Any:
    if not isinstance(value, list):
        raise ValueError(f"{path} should be a list, not {value!r}")
    kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
    if len(kinds) != len(value):
        raise ValueError(f"{path} should have {len(kinds)} entries, not {len(value)}")
    return tuple(
        _build(kind, item, f"{path}[{index}]") for index, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )
