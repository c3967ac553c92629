"""One configuration in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnv2deploy.benchmark.configurations import Configuration, combine
from mnv2deploy.benchmark.process import Worker
from mnv2deploy.errors import MissingDependencyError, UsageError

linux_only = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


@pytest.fixture(scope="module")
def configuration(artifacts):
    return Configuration("mobilenet-v2", artifacts["mobilenet-v2"], threads=1, batch=1, provider="cpu")


def state_of(pid):
    """One letter, T for stopped, as in proc_pid_stat(5); None for a process that is no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return None


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_combinations_are_all_there_and_in_order():
    found = combine([("a", Path("a.onnx")), ("b", Path("b.onnx"))], [1, 2], [1, 8], ["cpu", "cuda"])
    assert len(found) == len(set(found)) == 16
    described = [(one.model, one.threads, one.batch, one.provider) for one in found]
    assert described[:3] == [("a", 1, 1, "cpu"), ("a", 1, 1, "cuda"), ("a", 1, 8, "cpu")]
    assert described[-1] == ("b", 2, 8, "cuda")


def test_a_worker_times_what_it_is_told_to(configuration):
    with Worker(configuration) as worker:
        assert 0 < worker.load_seconds < 60
        assert 0 < worker.warm_up() < 60
        samples = worker.burst([0, 0, 0])
    assert len(samples) == 3
    assert all(len(stages) == 1 and stages[0] > 0 for stages in samples)


def test_a_worker_with_pictures_times_their_stages(configuration, photos):
    with Worker(configuration, [photos["coffee.png"], photos["rocket.jpg"]]) as worker:
        samples = worker.burst([1, 0, 1])
    assert [len(stages) for stages in samples] == [4, 4, 4]


def test_a_burst_counts_all_runs_but_those_it_settles_with():
    from mnv2deploy.benchmark.worker import _obey

    ran = []

    def sampler(index):
        ran.append(index)
        return (0.004, 0.002) if len(ran) < 3 else (0.001, 0.001)

    assert _obey({"do": "burst", "inputs": [7, 8]}, sampler) == {"samples": [(0.001, 0.001)] * 2}
    assert ran == [7, 7, 7, 8]


def test_a_worker_speaks_json_and_ends_with_its_input(configuration):
    task = {"artifact": str(configuration.artifact), "threads": 1, "batch": 1, "provider": "cpu", "pictures": []}
    commands = [task, {"do": "warm_up"}, {"do": "burst", "inputs": [0, 0]}, {"do": "peak_memory"}]
    done = subprocess.run(
        [sys.executable, "-m", "mnv2deploy.benchmark.worker"],
        input="".join(json.dumps(command) + "\n" for command in commands),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    opened, warm, burst, memory = map(json.loads, done.stdout.splitlines())
    assert 0 < opened["memory_before"] < memory["peak_memory"]
    assert 0 < warm["seconds"] < 60
    assert len(burst["samples"]) == 2


@linux_only
def test_a_worker_stands_still_between_its_turns_and_is_gone_after_them(configuration):
    with Worker(configuration) as worker:
        pid = worker._process.pid
        wait_for(lambda: state_of(pid) == "T")
        worker.burst([0])
        wait_for(lambda: state_of(pid) == "T")
    assert state_of(pid) is None


@linux_only
def test_more_pictures_a_run_need_more_memory(configuration, artifacts):
    def peak(batch):
        with Worker(Configuration("mobilenet-v2", artifacts["mobilenet-v2"], 1, batch, "cpu")) as worker:
            return worker.peak_memory(), worker.peak_memory() - worker.memory_before

    (one, one_session), (eight, eight_session) = peak(1), peak(8)
    weights = artifacts["mobilenet-v2"].stat().st_size
    # Seven more pictures of (96, 112, 112) float32, the largest activation there is, at the least.
    assert eight - one > 7 * 96 * 112 * 112 * 4
    assert eight_session - one_session > 7 * 96 * 112 * 112 * 4
    assert weights < one_session < one


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"provider": "tpu"}, MissingDependencyError, "no provider 'tpu', only .*cpu"),
        ({"threads": 100_000}, UsageError, "threads 100000"),
        ({"artifact": Path("nowhere.onnx")}, UsageError, "nowhere.onnx: there is no such file"),
    ],
)
def test_what_cannot_be_opened_is_said_in_the_words_of_the_session(changes, error, says, configuration):
    import dataclasses

    with pytest.raises(error, match=says):
        Worker(dataclasses.replace(configuration, **changes))


def test_a_provider_that_onnxruntime_quietly_replaced_is_not_timed_in_its_place(configuration):
    from mnv2deploy.benchmark import worker
    from mnv2deploy.runtime.session import Session

    session = Session(configuration.artifact, threads=1)
    worker._check_provider(session, "cpu")
    worker._check_provider(session, "CPUExecutionProvider")
    with pytest.raises(MissingDependencyError, match="could not start the provider cuda and took CPUExecutionProvider"):
        worker._check_provider(session, "cuda")


def test_a_worker_that_the_system_killed_ran_out_of_memory(configuration):
    with Worker(configuration) as worker:
        os.kill(worker._process.pid, signal.SIGKILL)
        worker._process.wait()
        with pytest.raises(MissingDependencyError, match="mobilenet-v2 with batch 1 was killed, most likely .* memory"):
            worker.burst([0])


def test_a_worker_that_breaks_down_shows_its_traceback(configuration):
    with Worker(configuration) as worker, pytest.raises(RuntimeError, match="IndexError"):
        worker.burst([5])


def test_what_a_library_prints_does_not_get_among_the_answers():
    code = (
        "import os; from mnv2deploy.benchmark.worker import _send, _take_stdout\n"
        "answers = _take_stdout(); os.system('echo noise'); print('more'); _send(answers, {'a': 1})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == '{"a": 1}\n'
    assert "noise" in done.stderr
    assert "more" in done.stderr
