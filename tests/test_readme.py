"""Every command the README shows is run, and prints what the README says it prints."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from uncovered import uncovered

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e-?\d+)?")


def console_sessions():
    """(command, lines it prints), in the README's order."""
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for session in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = session.rstrip("\n").split("\n")
            yield command, lines


def agree(shown, printed):
    """Whether a printed line is the shown one: "..." stands for anything, numbers may differ a little."""
    parts = [re.escape(NUMBER.sub("#", part)) for part in shown.split("...")]
    if not re.fullmatch(".*".join(parts), NUMBER.sub("#", printed)):
        return False
    if "..." in shown:
        return True
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    # An error of 1.3e-06 is anything so small; other numbers come from another processor's arithmetic.
    return all(
        float(other) < 1e-3 if "e-" in one else float(other) == pytest.approx(float(one), rel=0.01, abs=0.02)
        for one, other in pairs
    )


def test_every_command_prints_what_the_readme_says(tmp_path, photos, artifacts):
    for folder in ("models", "calib"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("build", "*photos"))
    sessions = list(console_sessions())
    assert len(sessions) >= 8
    for command, shown in sessions:
        program, *arguments = shlex.split(command)
        assert program == "mnv2deploy"
        done = subprocess.run(
            [sys.executable, "-m", "mnv2deploy", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            env=uncovered(),
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
        printed = done.stdout.splitlines()
        if shown[-1:] == ["..."]:
            shown, printed = shown[:-1], printed[: len(shown) - 1]
        assert len(shown) == len(printed), (command, done.stdout)
        for one, other in zip(shown, printed, strict=True):
            assert agree(one, other), (command, one, other)
    assert (tmp_path / "drawn.jpg").stat().st_size > 10_000
    check_the_python_example(tmp_path)


def check_the_python_example(folder):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cat (")


def test_the_demo_runs_commands_the_readme_explains():
    recipe = re.search(r"^demo:.*?\n((?:\t.*\n)+)", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    commands = re.findall(r"\$\(BIN\)/mnv2deploy (\w+)", recipe[1])
    assert commands == ["pull", "pull", *["export"] * 3, "classify", "detect", "quantize", "detect", "segment"]


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (REPOSITORY / target).exists(), target


def test_the_comparison_can_fail():
    assert agree("cup   0.96  173", "cup   0.97  174")
    assert agree("sha256 ...", "sha256 abc1")
    assert not agree("cup   0.96  173", "cat   0.96  173")
    assert not agree("cup   0.96  173", "cup   0.86  173")
    assert not agree("logits 1.3e-06", "logits 0.2")
