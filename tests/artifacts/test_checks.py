"""Gates: what was measured beside what it must reach."""

from __future__ import annotations

import dataclasses
import math

import pytest
from manifests import a_file, a_quantized_artifact, an_artifact

from mnv2deploy.artifacts.checks import check, sentence
from mnv2deploy.artifacts.recipes import Checks


@pytest.mark.parametrize(
    ("name", "inside", "outside", "got"),
    [
        ("max_megabytes", 3.6, 3.5, 3.6),
        ("min_agreement", 95.0, 95.1, 95.0),
        ("min_accuracy", 84.8, 84.9, 84.8),
        ("max_drop", 0.2, 0.19, 0.2),
        ("min_speedup", 2.5, 2.6, 2.5),
    ],
)
def test_a_limit_is_inclusive(name, inside, outside, got):
    passed, failed = (check(a_quantized_artifact(), {name: limit})[0] for limit in (inside, outside))
    assert (passed.passed, failed.passed) == (True, False)
    assert passed.got == pytest.approx(got)
    assert (passed.name, passed.wanted) == (name, inside)


def test_parity_is_the_worst_of_all_outputs_and_batches():
    assert check(an_artifact(), {"max_parity_error": 3.3e-6})[0].passed
    assert not check(an_artifact(), {"max_parity_error": 3.2e-6})[0].passed


def test_every_check_of_a_recipe_is_known():
    names = [field.name for field in dataclasses.fields(Checks)]
    assert [one.name for one in check(a_quantized_artifact(), dict.fromkeys(names, 1.0))] == names


@pytest.mark.parametrize("name", ["min_agreement", "min_accuracy", "max_drop", "min_speedup"])
def test_what_was_not_measured_fails(name):
    nothing = a_quantized_artifact(agreement=None, accuracy=None, speed=None)
    found = check(nothing, {name: 0.0})[0]
    assert (found.got, found.passed) == (None, False)
    assert "nothing was measured" in sentence("small", "int8", found)


def test_nan_fails():
    artifact = a_quantized_artifact()
    assert artifact.accuracy is not None
    broken = dataclasses.replace(artifact, accuracy=dataclasses.replace(artifact.accuracy, value=math.nan))
    assert not check(broken, {"min_accuracy": 0.0})[0].passed


def test_rounding_alone_fails_nothing():
    """100 * 0.29 is less than 29, and 0.1 + 0.2 more than 0.3."""
    artifact = a_quantized_artifact()
    assert artifact.accuracy is not None
    rounded = dataclasses.replace(artifact, accuracy=dataclasses.replace(artifact.accuracy, value=0.29, drop=0.1 + 0.2))
    assert all(one.passed for one in check(rounded, {"min_accuracy": 29.0, "max_drop": 0.3}))


def test_the_sentence_says_recipe_artifact_check_wanted_and_got():
    failed = check(an_artifact(file=a_file("a.onnx", 5_250_000)), {"max_megabytes": 4.0})[0]
    assert sentence("small", "int8", failed) == "small: int8 fails max_megabytes = 4: it has 5.25 MB."
