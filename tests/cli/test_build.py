"""``mnv2deploy build``: a recipe becomes a release, killed or not, and only what changed is made again."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from uncovered import uncovered

RECIPE = """\
model = "mobilenet-v2"

[quantization]
calibration = "sets.toml"
target = "x86-vnni"
profile = "fast"

[measure]
pictures = "imagenet-20"
dataset = "${MNV2DEPLOY_TEST_SET}"
speed = false

[[artifacts]]
name = "fp32"
[artifacts.checks]
max_parity_error = 1e-4

[[artifacts]]
name = "int8"
quantized = true
[artifacts.checks]
max_megabytes = 4
min_agreement = 80
min_accuracy = 75
max_drop = 15

[[artifacts]]
name = "int8-end-to-end"
quantized = true
end_to_end = true

[publish]
triton = true
"""
FILES = {
    "README.md",
    "SHA256SUMS",
    "golden.png",
    "manifest.json",
    "report.html",
    "sbom.cdx.json",
    "small.toml",
    "small-fp32.onnx",
    "small-int8.onnx",
    "small-int8-end-to-end.onnx",
}


def build(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mnv2deploy", "build", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env=uncovered(**environment),
        check=False,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Workshop:
    """A folder with a recipe, and a cache whose steps are its own; downloads are the other tests'.

    Attributes:
        folder: Where builds are run.
        environment: For `build`.
        killed: What stood in the folder of releases after a build was killed.
        first: The build after it.
        steps: What the killed build left in the store.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        (folder / "models").mkdir(parents=True)
        (folder / "models" / "small.toml").write_text(RECIPE, encoding="utf-8")
        sets = 'sets = ["kivy-photos", "kodak-photos", "orange-photos", "sample-photos"]\n[crops]\ncount = 24\n'
        (folder / "models" / "sets.toml").write_text(sets, encoding="utf-8")
        own = folder / "cache"
        own.mkdir()
        for child in cache.iterdir() if cache.is_dir() else ():
            if child.name != "steps":
                (own / child.name).symlink_to(child)
        self.environment = {"MNV2DEPLOY_CACHE": str(own), "MNV2DEPLOY_TEST_SET": str(folder / "labelled")}
        pulled = ["pull", "imagenet-20", "-o", str(folder / "labelled")]
        subprocess.run([sys.executable, "-m", "mnv2deploy", *pulled], check=True, capture_output=True)
        self._kill_one()
        self.killed = sorted(path.name for path in (folder / "models").iterdir())
        self.steps = sorted(path.name.partition("-")[0] for path in (own / "steps").iterdir() if path.name != "locks")
        self.first = self.build()

    def build(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return build("models/small.toml", *arguments, cwd=self.folder, **self.environment, **environment)

    @property
    def release(self) -> Path:
        return self.folder / "models" / "build" / "small"

    def _kill_one(self) -> None:
        """Kills a build while it quantizes."""
        process = subprocess.Popen(
            [sys.executable, "-m", "mnv2deploy", "build", "models/small.toml"],
            cwd=self.folder,
            stderr=subprocess.PIPE,
            text=True,
            env=uncovered(**self.environment),
        )
        assert process.stderr is not None
        for line in process.stderr:
            if "quantize" in line:
                break
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory, photos) -> Workshop:
    from mnv2deploy.cache import cache_dir

    return Workshop(tmp_path_factory.mktemp("workshop"), cache_dir())


def test_a_killed_build_leaves_whole_steps_and_no_release(workshop):
    assert workshop.killed == ["sets.toml", "small.toml"]
    assert ".quantize" in [name.partition("-")[0] for name in workshop.steps]
    assert "export" in workshop.steps


def test_the_next_build_goes_on_and_publishes(workshop):
    done = workshop.first
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stderr.splitlines()]
    assert ["small", "1/6", "export", "unchanged"] in lines
    assert ["small", "2/6", "quantize", "..."] in lines
    assert "published in models/build/small" in done.stdout
    found = contents(workshop.release)
    assert {name for name in found if "/" not in name} == FILES
    assert any(name.startswith("triton/") and name.endswith("config.pbtxt") for name in found)
    assert not [path.name for path in workshop.release.parent.iterdir() if path != workshop.release]


def test_the_log_is_of_the_build_alone(workshop):
    """Not of torch, onnx or onnxsim."""
    assert all(line.startswith("small ") for line in workshop.first.stderr.splitlines()), workshop.first.stderr


def test_sha256sum_and_verify_agree(workshop, cli):
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"],
        cwd=workshop.release,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    verified = cli("verify", workshop.release)
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.network
@pytest.mark.parametrize("width", [1280, 390])
def test_its_report_opens_in_a_browser_and_asks_for_nothing(workshop, browser, width):
    page = browser.open_page(workshop.release / "report.html", width=width, dark=True)
    assert page.console == []
    assert page.requests == []
    assert page.scroll_width == width
    for word in ("small-int8.onnx", "min_agreement", "Passed" if "Passed" in page.text else "passed", "SQNR"):
        assert word in page.text


def test_the_manifest_says_what_was_measured(workshop):
    from mnv2deploy.artifacts.manifest import read_manifest

    manifest = read_manifest(workshop.release)
    floats, quantized, finished = manifest.artifacts
    assert max(parity.relative_error for parity in floats.parity) < 1e-4
    assert (floats.parameters, floats.multiply_adds) == (3_487_816, 300_774_272)
    assert floats.agreement is None
    for artifact in (quantized, finished):
        assert artifact.agreement is not None
        assert artifact.agreement.share >= 0.8
        assert artifact.agreement.pictures.pictures == 20
        assert artifact.accuracy is not None
        assert artifact.accuracy.drop is not None
    assert quantized.agreement.share == finished.agreement.share
    assert [check.name for check in quantized.checks] == ["max_megabytes", "min_agreement", "min_accuracy", "max_drop"]
    assert floats.accuracy is not None
    assert (floats.accuracy.metric, floats.accuracy.dataset.pictures) == ("top_1", 20)
    assert floats.accuracy.value == pytest.approx(0.9, abs=0.051)
    assert (len(quantized.layers), len(finished.layers)) == (53, 0)
    assert [one.made_from for one in manifest.artifacts] == [None, "fp32", "int8"]
    assert manifest.calibration is not None
    assert manifest.calibration.pictures == 24
    assert quantized.golden.answers[0].label == floats.golden.answers[0].label


def test_an_unchanged_recipe_is_not_built_again(workshop):
    before = contents(workshop.release)
    done = workshop.build("--json")
    assert done.returncode == 0, done.stderr
    assert "..." not in done.stderr
    assert done.stderr.count("unchanged") == 6
    (release,) = json.loads(done.stdout)["releases"]
    assert release["status"] == "unchanged"
    assert release["manifest"]["artifacts"][1]["name"] == "int8"
    assert contents(workshop.release) == before


def test_the_same_recipe_gives_the_same_bytes_elsewhere(workshop, tmp_path):
    """Another folder, another time, other numbers of threads, another locale, hash seed and time zone."""
    other = tmp_path / "elsewhere"
    shutil.copytree(workshop.folder / "models", other / "recipes", ignore=shutil.ignore_patterns("build"))
    environment = {"OMP_NUM_THREADS": "1", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kolkata", "PYTHONHASHSEED": "7"}
    done = build("recipes/small.toml", "--force", "-o", "out", cwd=other, **workshop.environment, **environment)
    assert done.returncode == 0, done.stderr
    assert "unchanged" not in done.stderr
    assert contents(other / "out" / "small") == contents(workshop.release)


def test_two_builds_at_once_do_not_harm_each_other(workshop):
    before = contents(workshop.release)
    (workshop.release / "README.md").write_text("changed by hand", encoding="utf-8")
    builds = [
        subprocess.Popen(
            [sys.executable, "-m", "mnv2deploy", "build", "models/small.toml", "--json"],
            cwd=workshop.folder,
            stdout=subprocess.PIPE,
            text=True,
            env=uncovered(**workshop.environment),
        )
        for _ in range(2)
    ]
    answers = [json.loads(process.communicate(timeout=120)[0])["releases"][0]["status"] for process in builds]
    assert sorted(answers) == ["published", "unchanged"]
    assert contents(workshop.release) == before


@pytest.mark.skipif(sys.platform == "win32", reason="limits are POSIX's")
def test_a_release_that_cannot_be_written_whole_is_not_there(workshop):
    """No file may be larger than 100 kB, as if the disk were full: the artifacts cannot be copied."""
    import resource

    done = subprocess.run(
        [sys.executable, "-m", "mnv2deploy", "build", "models/small.toml", "-o", "nowhere"],
        cwd=workshop.folder,
        capture_output=True,
        text=True,
        env=uncovered(**workshop.environment),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        check=False,
    )
    assert done.returncode == 2
    assert "nowhere cannot be written: File too large; choose another place." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (workshop.folder / "nowhere").exists()


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(workshop):
    before = contents(workshop.folder / "models")
    steps = json.loads(workshop.build("--dry-run", "--json").stdout)["plan"][0]["steps"]
    assert [step["step"] for step in steps] == [
        "export",
        "quantize",
        "finish int8-end-to-end",
        "measure fp32",
        "measure int8",
        "measure int8-end-to-end",
    ]
    assert all(step["cached"] for step in steps)
    forced = json.loads(workshop.build("--dry-run", "--json", "--force").stdout)["plan"][0]["steps"]
    assert not any(step["cached"] for step in forced)
    assert contents(workshop.folder / "models") == before


def changed(workshop: Workshop, old: str, new: str) -> Path:
    """A recipe of the same name with something else in it, in a folder of its own."""
    assert old in RECIPE
    folder = workshop.folder / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(workshop.folder / "models", folder, ignore=shutil.ignore_patterns("build"))
    (folder / "small.toml").write_text(RECIPE.replace(old, new), encoding="utf-8")
    return folder / "small.toml"


def test_a_check_that_fails_publishes_nothing_and_keeps_what_was_there(workshop):
    recipe = changed(workshop, "max_megabytes = 4", "max_megabytes = 3")
    before = contents(workshop.release)
    summary = workshop.folder / "summary.md"
    done = build(
        recipe,
        "-o",
        workshop.release.parent,
        "--json",
        cwd=workshop.folder,
        GITHUB_STEP_SUMMARY=str(summary),
        GITHUB_ACTIONS="true",
        **workshop.environment,
    )
    assert done.returncode == 5
    assert "..." not in done.stderr  # a check is no reason to make anything again
    assert "Error: small: int8 fails max_megabytes = 3: it has 3.9" in done.stderr
    (release,) = json.loads(done.stdout)["releases"]
    assert (release["status"], release["folder"]) == ("failed", None)
    line = RECIPE.splitlines().index("max_megabytes = 4") + 1
    assert release["failures"][0]["line"] == line
    assert f"::error file={recipe},line={line},title=small%3A a check failed::small: int8 fails" in done.stderr
    assert "## small: **not published**" in summary.read_text(encoding="utf-8")
    assert ":x: max_megabytes" in summary.read_text(encoding="utf-8")
    assert contents(workshop.release) == before


def test_the_release_before_is_a_baseline_and_may_be_a_gate(workshop):
    manifest = workshop.folder / "before.json"
    table = json.loads((workshop.release / "manifest.json").read_text(encoding="utf-8"))
    table["artifacts"][1]["file"]["size"] = 3_000_000
    manifest.write_text(json.dumps(table), encoding="utf-8")
    same = workshop.build("--baseline", workshop.release.parent, "--json")
    assert same.returncode == 0, same.stderr
    assert json.loads(same.stdout)["releases"][0]["comparison"]["failures"] == []
    larger = workshop.build("--baseline", manifest)
    assert larger.returncode == 0, larger.stderr  # nobody asked for a gate
    gated = changed(workshop, "[publish]", "[baseline]\nmax_size_growth = 5\n\n[publish]")
    done = build(gated, "--baseline", manifest, "-o", "gated", cwd=workshop.folder, **workshop.environment)
    assert done.returncode == 5
    assert "small" in done.stderr
    assert not (workshop.folder / "gated" / "small").exists()


def test_pictures_that_are_calibrated_with_are_not_measured_on(workshop):
    recipe = changed(workshop, 'calibration = "sets.toml"', 'calibration = "../labelled"')
    done = build(recipe, "-o", "shared", cwd=workshop.folder, **workshop.environment)
    assert done.returncode == 3
    assert "measure on pictures that are not calibrated with" in done.stderr
    assert not (workshop.folder / "shared" / "small").exists()


def test_one_recipe_that_is_wrong_does_not_stop_the_others(workshop):
    wrong = workshop.folder / "models" / "wrong.toml"
    wrong.write_text('model = "mobilenet-v9"\n', encoding="utf-8")
    try:
        done = workshop.build(wrong, "--json", "--jobs", "2")
    finally:
        wrong.unlink()
    assert done.returncode == 2
    releases = {release["name"]: release for release in json.loads(done.stdout)["releases"]}
    assert releases["small"]["status"] == "unchanged"
    assert releases["wrong"]["status"] == "error"
    assert "mobilenet-v9" in releases["wrong"]["error"]


def test_what_somebody_put_into_a_release_is_not_lost(workshop):
    mine = workshop.release / "notes.txt"
    mine.write_text("mine", encoding="utf-8")
    done = workshop.build()
    assert done.returncode == 2
    assert "holds notes.txt, which is no part of the release; move it away" in done.stderr
    assert mine.read_text(encoding="utf-8") == "mine"
    mine.unlink()


def test_what_is_no_release_is_not_replaced(workshop):
    mine = workshop.folder / "mine" / "small"
    mine.mkdir(parents=True)
    (mine / "thesis.tex").write_text("", encoding="utf-8")
    done = workshop.build("-o", "mine")
    assert done.returncode == 2
    assert "is there and is no release" in done.stderr
    assert (mine / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "large"], "there is no recipe of that name, only small"),
        (["models/none.toml"], "there is no such recipe"),
        (["models/../models/small.toml"], "Two recipes are called small"),
        (["--jobs", "0"], "--jobs 0"),
        (["--log-level", "loud"], "should be one of error, warning, info, debug"),
        (["--quiet", "--log-level", "info"], "--quiet is --log-level error"),
        (["--baseline", "nowhere"], "nowhere: there is no such file or folder"),
    ],
)
def test_wrong_usage_is_refused(workshop, arguments, message):
    done = workshop.build(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_without_recipes_there_is_nothing_to_build(tmp_path):
    done = build(cwd=tmp_path)
    assert done.returncode == 2
    assert "There are no recipes in models/" in done.stderr
