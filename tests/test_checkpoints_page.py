"""Every command docs/checkpoints.md shows is run on the checkpoints it is about, and prints what stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from test_readme import agree
from uncovered import uncovered

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "checkpoints.md").read_text(encoding="utf-8")
PROGRAMS = {"mnv2deploy": [sys.executable, "-m", "mnv2deploy"], "pip": [sys.executable, "-m", "pip"]}
PROGRAMS |= {"python": [sys.executable], "cmp": ["cmp"], "npm": ["npm"], "tar": ["tar"]}


def test_every_command_prints_what_the_page_says(tmp_path, photos):
    for name, content in re.findall(r"`(\w+\.txt)`:\n\n```text\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(content, encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    sessions = [session for block in blocks for session in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    assert len(sessions) >= 15
    for session in sessions:
        command, *shown = session.rstrip("\n").split("\n")
        program, *arguments = shlex.split(command)
        done = subprocess.run(
            [*PROGRAMS[program], *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            env=uncovered(),
            check=False,
        )
        assert done.returncode == (2 if shown[:1] and shown[0].startswith("Error") else 0), (command, done.stderr)
        printed = (done.stderr + done.stdout).splitlines()
        if program in ("pip", "npm"):  # which speak of their own updates
            printed = done.stdout.splitlines()
        if shown[-1:] == ["..."]:
            shown, printed = shown[:-1], printed[: len(shown) - 1]
        assert len(shown) == len(printed), (command, done.stdout, done.stderr)
        for one, other in zip(shown, printed, strict=True):
            assert agree(one, other), (command, one, other)


def test_the_origins_of_the_page_are_those_that_are_recognised():
    from mnv2deploy.catalog.conventions import CONVENTIONS
    from mnv2deploy.weights.recognition import ORIGINS

    table = PAGE.partition("## What is recognised")[2].partition("\n\nA folder")[0]
    named = {name for row in table.splitlines() for name in re.findall(r"`([\w-]+)`", row.partition(" | ")[0])}
    assert named - {"--origin"} == set(ORIGINS)
    rows = [row for row in PAGE.splitlines() if row.startswith("  | `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(CONVENTIONS)


def test_links_of_the_page_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (DOCS / target).exists(), target
