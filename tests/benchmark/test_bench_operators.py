"""Where the time of a run goes, against the graph onnxruntime says it runs."""

from collections import Counter
from pathlib import Path

import onnx
import onnxruntime
import pytest

from mnv2deploy.benchmark import operators
from mnv2deploy.benchmark.configurations import Configuration
from mnv2deploy.benchmark.machine import this_machine
from mnv2deploy.benchmark.operators import add_up, profile
from mnv2deploy.cli.bench_report import profile_report


def optimized_graph(artifact, path):
    """The graph as onnxruntime rewrote it for one thread of this processor."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(str(artifact), options, providers=["CPUExecutionProvider"])
    return onnx.load(path).graph


@pytest.mark.parametrize("name", ["mobilenet-v2", "ssdlite-coco"])
def test_every_node_that_runs_is_counted_once_a_run(name, artifacts, tmp_path):
    graph = optimized_graph(artifacts[name], tmp_path / "optimized.onnx")
    found = profile(Configuration(name, artifacts[name], threads=1, batch=1, provider="cpu"), seconds=0.05)
    assert {one.type: one.calls for one in found.operators} == Counter(node.op_type for node in graph.node)
    assert len(found.nodes) == len(graph.node)
    assert {node.name for node in found.nodes} >= {node.name for node in graph.node if node.name}
    assert max(found.operators, key=lambda one: one.calls).type in ("Conv", "FusedConv")


def test_shares_add_up(artifacts):
    found = profile(Configuration("m", artifacts["mobilenet-v2"], threads=1, batch=2, provider="cpu"), seconds=0.05)
    assert sum(one.ms for one in found.operators) == pytest.approx(found.kernels_ms)
    assert sum(one.ms for one in found.nodes) == pytest.approx(found.kernels_ms)
    assert 0 < found.kernels_ms < found.run_ms
    assert sum(one.share for one in found.operators) == pytest.approx(found.kernels_ms / found.run_ms)
    assert [one.ms for one in found.nodes] == sorted((one.ms for one in found.nodes), reverse=True)
    stem = max(found.nodes, key=lambda node: node.output_shape[-1])
    assert stem.output_shape[0] == 2  # the batch


def test_the_record_is_gone_afterwards(artifacts, tmp_path, monkeypatch):
    monkeypatch.setattr(operators.tempfile, "tempdir", str(tmp_path))
    profile(Configuration("m", artifacts["mobilenet-v2"], threads=1, batch=1, provider="cpu"), seconds=0.01)
    assert [*tmp_path.iterdir()] == []


def record(runs):
    """Events of runs: each the microseconds of the whole, and of the nodes in it by name."""
    events, clock = [{"cat": "Session", "name": "session_initialization", "ts": 0, "dur": 90}], 100
    for duration, nodes in runs:
        inside = clock + 1
        for name, microseconds in nodes:
            kind = name.split("/")[-1].split("#")[0]
            arguments = {"op_name": kind, "node_index": name, "output_type_shape": [{"float": [1, 2]}, {"int64": [3]}]}
            label = f"{name.split('#')[0]}_kernel_time"
            events.append({"cat": "Node", "name": label, "ts": inside, "dur": microseconds, "args": arguments})
            inside += microseconds
        events.append({"cat": "Session", "name": "model_run", "ts": clock, "dur": duration})
        clock += duration + 7
    return events


def test_a_record_by_hand():
    quick = (100, [("a/Conv", 50), ("b/Conv", 20), ("c/Add", 10)])
    slow = (120, [("a/Conv", 60), ("b/Conv", 30), ("c/Add", 10)])
    warm_up = (9000, [("a/Conv", 5000), ("b/Conv", 3000), ("c/Add", 900)])
    disturbed = (5000, [("a/Conv", 4900), ("b/Conv", 20), ("c/Add", 10)])
    hasty = (50, [("a/Conv", 10), ("b/Conv", 10), ("c/Add", 10)])
    found = add_up(record([warm_up, quick, disturbed, slow, hasty]), runs=4)  # of the four the middle two count
    assert (found.runs, found.run_ms) == (2, pytest.approx(0.11))
    assert found.kernels_ms == pytest.approx(0.09)
    assert [(one.type, one.calls, one.ms) for one in found.operators] == [
        ("Conv", 2, pytest.approx(0.08)),
        ("Add", 1, pytest.approx(0.01)),
    ]
    assert [(one.name, one.type, one.ms) for one in found.nodes] == [
        ("a/Conv", "Conv", pytest.approx(0.055)),
        ("b/Conv", "Conv", pytest.approx(0.025)),
        ("c/Add", "Add", pytest.approx(0.01)),
    ]
    assert found.nodes[0].output_shape == (1, 2)
    assert found.operators[0].share == pytest.approx(0.08 / 0.11)


def test_two_nodes_of_one_name_stay_two():
    found = add_up(record([(50, [("same/Conv#1", 30), ("same/Conv#2", 10)])]), runs=1)
    assert [(node.name, node.ms) for node in found.nodes] == [("same/Conv", 0.03), ("same/Conv", 0.01)]
    assert found.operators[0].calls == 2


def test_the_table_and_the_json_agree():
    found = add_up(record([(100, [("a/Conv", 50), ("b/Conv", 20), ("c/Add", 10)])]), runs=1)
    configuration = Configuration("m", Path("m.onnx"), 1, 8, "cpu")
    report = profile_report(this_machine(), [(configuration, found)])
    assert "m, 1 thread, batch 8, cpu; mean of 1 runs" in report
    lines = [line.split() for line in report.splitlines()]
    for one in found.to_json()["operators"]:
        assert [one["type"], str(one["calls"]), f"{one['ms']:.3f}", f"{one['share']:.1%}"] in lines
    for one in found.to_json()["nodes"]:
        assert [one["name"], one["type"], "1x2", f"{one['ms']:.3f}", f"{one['share']:.1%}"] in lines
    assert ["all", "operators", "3", "0.080", "80.0%"] in lines
    assert ["between", "them", "0.020", "20.0%"] in lines
