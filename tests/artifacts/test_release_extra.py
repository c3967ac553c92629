"""Without the extra that writes releases there is one sentence, which names it."""

from __future__ import annotations

import importlib.util

import pytest

from mnv2deploy import artifacts
from mnv2deploy.errors import MissingDependencyError


def test_what_is_missing_is_named_with_the_command_that_adds_it(monkeypatch):
    monkeypatch.setattr(artifacts, "find_spec", lambda name: None if name == "jinja2" else object())
    with pytest.raises(MissingDependencyError) as caught:
        artifacts.require_release_extra()
    assert str(caught.value) == "Writing a release needs Jinja2; install with: pip install 'mnv2deploy[release]'"


def test_nothing_is_missing_here():
    assert importlib.util.find_spec("cyclonedx") is not None
    artifacts.require_release_extra()
