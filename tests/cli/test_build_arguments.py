"""What ``mnv2deploy build`` takes, hands on and says; no recipe is built."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "artifacts"))
from manifests import a_manifest

from mnv2deploy import quiet
from mnv2deploy.artifacts import build as builds
from mnv2deploy.artifacts import watching
from mnv2deploy.artifacts.baseline import compare_releases
from mnv2deploy.artifacts.build import BuildOptions, Failure, Outcome
from mnv2deploy.artifacts.recipes import BaselineOptions
from mnv2deploy.cli.app import load_command
from mnv2deploy.cli.build_arguments import check_options, choose_recipes
from mnv2deploy.cli.build_report import outcomes_report, to_document
from mnv2deploy.errors import UsageError


def published(name: str = "small", **values: Any) -> Outcome:
    held: dict[str, Any] = {"status": "published", "seconds": 1.25, "folder": Path("build", name)}
    return Outcome(recipe=Path(f"models/{name}.toml"), name=name, **{**held, "manifest": a_manifest(), **values})


def failed() -> Outcome:
    failures = (Failure(message="small: int8 is bad.", line=7),)
    return published(status="failed", folder=None, failures=failures, exit_code=5)


def broken() -> Outcome:
    return published("wrong", status="error", folder=None, manifest=None, error="no model.", exit_code=4)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the command on recipes that are not looked into; what would be built is noted, and given."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for name in ("b", "a", "c"):
        (tmp_path / "models" / f"{name}.toml").touch()
    monkeypatch.setattr(watching, "start_logging", lambda _: None)  # which would stay for other tests
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str, outcomes: list[Outcome]):
        asked: list[Any] = []
        monkeypatch.setattr(builds, "build_releases", lambda *given: asked.extend(given) or outcomes)
        monkeypatch.setattr(builds, "plan", lambda path, options: [("export", True), (path.stem, options.force)])
        code = load_command("build").main(list(arguments), standalone_mode=False)
        return SimpleNamespace(code=code or 0, **capsys.readouterr()._asdict()), asked

    return call


def test_every_option_is_handed_on(run):
    given = ["models/a.toml", "-o", "out", "--jobs", "3", "--baseline", ".", "--log-level", "debug"]
    done, asked = run(*given, "--force", "--offline", outcomes=[published()])
    assert done.code == 0
    assert asked[0] == [Path("models/a.toml")]
    assert asked[1] == BuildOptions(
        output=Path("out"), jobs=3, force=True, offline=True, baseline=Path(), log_level="debug"
    )
    _, asked = run(outcomes=[])
    assert asked[0] == [Path(f"models/{name}.toml") for name in "abc"]
    assert asked[1] == BuildOptions()
    _, asked = run("--only", "c", "--only", "a", "-q", outcomes=[])
    assert asked[0] == [Path("models/a.toml"), Path("models/c.toml")]
    assert asked[1].log_level == "error"


@pytest.mark.parametrize("terminal", [True, False])
def test_steps_are_announced_where_no_bar_shows_them(run, monkeypatch, terminal):
    monkeypatch.setattr(quiet, "quiet_decoders", contextlib.nullcontext)  # which moves stderr
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    _, asked = run(outcomes=[])
    assert asked[2]._announce is not terminal


def test_people_get_tables_and_errors_on_stderr(run):
    done, _ = run(outcomes=[published(), failed(), broken()])
    assert done.code == 4
    assert "small: published in" in done.out
    assert done.err.splitlines() == [
        "Error: small: int8 is bad.",
        "Error: small was not published.",
        "Error: no model.",
    ]
    silent, _ = run("--quiet", outcomes=[failed()])
    assert (silent.code, silent.out) == (5, "")
    assert "Error: small was not published." in silent.err


def test_programs_get_one_document_and_ci_its_annotations_beside_it(run, monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    done, _ = run("--json", outcomes=[failed()])
    assert json.loads(done.out)["releases"][0]["failures"] == [{"message": "small: int8 is bad.", "line": 7}]
    assert done.err.startswith("::error file=models/small.toml,line=7,")
    assert "not published" in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_a_dry_run_builds_nothing(run):
    done, asked = run("--dry-run", "models/a.toml", "--force", outcomes=[])
    assert asked == []
    assert [line.split() for line in done.out.splitlines() if "export" in line or "a " in line] == [
        ["a", "export", "is", "there"],
        ["a", "a", "is", "there"],
    ]
    document, _ = run("--dry-run", "models/a.toml", "--json", outcomes=[])
    steps = [{"step": "export", "cached": True}, {"step": "a", "cached": False}]
    assert json.loads(document.out) == {"plan": [{"recipe": "models/a.toml", "steps": steps}]}


@pytest.mark.parametrize(
    ("level", "quiet", "wanted"), [(None, False, "info"), (None, True, "error"), ("warning", False, "warning")]
)
def test_the_level_of_the_log(level, quiet, wanted):
    assert check_options(jobs=1, log_level=level, quiet=quiet, baseline=None) == wanted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "--jobs 0"),
        ({"log_level": "loud"}, "should be one of error, warning, info, debug"),
        ({"log_level": "error", "quiet": True}, "--quiet is --log-level error"),
        ({"baseline": Path("nowhere")}, "--baseline nowhere: there is no such file or folder"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        check_options(**{"jobs": 1, "log_level": None, "quiet": False, "baseline": None, **options})


def test_recipes_are_there_and_of_different_names(tmp_path):
    paths = [tmp_path / "a.toml", tmp_path / "b.toml", tmp_path / "more" / "a.toml"]
    paths[2].parent.mkdir()
    for path in paths:
        path.touch()
    assert choose_recipes(paths[:2], []) == paths[:2]
    assert choose_recipes(paths[:2], ["b"]) == paths[1:2]
    assert choose_recipes([tmp_path], []) == paths[:2]
    for given, only, message in (
        ([], [], "There are no recipes"),
        (paths[:2], ["b", "c"], "--only c: there is no recipe of that name, only a, b"),
        ([tmp_path / "c.toml"], [], "there is no such recipe"),
        (paths, [], "Two recipes are called a"),
    ):
        with pytest.raises(UsageError, match=message):
            choose_recipes(given, only)


def test_a_table_has_a_row_an_artifact_and_a_line_a_release():
    comparison = compare_releases(a_manifest(), a_manifest(), BaselineOptions())
    outcomes = [published(comparison=comparison), failed(), published("same", status="unchanged"), broken()]
    lines = outcomes_report(outcomes).splitlines()
    row = next(line for line in lines if "int8" in line)
    for cell in ("small", "3.6", "84.8 % top_1", "95.0 %", "3.20 ms, 2.50 times as fast", "2 passed"):
        assert cell in row
    assert sum("fp32" in line and "8.00 ms" in line for line in lines) == 3
    assert "small against the baseline:" in lines
    assert lines[-5:] == [
        f"small: published in {Path('build/small')} (1.2 s)",
        "small: not published: 1 failed",
        f"same: unchanged, {Path('build/same')} (1.2 s)",
        "wrong: not built: no model.",
        "5.0 s in all",
    ]
    assert outcomes_report([broken()]).splitlines()[0] == "wrong: not built: no model."


def test_the_document_has_what_came_of_each():
    first, last = to_document([published(), broken()])["releases"]
    assert first["manifest"]["artifacts"][1]["name"] == "int8"
    assert (first["name"], first["recipe"], first["status"], first["seconds"]) == (
        "small",
        "models/small.toml",
        "published",
        1.2,
    )
    assert (first["folder"], first["failures"], first["error"], first["exit_code"]) == ("build/small", [], None, 0)
    assert first["comparison"] is None
    assert (last["folder"], last["manifest"], last["error"], last["exit_code"]) == (None, None, "no model.", 4)
