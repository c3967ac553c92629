"""The example of docs/finish.md runs without this program, and the table is the outputs there are."""

import re
import subprocess
import sys
from pathlib import Path

from mnv2deploy.decoding import FINISHED_OUTPUTS
from mnv2deploy.finishing.artifact import finish
from mnv2deploy.runtime.session import Session

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "finish.md").read_text(encoding="utf-8")


def test_example_finds_what_the_page_says(tmp_path, artifacts, photos):
    (tmp_path / "photos").symlink_to(photos["coffee.png"].parent)
    finish(artifacts["ssdlite-coco"], tmp_path / "coco.onnx", byte_input=True, end_to_end=True)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert "mnv2deploy" not in code
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    cup, table = done.stdout.splitlines()
    assert cup.startswith("47 0.96 [173.")
    assert table.startswith("67 0.78 [")
    assert "a cup (47) and a dining table (67)" in PAGE


def test_table_names_the_outputs_of_every_task(artifacts, tmp_path):
    rows = re.findall(r"^\| (\w*) ?\| `(\w+)` \((.*?)\) \|", PAGE, re.MULTILINE)
    tasks = []
    for task, *_ in rows:
        tasks.append(task or tasks[-1])
    for name, task in (("mobilenet-v2", "classify"), ("ssdlite-coco", "detect"), ("deeplabv3-voc", "segment")):
        path = finish(artifacts[name], tmp_path / f"{name}.onnx", byte_input=False, end_to_end=True).path
        named = [output for other, (_, output, _) in zip(tasks, rows, strict=True) if other == task]
        assert named == [output.name for output in Session(path).contract.outputs]
        assert len(named) == len(FINISHED_OUTPUTS[task])


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (DOCS / target).exists(), target
