"""Recipes become releases: published, left as they were, refused; alone and several at a time."""

from __future__ import annotations

import json
import os
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import filelock
import pytest
from small_builds import STEPS, Bench, Noted, make_bench

from mnv2deploy.artifacts import build, release
from mnv2deploy.artifacts.build import BuildOptions, Outcome, build_releases, plan
from mnv2deploy.artifacts.manifest import read_manifest
from mnv2deploy.errors import ModelError


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    made = make_bench(tmp_path, monkeypatch)
    monkeypatch.setattr(build, "store_folder", lambda: tmp_path / "store")
    monkeypatch.setattr(release, "render_report", lambda *_: "left out, for it takes half a second")
    monkeypatch.setattr(release, "draw_samples", lambda *_: [])
    return made


def build_small(bench: Bench, *names: str, watcher: Noted | None = None, **options: Any) -> list[Outcome]:
    paths = [bench.folder / f"{name}.toml" for name in names or ("small",)]
    return build_releases(paths, BuildOptions(offline=True, **options), watcher or Noted())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_recipe_is_published_and_then_unchanged(bench):
    bench.write("[[artifacts]]", "[publish]\ntriton = true\n[[artifacts]]")
    (first,) = build_small(bench)
    assert (first.status, first.exit_code, first.error, first.failures) == ("published", 0, None, ())
    assert first.folder == bench.folder / "build" / "small"
    assert first.seconds > 0
    before = contents(first.folder)
    assert any(name.startswith("triton/") for name in before)
    (again,) = build_small(bench)
    assert (again.status, again.folder) == ("unchanged", first.folder)
    assert contents(first.folder) == before
    (other,) = build_small(bench, output=bench.folder / "elsewhere")
    assert (other.status, other.folder) == ("published", bench.folder / "elsewhere" / "small")
    assert contents(other.folder) == before
    assert first.manifest == read_manifest(first.folder)
    assert [one.made_from for one in first.manifest.artifacts] == [None, "fp32", "fp32"]


def test_the_manifest_says_of_each_artifact_its_own(bench):
    bench.write('input = "uint8"', "quantized = true\nend_to_end = true")
    (outcome,) = build_small(bench)
    assert outcome.manifest is not None
    floats, quantized, finished = outcome.manifest.artifacts
    assert [one.made_from for one in outcome.manifest.artifacts] == [None, "fp32", "int8"]
    assert [len(one.parity) for one in (floats, quantized, finished)] == [1, 0, 0]
    assert [len(one.layers) for one in (floats, quantized, finished)] == [0, 1, 0]
    assert [one.speed.milliseconds for one in outcome.manifest.artifacts if one.speed] == [1, 2, 3]
    assert [check.name for check in quantized.checks] == ["min_agreement"]
    assert outcome.manifest.calibration is not None
    assert outcome.manifest.calibration.sha256 == "c" * 64
    assert (outcome.manifest.name, outcome.manifest.recipe.name) == ("small", "small.toml")
    assert "triton" not in {path.name for path in (bench.folder / "build" / "small").iterdir()}


def test_a_failed_check_says_where_it_stands_and_keeps_what_was_there(bench):
    (first,) = build_small(bench)
    assert first.folder is not None
    before = contents(first.folder)
    text = bench.write("min_agreement = 40", "min_agreement = 100").read_text(encoding="utf-8")
    (failed,) = build_small(bench)
    assert (failed.status, failed.exit_code, failed.folder, failed.error) == ("failed", 5, None, None)
    (failure,) = failed.failures
    assert failure.line == text.splitlines().index("min_agreement = 100") + 1
    assert "int8 fails min_agreement = 100" in failure.message
    assert failed.manifest is not None
    assert not failed.manifest.artifacts[1].checks[0].passed
    assert contents(first.folder) == before


def test_a_recipe_that_fails_keeps_its_release_and_does_not_stop_the_next(bench):
    (first,) = build_small(bench)
    assert first.folder is not None
    before = contents(first.folder)
    bench.write('"fast"', '"best"')
    bench.failing["make_quantized"] = ModelError("it cannot be.")
    bench.write("quantized = true", "end_to_end = true", "next.toml")
    failed, following = build_small(bench, "small", "next")
    assert (failed.status, failed.error, failed.exit_code) == (
        "error",
        f"{failed.recipe}: it cannot be.",
        ModelError.exit_code,
    )
    assert (failed.folder, failed.manifest) == (None, None)
    assert contents(first.folder) == before
    assert following.status == "published"
    assert build.exit_code([failed, following]) == ModelError.exit_code


def test_a_mistake_of_the_program_is_not_taken_for_one_of_the_recipe(bench):
    bench.failing["make_export"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        build_small(bench)


def test_a_plan_makes_nothing_and_marks_what_is_there(bench):
    options = BuildOptions()
    assert plan(bench.recipe, options) == [(step, False) for step in STEPS]
    assert bench.calls == []
    build_small(bench)
    assert plan(bench.recipe, options) == [(step, True) for step in STEPS]
    assert not any(there for _, there in plan(bench.recipe, BuildOptions(force=True)))
    bench.write('"fast"', '"best"')
    assert plan(bench.recipe, options) == [("export", True), *((step, False) for step in STEPS[1:])]


def test_a_build_may_be_forbidden_to_open_connections(bench):
    build_small(bench)
    (offline,) = [options["offline"] for name, _, options in bench.calls if name == "make_export"]
    assert offline is True


@pytest.fixture
def baseline(bench) -> Path:
    """A folder of releases, of which one is the recipe's: a smaller file, and all the same answers."""
    (outcome,) = build_small(bench, output=bench.folder / "before")
    assert outcome.folder is not None
    path = outcome.folder / "manifest.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    table["artifacts"][1]["file"]["size"] //= 2
    path.write_text(json.dumps(table), encoding="utf-8")
    return bench.folder / "before"


@pytest.mark.parametrize("place", ["", "small", "small/manifest.json"])
def test_a_baseline_is_found_by_its_folder_or_file_and_is_a_gate_where_one_is_asked(bench, baseline, place):
    (free,) = build_small(bench, baseline=baseline / place)
    assert (free.status, free.exit_code) == ("published", 0)
    assert free.comparison is not None
    assert free.comparison.failures == ()
    text = bench.write("[[artifacts]]", "[baseline]\nmax_size_growth = 5\n[[artifacts]]").read_text(encoding="utf-8")
    (gated,) = build_small(bench, baseline=baseline / place)
    assert (gated.status, gated.exit_code) == ("failed", 5)
    assert gated.comparison is not None
    (failure,) = gated.failures
    assert failure.line == text.splitlines().index("[baseline]") + 1
    assert failure.message.startswith("small: ")


def test_a_baseline_of_another_name_is_said_and_not_compared_with(bench, baseline):
    bench.write(name="next.toml")
    for place, message in ((baseline, "has no release of that name"), (baseline / "small", "is the release small")):
        watcher = Noted()
        (outcome,) = build_small(bench, "next", watcher=watcher, baseline=place)
        assert (outcome.exit_code, outcome.comparison) == (0, None)
        assert [line for line in watcher.warnings if message in line]
    (nowhere,) = build_small(bench, baseline=bench.folder / "nowhere")
    assert (nowhere.status, nowhere.exit_code) == ("error", 2)
    assert "nowhere: No such file or directory; give the folder of a release" in (nowhere.error or "")


class Pool(Executor):
    """Runs what processes would, in this one, and remembers how it was made."""

    made: list[Pool] = []  # noqa: RUF012

    def __init__(self, workers: int, *, mp_context: Any, initializer: Any, initargs: Any) -> None:
        self.workers, self.method = workers, mp_context.get_start_method()
        self.threads = os.environ["OMP_NUM_THREADS"]
        self.initargs = initargs
        self.made.append(self)

    def map(self, function: Any, *iterables: Any, **_: Any) -> Any:
        return [function(*arguments) for arguments in zip(*iterables, strict=True)]


@pytest.fixture
def pools(monkeypatch) -> list[Pool]:
    monkeypatch.setattr(build, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(build, "available_processors", lambda: 7)
    monkeypatch.setattr(Pool, "made", [])
    return Pool.made


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("jobs", [1, 2])
def test_several_at_a_time_make_every_step_once_and_time_alone(bench, pools, monkeypatch, jobs, force):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    if force:
        bench.build()
        bench.calls.clear()
    bench.write("[quantization]", "[export]\nopset = 17\n[quantization]", "next.toml")
    outcomes = build_small(bench, "small", "next", jobs=jobs, force=force, log_level="debug")
    assert [outcome.status for outcome in outcomes] == ["published", "published"]
    made = bench.made()
    # Both export, and the same bytes are quantized and finished once for both; but processes do not know of each
    # other what was forced, and make what is of both once a recipe.
    both = 2 if force and jobs == 2 else 1
    assert {name: made.count(name) for name in made} == {
        "make_export": 2,
        "make_quantized": both,
        "make_finished": both,
        "make_times": 1,
    }
    assert os.environ["OMP_NUM_THREADS"] == "5"
    if jobs == 1:
        assert pools == []
        return
    assert made[-1] == "make_times"
    (pool,) = pools
    assert (pool.workers, pool.method, pool.threads, pool.initargs) == (2, "spawn", "3", ("debug",))


def test_one_recipe_needs_no_processes_and_a_failure_in_one_is_said_once(bench, pools, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    build_small(bench, jobs=4)
    assert pools == []
    (bench.folder / "wrong.toml").write_text('model = "mobilenet-v9"\n', encoding="utf-8")
    outcomes = build_small(bench, "wrong", "small", jobs=16)
    assert [outcome.status for outcome in outcomes] == ["error", "unchanged"]
    assert pools[0].threads == "1"
    assert "OMP_NUM_THREADS" not in os.environ


class Told:
    stopped = 0

    def start(self, description: str, total: int | None) -> None: ...

    def update(self, done: int) -> None: ...

    def stop(self) -> None:
        self.stopped += 1


def test_progress_ends_where_a_recipe_cannot_be_read(bench):
    told = Told()
    build_releases([bench.folder / "none.toml"], BuildOptions(), Noted(), told)
    assert told.stopped


def test_a_release_is_written_to_the_disk_before_it_takes_its_name(bench, monkeypatch):
    """Else a power cut leaves a name whose files are empty."""
    done: list[tuple[str, Any]] = []
    monkeypatch.setattr(release, "sync", lambda folder, **options: done.append((folder.name, options)))
    exchange = release._exchange

    def noted(new: Path, folder: Path) -> None:
        done.append(("exchange", {}))
        exchange(new, folder)

    monkeypatch.setattr(release, "_exchange", noted)
    build_small(bench)
    assert done == [(".small.new", {}), ("exchange", {}), ("build", {"deep": False})]


def test_two_builds_into_one_folder_share_a_lock_and_others_do_not(bench, monkeypatch):
    names: list[str] = []

    class Lock(filelock.FileLock):
        def __init__(self, path: Path) -> None:
            names.append(path.name)
            super().__init__(path)

    monkeypatch.setattr(release.filelock, "FileLock", Lock)
    monkeypatch.chdir(bench.folder)
    for output in (None, Path("build"), bench.folder / "build", Path("other")):
        build_small(bench, output=output)
    locks = [name for name in names if name.startswith("release-")]
    assert len(locks) == 4
    assert len(set(locks[:3])) == 1
    assert locks[3] != locks[0]


def test_what_is_no_release_is_not_replaced(bench):
    mine = bench.folder / "build" / "small"
    mine.mkdir(parents=True)
    (mine / "thesis.tex").touch()
    (refused,) = build_small(bench)
    assert (refused.status, refused.exit_code) == ("error", 2)
    assert "is there and is no release" in (refused.error or "")
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]


def test_a_mistake_in_a_recipe_is_marked_in_its_line(bench):
    path = bench.write("[[artifacts]]", "[export]\nopsett = 18\n[[artifacts]]")
    (wrong,) = build_small(bench)
    assert wrong.error_line == path.read_text(encoding="utf-8").splitlines().index("opsett = 18") + 1
