"""The manifest: what is written is read back, and what is not one is refused in a sentence."""

from __future__ import annotations

import json

import pytest
from manifests import a_manifest

from mnv2deploy.artifacts.manifest import MANIFEST, read_manifest
from mnv2deploy.errors import ModelError, UsageError


def test_what_is_written_is_read_back(tmp_path):
    manifest = a_manifest()
    (tmp_path / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    assert read_manifest(tmp_path) == manifest
    assert read_manifest(tmp_path / MANIFEST) == manifest


def test_keys_are_sorted_so_that_equal_manifests_are_equal_files():
    text = a_manifest().to_json()
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=1) + "\n"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", ModelError, "is not the manifest of a release"),
        ("[1]", ModelError, "is not the manifest of a release"),
        ('{"version": 2}', ModelError, "of version 2; this mnv2deploy reads version 1"),
        ('{"version": 1, "name": 3}', ModelError, "name|no "),
        (None, UsageError, "give the folder of a release"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path, text, error, message):
    if text is not None:
        (tmp_path / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(error, match=message):
        read_manifest(tmp_path / MANIFEST)
