"""The interleaved run, with workers that only pretend, and what becomes of its samples."""

from pathlib import Path
from typing import ClassVar

import pytest

from mnv2deploy.benchmark import measure as module
from mnv2deploy.benchmark.configurations import Configuration
from mnv2deploy.benchmark.machine import this_machine
from mnv2deploy.benchmark.measure import Samples, measure
from mnv2deploy.benchmark.others import Others
from mnv2deploy.benchmark.results import pipeline_results, run_results
from mnv2deploy.cli.bench_report import pipeline_report, run_report


def configuration(model, batch=1, threads=2):
    return Configuration(model, Path(f"{model}.onnx"), threads, batch, "cpu")


class Pretender:
    """A worker on a machine that gets slower with every burst, whoever runs."""

    log: ClassVar = []
    bursts = 0
    open = 0
    started: ClassVar = {}

    def __init__(self, configuration, pictures=()):
        Pretender.open += 1
        self.name = configuration.model
        self.stages = 4 if pictures else 1
        Pretender.started[self.name] = Pretender.started.get(self.name, 0) + 1
        self.load_seconds = {1: 0.5, 2: 0.1, 3: 0.2}[Pretender.started[self.name]]
        self.memory_before = 70_000_000
        self.seconds = {"slow": 0.03, "fast": 0.01}[self.name]

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        Pretender.open -= 1

    def warm_up(self):
        return self.seconds

    def burst(self, inputs):
        if Pretender.bursts == 1000:
            raise KeyboardInterrupt
        Pretender.bursts += 1
        Pretender.log.append((self.name, tuple(inputs)))
        return [[self.seconds * (1 + (Pretender.bursts - 1) // 2) / self.stages] * self.stages for _ in inputs]

    def peak_memory(self):
        return 100_000_000


class Watcher:
    def __init__(self):
        self.seen = []

    def start(self, description, total):
        self.seen.append([description, total, []])

    def update(self, done):
        self.seen[-1][2].append(done)

    def stop(self):
        self.seen.append("stopped")


@pytest.fixture
def pretender(monkeypatch):
    monkeypatch.setattr(module, "Worker", Pretender)
    Pretender.log, Pretender.bursts, Pretender.open, Pretender.started = [], 0, 0, {}
    return Pretender


BOTH = [configuration("slow"), configuration("fast")]


def test_everybody_has_a_turn_in_every_round(pretender):
    measured = measure(BOTH, seconds=1.0)
    rounds = len(measured[0].rounds)
    assert rounds == len(measured[1].rounds) == 16
    turns = [name for name, _ in pretender.log]
    assert [sorted(turns[start : start + 2]) for start in range(0, 2 * rounds, 2)] == [["fast", "slow"]] * rounds
    assert turns[:4] == ["slow", "fast", "fast", "slow"]
    assert pretender.open == 0


def test_the_faster_runs_more_often(pretender):
    slow, fast = measure(BOTH, seconds=1.0)
    # 62.5 ms a round: once settled in 30 ms, 32.5 are left for the slow; in 10 ms, 52.5 for the fast
    assert {len(burst) for burst in slow.rounds} == {1}
    assert {len(burst) for burst in fast.rounds} == {5}


def test_ratios_are_those_of_a_machine_that_does_not_drift(pretender):
    slow, fast = run_results(measure(BOTH, seconds=1.0))
    assert (slow.ratio.median, slow.ratio.low, slow.ratio.high) == (1, 1, 1)
    assert fast.ratio.median == pytest.approx(1 / 3)
    assert fast.ratio.low == pytest.approx(1 / 3)
    assert fast.ratio.high == pytest.approx(1 / 3)


def test_a_load_time_is_the_median_of_three_processes(pretender):
    assert [samples.load_seconds for samples in measure(BOTH, seconds=0.1)] == [0.2, 0.2]
    assert pretender.started == {"slow": 3, "fast": 3}


def test_in_a_round_all_answer_the_same_pictures(pretender):
    measured = measure(BOTH, seconds=1.0, pictures=[Path(f"{number}.png") for number in range(5)])
    assert {len(stages) for burst in measured[0].rounds for stages in burst} == {4}
    for first, second in zip(pretender.log[::2], pretender.log[1::2], strict=True):
        assert set(first[1]) == set(second[1])
    assert {index for _, inputs in pretender.log for index in inputs} == set(range(5))


def test_who_watches_sees_every_step(pretender):
    watcher = Watcher()
    measure(BOTH, seconds=1.0, progress=watcher)
    loading, warming, rounds, stopped = watcher.seen
    assert loading == ["Loading", 6, [1, 2, 3, 4, 5, 6]]
    assert warming == ["Warming up", 2, [1, 2]]
    assert rounds == ["Rounds", 16, [*range(1, 17)]]
    assert stopped == "stopped"


def test_an_interrupted_run_ends_its_workers_and_the_progress(pretender):
    watcher = Watcher()
    pretender.bursts = 995
    with pytest.raises(KeyboardInterrupt):
        measure(BOTH, seconds=1.0, progress=watcher)
    assert pretender.open == 0
    assert watcher.seen[-1] == "stopped"


def samples(model, batch, rounds, **changes):
    found = {"load_seconds": 0.0401, "memory_before": 75_000_000, "peak_memory": 215_500_000} | changes
    return Samples(configuration(model, batch), tuple(tuple((one,) for one in burst) for burst in rounds), **found)


def test_numbers_by_hand():
    first = samples("a", 1, [[0.002, 0.004], [0.002, 0.002], [0.003, 0.005]])
    other = samples("b", 8, [[0.012, 0.012], [0.016, 0.016], [0.016, 0.016]])
    one, two = run_results([first, other])
    assert (one.p50_ms, one.samples, one.rounds) == (2.5, 6, 3)
    assert (one.p10_ms, one.p90_ms, one.p99_ms) == (None, None, None)
    assert one.pictures_per_second == pytest.approx(6 / 0.018)
    assert (one.load_ms, one.peak_memory_mb, one.session_memory_mb) == pytest.approx((40.1, 215.5, 140.5))
    # a picture of a batch of 8 takes 1.5, 2 and 2 ms, where the first takes 3, 2 and 4
    assert two.pictures_per_second == pytest.approx(48 / 0.088)
    assert (two.ratio.low, two.ratio.median, two.ratio.high) == pytest.approx((0.5, 0.5, 0.75))


def test_stages_by_hand():
    rounds = (((0.001, 0.002, 0.003, 0.004), (0.003, 0.002, 0.001, 0.004)), ((0.002, 0.002, 0.002, 0.014),))
    (result,) = pipeline_results([Samples(configuration("a"), rounds, 0.04, None, None)])
    assert [stage.name for stage in result.stages] == ["decode", "preprocess", "run", "postprocess", "all"]
    assert [stage.p50_ms for stage in result.stages] == pytest.approx([2, 2, 2, 4, 10])
    assert [stage.share for stage in result.stages] == pytest.approx([0.15, 0.15, 0.15, 0.55, 1])
    assert result.samples == 3
    assert all(stage.p90_ms is None for stage in result.stages)


def cells(report):
    """The table in a report: header and rows."""
    lines = report.split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_the_table_and_the_json_of_runs_agree():
    hundred = [[0.002 + 0.00001 * step for step in range(50)]] * 2
    results = run_results([samples("a", 1, hundred), samples("b", 8, [[0.01] * 4] * 2, memory_before=None)])
    header, *rows = cells(run_report(this_machine(), results))
    for row, result in zip(rows, results, strict=True):
        shown, told = dict(zip(header, row, strict=True)), result.to_json()
        assert [shown["MODEL"], shown["PROVIDER"]] == [told["model"], told["provider"]]
        assert [int(shown["THREADS"]), int(shown["BATCH"])] == [told["threads"], told["batch"]]
        columns = {"P50 MS": "p50_ms", "P90 MS": "p90_ms", "P99 MS": "p99_ms", "PICTURES/S": "pictures_per_second"}
        columns |= {"LOAD MS": "load_ms", "PEAK MB": "peak_memory_mb", "SESSION MB": "session_memory_mb"}
        for column, field in (columns | {"RATIO": "ratio"}).items():
            if told[field] is None:
                assert shown[column] == "-"
            else:
                assert float(shown[column]) == pytest.approx(told[field], rel=0.006)
        quartiles = [float(quartile) for quartile in shown["QUARTILES"].split("-")]
        assert quartiles == pytest.approx(told["ratio_quartiles"], abs=0.0006)
    assert rows[0][header.index("P99 MS")] == "2.49"
    assert rows[1][header.index("P99 MS")] == rows[1][header.index("SESSION MB")] == "-"


def test_the_table_and_the_json_of_stages_agree():
    rounds = ((((0.001, 0.002, 0.003, 0.004),) * 6),) * 3
    measured = [Samples(configuration(name), rounds, 0.04, None, None) for name in ("a", "b")]
    results = pipeline_results(measured)
    header, *rows = cells(pipeline_report(this_machine(), results))
    assert header[3:7] == ["STAGE", "P50 MS", "P90 MS", "SHARE"]
    costs = len(header) - 7
    told = [stage for result in results for stage in result.to_json()["stages"]]
    shown = [row[-4:] if row[-1].endswith("%") else row[-4 - costs : -costs] for row in rows]
    assert shown == [
        [stage["name"], f"{stage['p50_ms']:.2f}", f"{stage['p90_ms']:.2f}", f"{stage['share']:.1%}"] for stage in told
    ]
    assert rows[4][-costs:] == rows[9][-costs:] == ["40.0", "-", "-", "1.000", "1.000-1.000"]
    assert [row[0] for row in (rows[0], rows[5])] == ["a", "b"]


def test_a_column_has_one_number_of_decimals():
    results = run_results([samples("a", 1, [[0.00714] * 50] * 2), samples("b", 1, [[0.165] * 50] * 2)])
    header, *rows = cells(run_report(this_machine(), results))
    place = header.index("P50 MS")
    assert [row[place] for row in rows] == ["7.14", "165.00"]
    place = header.index("PICTURES/S")
    assert [row[place] for row in rows] == ["140.06", "6.06"]
    place = header.index("LOAD MS")
    assert [row[place] for row in rows] == ["40.1", "40.1"]


def test_one_configuration_is_compared_with_nothing():
    alone = run_results([samples("a", 1, [[0.01] * 50] * 2)])
    stages = pipeline_results([Samples(configuration("a"), (((0.1,) * 4,),) * 5, 0.04, 1, 2)])
    for report in (run_report(this_machine(), alone), pipeline_report(this_machine(), stages)):
        assert "RATIO" not in report
        assert "QUARTILES" not in report
        assert "1.000" not in report
    assert "RATIO" in run_report(this_machine(), alone * 2).split("\n\n")[2]


def test_a_dash_is_explained_where_there_is_one():
    few, many, hidden = (
        run_report(this_machine(), run_results([samples("a", 1, [[0.01] * count] * 2, **changes)]))
        for count, changes in ((2, {}), (50, {}), (50, {"peak_memory": None}))
    )
    assert "more --seconds" in few
    assert "this system does not tell" not in few
    assert "-:" not in many
    assert "more --seconds" not in hidden
    assert "this system does not tell" in hidden


def test_a_busy_machine_is_told_of_under_the_table():
    results = run_results([samples("a", 1, [[0.01] * 50] * 2)])
    busy, idle = Others(1.26, 2, 2), Others(0.1, 2, 2)
    assert run_report(this_machine(), results, busy).endswith(
        "Other programs were busy (1.3 of 2 processors meanwhile); ratios and shares hold better than times."
    )
    assert "Other programs" not in run_report(this_machine(), results, idle)
    assert "Other programs" not in run_report(this_machine(), results, None)
