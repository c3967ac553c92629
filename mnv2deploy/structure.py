"""Typed dataclasses out of parsed JSON and TOML: every key known, every type checked, in one place."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")

# Metadata of a field that joined a format later: `plain` leaves it out where it has its default, so that what does not
# use it stays the same bytes, which programs from before read too.
WRITTEN_WHERE_SET = types.MappingProxyType({"written": "where set"})


class StructureError(ValueError):
    """What was parsed is not what it should be.

    Attributes:
        path: The place of what is wrong, such as ``decoding.anchors[2]``; empty for the whole.
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


def build(kind: type[T], value: Any, path: str = "") -> T:
    """Makes the dataclass ``kind`` out of plain dicts, lists and scalars.

    Keys may be left out where the field has a default; unknown keys are refused. Integers are taken where a
    float is wanted, lists become tuples; infinity and NaN are no numbers here.

    Args:
        kind: A dataclass whose fields are dataclasses, tuples, unions with None, strings, numbers and booleans.
        value: What the parser returned.
        path: Where ``value`` stands, for messages (``decoding.anchors[2]``).

    Raises:
        StructureError: naming the place and what should be there.
    """
    result: T = _build(kind, value, path)
    return result


def plain(value: Any) -> Any:
    """The opposite of `build`: dicts, lists and scalars out of dataclasses, for JSON."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: plain(item)
            for field in dataclasses.fields(value)
            if (item := getattr(value, field.name)) != field.default or field.metadata != WRITTEN_WHERE_SET
        }
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def _build(kind: Any, value: Any, path: str) -> Any:
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        if isinstance(value, typing.cast(type, kind)):  # parsed by its own reader already
            return value
        return _build_dataclass(kind, value, path)
    if origin is tuple:
        return _build_tuple(typing.get_args(kind), value, path)
    if origin in (types.UnionType, typing.Union):
        return _build_union(typing.get_args(kind), value, path)
    if origin is typing.Literal:
        if value not in typing.get_args(kind):
            raise StructureError(f"{path} should be one of {', '.join(typing.get_args(kind))}, not {value!r}", path)
        return value
    if kind is float and type(value) in (int, float):
        return _finite(value, path)
    if type(value) is not kind:
        raise StructureError(f"{path} should be {kind.__name__}, not {value!r}", path)
    return value


def _build_union(options: tuple[Any, ...], value: Any, path: str) -> Any:
    """A union with None; or one of dataclasses, each of which begins with a field that is its tag, a Literal.

    The tag may be left out where one of them alone has a default for it.
    """
    if value is None and types.NoneType in options:
        return None
    kinds = [option for option in options if option is not types.NoneType]
    if len(kinds) == 1:
        return _build(kinds[0], value, path)
    if isinstance(value, tuple(kinds)):  # parsed by its own reader already
        return value
    if not isinstance(value, dict):
        raise StructureError(f"{path} should be a table, not {value!r}", path)
    tag = dataclasses.fields(kinds[0])[0].name
    known = {name: kind for kind in kinds for name in typing.get_args(_fields(kind)[0][tag])}
    defaults = [field.default for kind in kinds if (field := dataclasses.fields(kind)[0]).default in known]
    chosen = value.get(tag, defaults[0] if len(defaults) == 1 else None)
    if chosen not in [*known]:  # a list, for what cannot be hashed
        raise StructureError(f"{path}.{tag} should be one of {', '.join(known)}, not {chosen!r}", f"{path}.{tag}")
    return _build_dataclass(known[chosen], value, path)


def _finite(value: float, path: str) -> float:
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        number = math.inf
    if not math.isfinite(number):
        raise StructureError(f"{path} should be a finite number", path)
    return number


def _build_dataclass(kind: Any, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise StructureError(f"{path or 'the whole'} should be a table, not {value!r}", path)
    hints, required = _fields(kind)
    place = f" in {path}" if path else ""
    prefix = f"{path}." if path else ""
    if unknown := sorted(set(value) - set(hints)):
        raise StructureError(f"unknown key {', '.join(unknown)}{place}", prefix + unknown[0])
    if missing := sorted(required - set(value)):
        raise StructureError(f"no {', '.join(missing)}{place}", path)
    fields = {name: _build(hints[name], item, prefix + name) for name, item in value.items()}
    try:
        return kind(**fields)
    except StructureError as error:  # of its own check, which knows the field
        raise StructureError(str(error), prefix + error.path) from error
    except ValueError as error:  # of its own check
        raise StructureError(str(error), path) from error


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
        raise StructureError(f"{path} should be a list, not {value!r}", path)
    kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
    if len(kinds) != len(value):
        raise StructureError(f"{path} should have {len(kinds)} entries, not {len(value)}", path)
    return tuple(
        _build(kind, item, f"{path}[{index}]") for index, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )
