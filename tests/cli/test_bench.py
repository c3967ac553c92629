"""``mnv2deploy bench`` as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest

from mnv2deploy.errors import UsageError
from mnv2deploy.runtime.processors import available_processors
from mnv2deploy.runtime.session import Session

HEAVY = {"torch", "onnx", "onnxruntime", "cv2", "numpy", "matplotlib", "rich", "requests"}


def table_of(text):
    """Header and rows of the first table."""
    lines = text.split("\n\n")[1].splitlines()
    return [line.split() for line in lines]


def test_every_combination_is_a_line_of_the_table(cli, artifacts):
    path = str(artifacts["mobilenet-v2"])
    done = cli("bench", path, path, "--threads", "1,2", "--seconds", "0.05")
    assert (done.returncode, done.stderr) == (0, "")
    machine, _, reading = done.stdout.rstrip().split("\n\n")
    assert "onnxruntime" in machine
    assert "processors" in machine
    assert reading.startswith("5 rounds")
    _, *rows = table_of(done.stdout)
    assert [row[:4] for row in rows] == [[path, threads, "1", "cpu"] for _ in range(2) for threads in "12"]
    assert rows[0][-2:] == ["1.000", "1.000-1.000"]


def test_json_is_one_document_with_the_machine_and_every_number(cli, artifacts, tmp_path):
    plot = tmp_path / "plot.svg"
    done = cli("bench", artifacts["mobilenet-v2"], "--batch", "1,2", "--seconds", "0.2", "--json", "--plot", plot)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert {"processor", "processors", "available_processors", "platform", "python", "onnxruntime"} <= set(
        document["machine"]
    )
    assert document["plot"] == str(plot)
    if (others := document["other_programs"]) is not None:
        assert others["available"] == document["machine"]["available_processors"]
        assert 0 <= others["processors_used"] <= others["processors"] * 1.1
    assert "batch 2" in plot.read_text(encoding="utf-8")
    one, two = document["configurations"]
    assert (one["batch"], two["batch"]) == (1, 2)
    assert one["threads"] == document["machine"]["available_processors"]
    for entry in (one, two):
        assert entry["artifact"] == str(artifacts["mobilenet-v2"])
        assert entry["samples"] >= entry["rounds"] >= 5
        assert entry["p10_ms"] is None or entry["p10_ms"] <= entry["p50_ms"] <= entry["p90_ms"]
        assert entry["p99_ms"] is None or entry["samples"] >= 100
        assert entry["load_ms"] > 0
        assert 0 < entry["session_memory_mb"] < entry["peak_memory_mb"]
        low, high = entry["ratio_quartiles"]
        assert low <= entry["ratio"] <= high
    assert two["session_memory_mb"] > one["session_memory_mb"]


def test_a_graph_that_takes_bytes_is_timed_beside_one_that_takes_floats(cli, byte_artifacts):
    both = byte_artifacts["mobilenet-v2"]
    done = cli("bench", *both, "--threads", "1", "--seconds", "0.02", "--batch", "2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    entries = json.loads(done.stdout)["configurations"]
    assert [entry["artifact"] for entry in entries] == [*map(str, both)]
    assert min(entry["samples"] for entry in entries) >= 5


def test_stages_of_real_pictures(cli, artifacts, photos, tmp_path):
    arguments = ["--pictures", photos["coffee.png"], "--pictures", photos["rocket.jpg"], "--seconds", "0.1"]
    models = [artifacts["mobilenet-v2"], artifacts["ssdlite-coco"]]
    plot = tmp_path / "plot.png"
    done = cli("bench", *models, "--pipeline", *arguments, "--threads", "1", "--json", "--plot", plot)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["pictures"] == [str(photos["coffee.png"]), str(photos["rocket.jpg"])]
    for entry in document["configurations"]:
        stages = {stage["name"]: stage for stage in entry["stages"]}
        assert list(stages) == ["decode", "preprocess", "run", "postprocess", "all"]
        parts = [stages[name]["share"] for name in list(stages)[:-1]]
        assert sum(parts) == pytest.approx(1, abs=1e-3)
        assert stages["all"]["share"] == 1
        assert entry["peak_memory_mb"] > entry["session_memory_mb"] > 0
        assert stages["all"]["p50_ms"] > max(stages[name]["p50_ms"] for name in ("decode", "run"))
    assert plot.stat().st_size > 10_000


def test_stages_without_pictures_take_the_sample_photos(cli, artifacts, photos):
    done = cli("bench", artifacts["mobilenet-v2"], "--pipeline", "--seconds", "0.1", "--offline")
    assert (done.returncode, done.stderr) == (0, "")
    _, *rows = table_of(done.stdout)
    stages = [row[-4 if row[-1].endswith("%") else -7] for row in rows]
    assert stages == ["decode", "preprocess", "run", "postprocess", "all"]


def test_a_profile_of_each_configuration(cli, artifacts):
    done = cli("bench", artifacts["mobilenet-v2"], "--profile", "--threads", "1,2", "--seconds", "0.05", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    one, two = json.loads(done.stdout)["configurations"]
    assert (one["threads"], two["threads"]) == (1, 2)
    for entry in (one, two):
        assert entry["operators"][0]["type"] in ("Conv", "FusedConv")
        assert entry["kernels_ms"] < entry["run_ms"]
        assert sum(operator["calls"] for operator in entry["operators"]) == len(entry["nodes"])
    text = cli("bench", artifacts["mobilenet-v2"], "--profile", "--threads", "1", "--seconds", "0.05").stdout
    assert "OPERATOR" in text
    assert "SLOWEST NODES" in text


def test_quiet_leaves_nothing_but_the_json_and_the_plot(cli, artifacts, tmp_path):
    arguments = ["bench", artifacts["mobilenet-v2"], "--threads", "1", "--seconds", "0.01", "--quiet"]
    done = cli(*arguments, "--plot", tmp_path / "plot.svg")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "plot.svg").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--threads", "0"], 2, "--threads 0: give whole numbers from 1 on"),
        (["--threads", "1,two"], 2, "--threads 1,two: give whole numbers"),
        (["--threads", "-1"], 2, "--threads -1: give whole numbers"),
        (
            ["--threads", "100000"],
            2,
            "Error: --threads 100000: at least 1 and at most",
        ),  # onnxruntime would start them all
        (["--threads", "1,2,1"], 2, "--threads names 1 twice"),
        (["--batch", "4,04"], 2, "--batch names 4 twice"),
        (["--provider", "cpu,cpu"], 2, "--provider names cpu twice"),
        (["--batch", "1.5"], 2, "--batch 1.5: give whole numbers"),
        (["--batch", "1,,2"], 2, "--batch '1,,2': something is missing"),
        (["--provider", ""], 2, "--provider '': something is missing"),
        (["--provider", "cpu,tpu"], 7, "no provider 'tpu', only"),
        (["--seconds", "0"], 2, "--seconds: should be a number of seconds greater than 0, not 0."),
        (["--seconds", "nan"], 2, "greater than 0, not nan."),
        (["--seconds", "inf"], 2, "greater than 0, not inf."),
        (["--pipeline", "--batch", "2"], 2, "--pipeline takes one picture at a time"),
        (["--pictures", "a.jpg"], 2, "--pictures is for --pipeline"),
        (["--pipeline", "--pictures", "nowhere.jpg"], 3, "nowhere.jpg does not exist"),
        (["--profile", "--pipeline"], 2, "takes no --pipeline or --plot"),
        (["--profile", "--plot", "a.svg"], 2, "takes no --pipeline or --plot"),
        (["--plot", "a.pdf"], 2, "should end in .svg or .png"),
        (["--plot", "nowhere/a.svg"], 2, "there is no folder nowhere"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, code, says, cli, artifacts):
    done = cli("bench", artifacts["mobilenet-v2"], *arguments, "--json")
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout) == {"error": done.stderr.removeprefix("Error: ").rstrip("\n"), "exit_code": code}


def test_models_that_are_none_are_refused(cli, artifacts, tmp_path):
    assert cli("bench").returncode == 2
    assert cli("bench", tmp_path / "nowhere.onnx").returncode == 2
    assert "no such model in the catalog" in cli("bench", "nonsense").stderr
    (tmp_path / "text.onnx").write_text("hello", encoding="utf-8")
    done = cli("bench", tmp_path / "text.onnx")
    assert done.returncode == 4
    assert "text.onnx is not a model" in done.stderr
    assert "ONNXRuntimeError" not in done.stderr
    assert done.stderr.endswith("; make an artifact with 'mnv2deploy export'.\n")


def test_a_fixed_batch_is_refused_with_a_sentence(cli, artifacts, tmp_path):
    model = onnx.load(artifacts["mobilenet-v2"])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "fixed.onnx")
    done = cli("bench", tmp_path / "fixed.onnx", "--batch", "1,8", "--seconds", "0.01")
    assert done.returncode == 2
    assert "fixed.onnx takes 1 pictures a run and no other number, so batch 8 cannot be timed" in done.stderr


def test_a_picture_that_cannot_be_read_is_left_out_and_told(cli, artifacts, photos, tmp_path):
    rocket = photos["rocket.jpg"].read_bytes()
    (tmp_path / "broken.jpg").write_bytes(rocket[:2000])
    (tmp_path / "whole.jpg").write_bytes(rocket)
    arguments = ["--pipeline", "--pictures", tmp_path, "--threads", "1", "--seconds", "0.05"]
    done = cli("bench", artifacts["mobilenet-v2"], *arguments, "--json")
    assert done.returncode == 3
    told, count = done.stderr.splitlines()
    assert told.startswith("Error: ")
    assert "broken.jpg is truncated" in told
    assert count == "1 of 2 pictures could not be read."
    document = json.loads(done.stdout)
    assert document["pictures"] == [str(tmp_path / "whole.jpg")]
    assert document["failures"] == [{"source": str(tmp_path / "broken.jpg"), "error": told.removeprefix("Error: ")}]
    assert document["configurations"][0]["samples"] >= 5


def test_pictures_of_which_none_can_be_read_end_it_before_anything_is_timed(cli, photos, tmp_path):
    for name in ("broken.jpg", "torn.jpg"):
        (tmp_path / name).write_bytes(photos["rocket.jpg"].read_bytes()[:2000])
        done = cli("bench", tmp_path / "no-model-either.onnx", "--pipeline", "--pictures", tmp_path)
        assert done.returncode == 3
        assert "broken.jpg is truncated" in done.stderr
    assert done.stderr.startswith("Error: None of the 2 pictures can be read; ")


def test_the_command_refuses_the_threads_a_session_would_refuse(cli, artifacts):
    count = 8 * available_processors() + 1
    with pytest.raises(UsageError) as caught:
        Session(artifacts["mobilenet-v2"], threads=count)
    done = cli("bench", artifacts["mobilenet-v2"], "--threads", f"1,{count}")
    assert (done.returncode, done.stderr) == (2, f"Error: --{caught.value}\n")


def test_without_matplotlib_a_plot_is_refused_beforehand(artifacts, tmp_path):
    code = (
        "import importlib.util, sys; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'matplotlib' else find(name, *rest)\n"
        f"sys.argv = ['mnv2deploy', 'bench', {str(artifacts['mobilenet-v2'])!r}, '--plot', 'a.svg']\n"
        "from mnv2deploy.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 7
    assert "pip install 'mnv2deploy[plot]'" in done.stderr


def test_help_loads_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mnv2deploy", "bench", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--pipeline" in done.stdout
    loaded = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert {"typer", "mnv2deploy.cli.options"} <= loaded
    assert not loaded & HEAVY


def marked(mark):
    """Ids of the processes whose environment has this mark, and that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
            if state != "Z" and mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_it_leaves_no_process_behind(ending, artifacts):
    mark = f"MNV2DEPLOY_TEST_MARK={os.getpid()}-{ending}"
    name, value = mark.split("=")
    command = [sys.executable, "-m", "mnv2deploy", "bench", str(artifacts["mobilenet-v2"]), "--threads", "1"]
    process = subprocess.Popen(
        [*command, "--batch", "1,2", "--seconds", "60"],
        env={**os.environ, name: value},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len(marked(mark)) < 3:  # itself and two workers: the measurement has begun
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(ending)
    _, stderr = process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while left := marked(mark):
        if time.monotonic() > deadline:
            for each in left:
                os.kill(each, signal.SIGKILL)
            pytest.fail(f"{len(left)} processes were left behind")
        time.sleep(0.05)
    if ending == signal.SIGINT:
        assert (process.returncode, stderr) == (130, "Interrupted.\n")
