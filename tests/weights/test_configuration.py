"""Configuration files are JSON from strangers: what is no object, is too much or of another type is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights import configuration
from mnv2deploy.weights.configuration import config_value, parse_json, read_json


def test_an_object_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"a": {"b": [1, "Möwe"]}}', encoding="utf-8")
    assert read_json(tmp_path / "config.json") == {"a": {"b": [1, "Möwe"]}}
    assert parse_json('{"a": null}', "m") == {"a": None}


@pytest.mark.parametrize("text", ["", "{", "{'a': 1}", "[" * 100_000, b"\xff\xfe{"])
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(CheckpointError, match="^config.json is not JSON"):
        parse_json(text, "config.json")


@pytest.mark.parametrize("text", ["[]", "1", "null", '"{}"'])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError, match="^config.json should hold one JSON object"):
        parse_json(text, "config.json")


def test_a_file_larger_than_any_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "_LARGEST", 20)
    path = tmp_path / "config.json"
    path.write_text('{"a": 1}'.ljust(20))
    assert read_json(path) == {"a": 1}
    path.write_text('{"a": 1}'.ljust(21))
    with pytest.raises(CheckpointError, match="should hold one JSON object"):
        read_json(path)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere.json"):
        with pytest.raises(CheckpointError, match=f"^{path}: "):
            read_json(path)


@pytest.mark.parametrize(
    ("config", "kind", "found"),
    [
        ({"a": 3}, int, 3),
        ({}, int, 7),
        ({"a": 0.5}, (int, float), 0.5),
        ({"a": True}, bool, True),
        ({"a": {}}, dict, {}),
    ],
)
def test_a_value_of_its_type_is_taken(config: dict[str, Any], kind: Any, found: Any) -> None:
    value = config_value(config, "a", kind, 7, "m")
    assert value == found
    assert type(value) is type(found)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(True, int), (True, (int, float)), (1, bool), ("1", int), (1.5, int), (None, int), ("x" * 999, int)],
)
def test_a_value_of_another_type_is_refused_in_few_characters(value: Any, kind: Any) -> None:
    says = f"^m: the configuration has a = {str(value)[:60]}, which cannot be"
    with pytest.raises(CheckpointError, match=says):
        config_value({"a": value}, "a", kind, 7, "m")
