"""What docs/build.md, docs/ci.md and the workflow show is true of the program."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnv2deploy.artifacts import recipes
from mnv2deploy.cli.app import COMMANDS, load_command

REPOSITORY = Path(__file__).parent.parent
BUILD, CI = ((REPOSITORY / "docs" / name).read_text(encoding="utf-8") for name in ("build.md", "ci.md"))
WORKFLOW = REPOSITORY / ".github" / "workflows" / "artifacts.yml"
TABLES = (
    recipes.ExportOptions,
    recipes.CheckpointOptions,
    recipes.QuantizationOptions,
    recipes.MeasureOptions,
    recipes.ArtifactOptions,
    recipes.Checks,
    recipes.BaselineOptions,
    recipes.PublishOptions,
)


def named_in_the_table() -> set[str]:
    rows = BUILD.partition("| key |")[2].partition("\n\n")[0].splitlines()
    return {name for row in rows[1:] for name in re.findall(r"`\[*([\w.]+)\]*`", row.split(" | ")[0])}


def commands(text: str) -> list[list[str]]:
    """Every call of the program in a page or script, as words."""
    return [shlex.split(line) for line in re.findall(r"^(?:\s+(?:- )?(?:run: )?)(mnv2deploy \w[^#|>$\n]*)", text, re.M)]


def test_every_key_of_a_recipe_is_in_the_table():
    keys = {field.name for table in TABLES for field in dataclasses.fields(table)}
    assert keys - named_in_the_table() <= {"checks"}  # which is a table of its own
    known = keys | {"model", "weights", "checkpoint", "export", "quantization", "measure", "artifacts", "baseline"}
    assert named_in_the_table() <= known | {"publish", "artifacts.checks"}


def test_the_example_is_a_recipe(tmp_path):
    (example,) = re.findall(r"```toml\n(.*?)```", BUILD, re.DOTALL)
    path = tmp_path / "example.toml"
    path.write_text(example, encoding="utf-8")
    assert [artifact.name for artifact in recipes.read_recipe(path).artifacts] == ["fp32", "int8", "int8-end-to-end"]


@pytest.mark.parametrize("text", [BUILD, CI, WORKFLOW.read_text(encoding="utf-8")], ids=["build", "ci", "workflow"])
def test_commands_have_the_options_that_are_shown(text):
    shown = commands(text)
    assert shown
    for _, name, *words in shown:
        assert name in COMMANDS
        known = {option for parameter in load_command(name).params for option in parameter.opts}
        used = {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)}
        assert used <= known, (name, used - known)


def test_the_workflow_builds_caches_verifies_and_uploads():
    workflow: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    job = workflow["jobs"]["build"]
    steps = job["steps"]
    caches = [step["with"] for step in steps if step.get("uses", "").startswith("actions/cache/")]
    assert len(caches) == 2
    assert all(job["env"]["MNV2DEPLOY_CACHE"].endswith("/" + cache["path"]) for cache in caches)
    assert caches[0]["key"] == caches[1]["key"]
    runs = [step["run"] for step in steps if "run" in step]
    assert [line for line in runs if line.startswith("mnv2deploy build")] == ["mnv2deploy build --output release"]
    assert "mnv2deploy verify release" in runs
    (upload,) = [step["with"] for step in steps if step.get("uses", "").startswith("actions/upload-artifact@")]
    assert upload["path"] == "release"


def test_the_yaml_of_the_page_is_yaml():
    blocks = re.findall(r"```yaml\n(.*?)```", CI, re.DOTALL)
    assert len(blocks) == 2
    parsed = [yaml.safe_load(block) for block in blocks]
    assert any("build-models" in block for block in parsed if isinstance(block, dict))


def test_links_of_the_pages_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", BUILD + CI):
        assert (REPOSITORY / "docs" / target).exists(), target
