"""What GitHub Actions is told: a summary in Markdown, and annotations at the line of a recipe."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from manifests import a_manifest

from mnv2deploy.artifacts.build import Failure, Outcome, exit_code
from mnv2deploy.artifacts.ci import annotate, summary, write_summary
from mnv2deploy.artifacts.manifest import Check
from mnv2deploy.errors import UsageError

FAILED = Check(name="min_agreement", wanted=99.0, got=95.0, passed=False)


def published() -> Outcome:
    return Outcome(recipe=Path("models/small.toml"), name="small", status="published", seconds=1, manifest=a_manifest())


def failed() -> Outcome:
    first, second = a_manifest().artifacts
    manifest = a_manifest(artifacts=(first, dataclasses.replace(second, checks=(FAILED,))))
    failure = Failure(message="small: int8 fails, 5 % | <b>\nand more", line=12)
    return Outcome(
        recipe=Path("models/a,b.toml"),
        name="small",
        status="failed",
        seconds=1,
        manifest=manifest,
        failures=(failure,),
        exit_code=5,
    )


def broken() -> Outcome:
    return Outcome(
        recipe=Path("models/wrong.toml"), name="wrong", status="error", seconds=1, error="no model.", exit_code=4
    )


def test_a_table_has_a_row_an_artifact_and_a_cell_a_column():
    lines = summary([published()]).splitlines()
    assert lines[0] == "## small: published"
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 2
    assert {row.count("|") for row in rows} == {8}
    assert "| small-int8.onnx | 3.6 | 84.8 % top_1 | 95.0 % | 2.50 | :white_check_mark: 2 |" in rows[3]


def test_what_failed_is_said_and_cannot_break_the_page():
    text = summary([failed()])
    assert text.startswith("## small: **not published**")
    assert ":x: min_agreement" in text
    assert "- :x: small: int8 fails, 5 % \\| &lt;b> and more" in text


def test_an_error_has_no_table():
    text = summary([broken()])
    assert "**not built**" in text
    assert "- :x: no model." in text
    assert "|" not in text


def test_the_summary_is_added_to_the_file_that_is_named(tmp_path, monkeypatch):
    file = tmp_path / "summary.md"
    file.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    write_summary([published()])
    assert file.read_text(encoding="utf-8") == "before\n" + summary([published()])
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    with pytest.raises(UsageError, match="cannot be written"):
        write_summary([published()])
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    write_summary([published()])


def test_annotations_mark_the_line_and_are_escaped_as_githubs_toolkit_does(monkeypatch):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert list(annotate([published(), failed(), broken()])) == [
        "::error file=models/a%2Cb.toml,line=12,title=small%3A a check failed::"
        "small: int8 fails, 5 %25 | <b>%0Aand more",
        "::error file=models/wrong.toml,line=1,title=wrong%3A not built::no model.",
    ]
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    assert list(annotate([failed()])) == []
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert list(annotate([failed()])) == []


def test_the_exit_code_is_that_of_an_error_before_that_of_a_check():
    assert exit_code([published()]) == 0
    assert exit_code([published(), failed()]) == 5
    assert exit_code([failed(), broken()]) == 4
