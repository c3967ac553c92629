"""docs/manifest.md: every field of the manifest is on it, and its numbers are the program's."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

from mnv2deploy.artifacts import golden, manifest

PAGE = (Path(__file__).parent.parent.parent / "docs" / "manifest.md").read_text(encoding="utf-8")
CLASSES = [
    kind for _, kind in inspect.getmembers(manifest, dataclasses.is_dataclass) if kind.__module__ == manifest.__name__
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_field_is_explained(kind):
    quoted = set(re.findall(r"`(\w+)`", PAGE))
    assert {field.name for field in dataclasses.fields(kind)} <= quoted


def test_the_limits_are_those_of_the_program():
    rows = dict(re.findall(r"^\| (every value|their mean|a score|a box|a segment)[^|]*\| (.+) \|$", PAGE, re.MULTILINE))
    floats, quantized = golden._FLOAT_MARGINS, golden._QUANTIZED_MARGINS
    assert rows == {
        "every value": f"{golden._FLOAT_TOLERANCE:g} | {golden._QUANTIZED_TOLERANCE:g}",
        "their mean": "a quarter of it | a quarter of it",
        "a score": f"{floats.score:g} | {quantized.score:g}",
        "a box": f"{floats.iou:g} | {quantized.iou:g}",
        "a segment": f"{floats.share:g} | {quantized.share:g}",
    }
    assert (golden._MEAN_OF_TOLERANCE, golden._LEAST_SAME) == (0.25, 0.75)
