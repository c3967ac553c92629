"""One recipe's artifacts: which steps are made, of what, and that whatever would change one makes it again."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import shutil
from pathlib import Path

import grimp
import pytest
from small_builds import RECIPE, STEPS, Bench, Noted, make_bench
from tiny_models import BLUE, GREEN, RED, save_picture

import mnv2deploy
from mnv2deploy.artifacts import identity, pipeline, steps
from mnv2deploy.artifacts.pipeline import NotMadeError, step_names
from mnv2deploy.artifacts.recipes import read_recipe
from mnv2deploy.errors import InputError, ModelError, UsageError

ALL_MEASURED = STEPS[3:6]
COMPARED = STEPS[4:6]


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    return make_bench(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """The steps of the recipe as it is."""
    with pytest.MonkeyPatch.context() as patch:
        first = make_bench(tmp_path_factory.mktemp("first"), patch)
        first.build()
    return first.folder / "store"


@pytest.fixture
def done(bench, store) -> Bench:
    """Whose recipe is built, elsewhere: what a step is known by names no place."""
    shutil.copytree(store, bench.folder / "store")
    return bench


def test_steps_are_made_in_their_order_and_not_again(bench):
    first, again = Noted(), Noted()
    built, same = bench.build(first), bench.build(again)
    assert first.begun == [(f"{number}/7", name) for number, name in enumerate(STEPS, 1)]
    assert again.begun == []
    assert list(again.steps["small"]) == step_names(read_recipe(bench.recipe)) == STEPS
    assert built.artifacts == same.artifacts
    assert built.measured == same.measured
    assert built.times == same.times


def test_every_artifact_is_made_of_what_the_recipe_says_and_measured_for_itself(bench):
    bench.write('input = "uint8"', "quantized = true\nend_to_end = true")
    built = bench.build()
    made = {name: arguments for name, arguments, _ in bench.calls}
    assert made["make_quantized"][0] == built.artifacts["fp32"]
    assert made["make_finished"][0] == built.artifacts["int8"]
    assert list(made["make_times"][0]) == list(built.artifacts) == ["fp32", "int8", "bytes"]
    assert {name: speed.milliseconds for name, speed in built.times.items()} == {"fp32": 1, "int8": 2, "bytes": 3}
    agreements = {name: measured.agreement for name, measured in built.measured.items()}
    assert agreements["fp32"] is None
    assert agreements["int8"] is not None
    assert (agreements["int8"].against, agreements["int8"].pictures.pictures) == ("fp32", 4)
    values = {name: measured.accuracy.value for name, measured in built.measured.items() if measured.accuracy}
    assert values == pytest.approx({"fp32": 1, "int8": 2 / 3, "bytes": 2 / 3})
    tolerances = {name: measured.golden.tolerance for name, measured in built.measured.items()}
    assert tolerances == {"fp32": 1e-3, "int8": 0.1, "bytes": 0.1}
    assert built.quantized is not None
    assert [layer.name for layer in built.quantized.layers] == ["only"]
    assert built.exported.parameters == 9
    assert [path.name for path in built.pictures()] == ["0.png", "1.png", "2.png", "3.png"]


def test_a_float_artifact_is_finished_from_the_float_one(bench):
    built = bench.build()
    (made,) = [arguments for name, arguments, _ in bench.calls if name == "make_finished"]
    assert made[0] == built.artifacts["fp32"]


@pytest.mark.parametrize(
    ("old", "new", "made"),
    [
        ("[quantization]", "[export]\nopset = 17\n[quantization]", ["export"]),
        ("[quantization]", "[export]\nsimplify = false\n[quantization]", ["export"]),
        ('"fast"', '"best"', ["quantize"]),
        ('"fast"', '"fast"\nseed = 1', ["quantize"]),
        ('"fast"', '"fast"\nmethod = "minmax"', ["quantize"]),
        ('"fast"', '"fast"\nformat = "qoperator"', ["quantize"]),
        ('"fast"', '"fast"\ntarget = "arm"', ["quantize"]),
        ('"fast"', '"fast"\nexclude = ["stem"]', ["quantize"]),
        ('"calibrated"', '"kodak-photos"', ["quantize"]),
        ('"compared"', '"other"', ["quantize", *COMPARED]),
        ('dataset = "labelled"', "", ALL_MEASURED),
        ('dataset = "labelled"', 'dataset = "fewer"', ALL_MEASURED),
        ('input = "uint8"', 'input = "uint8"\nend_to_end = true', ["finish bytes"]),
        ('input = "uint8"', "end_to_end = true", ["finish bytes"]),
        ('name = "bytes"', 'name = "byte"', ["time"]),
        ('name = "fp32"', 'name = "plain"', [*COMPARED, "time"]),
        ("min_agreement = 40", "min_agreement = 50", []),
        ("[[artifacts]]", "[publish]\ntriton = true\n[[artifacts]]", []),
    ],
)
def test_what_a_changed_option_decides_is_made_again_and_nothing_else(done, old, new, made):
    """The stand-ins make the same bytes whatever they are told, so what comes after has the same inputs."""
    for name, stripes in (("other", (RED, BLUE)), ("fewer/red", (RED,)), ("fewer/blue", (BLUE,))):
        for number in range(4):
            save_picture(done.folder / name / f"{number}.png", *stripes[: 1 + number], height=10 + 5 * number)
    done.write(old, new)
    wanted = [name.replace("bytes", "byte") if '"byte"' in new else name for name in made]
    if '"kodak-photos"' in new or '"other"' in new:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, "find_set", lambda *_, **__: steps_set(done))
            patch.setattr(steps, "refuse_shared", lambda *_: None)
            assert done.steps_made() == wanted
    else:
        assert done.steps_made() == wanted


def steps_set(done: Bench):
    from mnv2deploy.calibration.sets import open_set

    return open_set(done.folder / "compared")


def _append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize(
    ("file", "made"),
    [
        ("weights.safetensors", ["export"]),
        ("calibrated/1.png", ["quantize"]),
        ("compared/1.png", ["quantize", *COMPARED]),
        ("labelled/red/0.png", ALL_MEASURED),
    ],
)
def test_what_a_changed_file_decides_is_made_again_and_nothing_else(done, file, made):
    _append(done.folder / file)
    assert done.steps_made() == made


def test_a_picture_more_or_of_another_class_is_another_labelled_set(done):
    save_picture(done.folder / "labelled" / "red" / "1.png", RED)
    assert done.steps_made() == ALL_MEASURED
    first, second = done.folder / "labelled" / "red" / "0.png", done.folder / "labelled" / "blue" / "0.png"
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)
    assert done.steps_made() == ALL_MEASURED


@pytest.mark.parametrize(
    ("package", "made"),
    [
        ("onnxruntime", STEPS),
        ("numpy", STEPS),
        ("opencv-python", STEPS),
        ("torch", ["export", "quantize"]),
        ("onnx", ["export", "quantize", "finish bytes"]),
        ("onnxsim", ["export"]),
        ("onnxscript", ["export"]),
        ("faster-coco-eval", ALL_MEASURED),
    ],
)
def test_another_version_of_a_program_makes_its_steps_again(done, monkeypatch, package, made):
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0" if name == package else real(name))
    assert done.steps_made() == made


@pytest.mark.parametrize(
    ("room", "made"),
    [
        ("", STEPS),
        ("runtime", STEPS),
        ("networks", ["export"]),
        ("weights", ["export"]),
        ("calibration", ["quantize", *ALL_MEASURED]),
        ("quantization", ["quantize", "finish bytes", *ALL_MEASURED]),
        ("finishing", ["finish bytes"]),
        ("artifacts/golden.py", STEPS),
        ("artifacts/report.py", []),
        ("evaluation", ["quantize", *ALL_MEASURED]),
        ("benchmark", ["time"]),
        ("cli", []),
    ],
)
def test_other_code_makes_its_steps_again(done, monkeypatch, room, made):
    real = identity._digest
    monkeypatch.setattr(identity, "_digest", lambda name: "other" if name == room else real(name))
    assert done.steps_made() == made


# What only brings pictures, which are known by their bytes.
_BRINGING = {"quantize": {"catalog", "media", "weights"}, "measure": {"weights"}}
_MADE_BY = {
    "export": "make_export",
    "quantize": "make_quantized",
    "finish": "make_finished",
    "measure": "make_measurements",
    "time": "make_times",
}


def used_modules(function: str) -> set[str]:
    """The modules of the package whose names a function of `steps` uses, and the functions it calls there."""
    assert steps.__file__ is not None
    tree = ast.parse(Path(steps.__file__).read_text(encoding="utf-8"))
    imported = {
        name.asname or name.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("mnv2deploy")
        for name in node.names
    }
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    names, left = set[str](), [function]
    while left:
        body = functions[left.pop()].body
        used = {node.id for part in body for node in ast.walk(part) if isinstance(node, ast.Name)} - names
        names |= used
        left += used & set(functions)
    return {imported[name] for name in names & set(imported)}


def test_all_code_that_a_step_reaches_is_part_of_its_key(done):
    graph = grimp.build_graph("mnv2deploy", cache_dir=None)
    package = Path(mnv2deploy.__file__).parent
    for step, function in _MADE_BY.items():
        roots = used_modules(function) | ({"mnv2deploy.calibration.find"} if step in _BRINGING else set())
        reached = roots.union(*(graph.find_upstream_modules(root) for root in roots))
        assert len(reached) > 10
        (record, *_) = (done.folder / "store").glob(f"{step}-*/step.json")
        known = {*json.loads(record.read_text(encoding="utf-8"))["inputs"]["by"]["code"], *_BRINGING.get(step, ())}
        for module in reached:
            path = package.joinpath(*module.split(".")[1:])
            if not path.is_dir():
                path = path.relative_to(package).with_suffix(".py")
                assert {path.as_posix(), path.parent.as_posix().replace(".", "")} & known, f"{step}: {path}"


def test_the_digest_of_code_is_of_names_and_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "_PACKAGE", tmp_path)
    digest = identity._digest.__wrapped__
    (tmp_path / "a.py").write_bytes(b"x = 1")
    digests = [digest("")]
    for name, text in (("a.py", b"x = 2"), ("b.py", b"")):
        (tmp_path / name).write_bytes(text)
        digests.append(digest(""))
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    digests.append(digest(""))
    assert len(set(digests)) == 4


@pytest.mark.parametrize("what", ["processor_name", "available_processors"])
def test_another_machine_measures_and_times_again(done, monkeypatch, what):
    monkeypatch.setattr(identity, what, lambda: 3)
    assert done.steps_made() == [*ALL_MEASURED, "time"]


def test_other_artifacts_out_of_a_step_make_all_again_that_comes_of_them(done, monkeypatch):
    real = steps.make_quantized

    def other(folder: Path, *arguments):
        real(folder, *arguments)
        _append_doc(folder / steps.MODEL)

    monkeypatch.setattr(steps, "make_quantized", other)
    done.write('"fast"', '"best"')
    assert done.steps_made() == ["quantize", "measure int8", "time"]


def _append_doc(path: Path) -> None:
    import onnx

    model = onnx.load(path)
    model.doc_string = "other"
    onnx.save(model, path)


def test_another_float_network_makes_all_again(done, monkeypatch):
    real = steps.make_export

    def other(folder: Path, *arguments, **options):
        real(folder, *arguments, **options)
        _append_doc(folder / steps.MODEL)

    monkeypatch.setattr(steps, "make_export", other)
    done.write("[quantization]", "[export]\nopset = 17\n[quantization]")
    assert done.steps_made() == STEPS


def test_other_sample_photos_make_the_export_again(done, monkeypatch):
    monkeypatch.setattr(steps, "PHOTOS", "kodak-photos")
    assert done.steps_made() == ["export"]


def test_a_calibration_set_of_another_name_is_quantized_with_again(done):
    """The name stands in the artifact."""
    (done.folder / "calibrated").rename(done.folder / "renamed")
    done.write('"calibrated"', '"renamed"')
    assert done.steps_made() == ["quantize"]


def test_a_folder_that_is_called_as_another_class_is_another_labelled_set(bench):
    """Of the same files in the same order, with other labels."""
    (bench.folder / "labelled" / "red").rename(bench.folder / "red")
    before = bench.build().measured["fp32"].accuracy
    (bench.folder / "labelled" / "green").rename(bench.folder / "labelled" / "red")
    after = bench.build().measured["fp32"].accuracy
    assert before is not None
    assert after is not None
    assert (before.value, after.value) == (1.0, 0.5)
    assert before.dataset.sha256 != after.dataset.sha256


def test_a_labelled_set_is_known_by_its_own_name_whatever_leads_to_it(done):
    (done.folder / "link").symlink_to(done.folder / "labelled")
    done.write('"labelled"', '"link"')
    assert done.steps_made() == []


def test_another_golden_picture_is_answered_again(done, monkeypatch):
    real = steps.make_export

    def other(folder: Path, *arguments, **options):
        real(folder, *arguments, **options)
        save_picture(folder / steps.GOLDEN, GREEN)

    monkeypatch.setattr(steps, "make_export", other)
    done.write("[quantization]", "[export]\nopset = 17\n[quantization]")
    assert done.steps_made() == ["export", *ALL_MEASURED]


def test_times_are_taken_only_where_they_are_asked_for_and_may_be(bench):
    built = bench.build(timed=False)
    assert built.times == {}
    bench.write("[measure]", "[measure]\nspeed = false")
    assert bench.build().times == {}
    assert "make_times" not in bench.made()


def test_nothing_is_quantized_where_nothing_asks_for_it(bench):
    bench.write("quantized = true", "end_to_end = true")
    built = bench.build()
    assert built.quantized is None
    assert "make_quantized" not in bench.made()
    assert bench.made().count("make_finished") == 2


def test_what_is_wrong_with_pictures_is_said_once_for_each_set(bench):
    watcher = Noted()
    bench.build(watcher)
    assert len(watcher.warnings) == 2
    assert all(line.startswith("small: ") for line in watcher.warnings)
    assert "4" in watcher.warnings[0]


def test_pictures_that_are_calibrated_with_are_refused_before_the_work(bench):
    (bench.folder / "compared" / "2.png").write_bytes((bench.folder / "calibrated" / "3.png").read_bytes())
    with pytest.raises(InputError, match=r"2\.png of measure\.pictures \(compared\) is 3\.png of quantization"):
        bench.build()
    assert "make_quantized" not in bench.made()


def test_a_dry_build_makes_nothing_and_says_the_first_step_it_lacks(bench):
    with pytest.raises(NotMadeError, match="export"):
        bench.build(dry=True)
    bench.build()
    made = len(bench.calls)
    assert bench.build(dry=True).times
    bench.write('"fast"', '"best"')
    with pytest.raises(NotMadeError, match="quantize"):
        bench.build(dry=True)
    assert len(bench.calls) == made


class Told:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.said: list[str | int | None] = []

    def start(self, description: str, total: int | None) -> None:
        self.said.append(description)

    def update(self, done: int) -> None:
        self.said.append(done)

    def stop(self) -> None:
        self.said.append(None)


def test_progress_says_which_step_it_is_of_and_ends_with_it(bench):
    told = Told()
    bench.build(progress=told)
    described = [text for text in told.said if isinstance(text, str)]
    assert any(text.startswith("small 5/7 measure int8: ") for text in described)
    assert told.said[-1] is None
    other = Told()
    bench.write('"fast"', '"best"')
    bench.failing["make_quantized"] = ModelError("no")
    with pytest.raises(ModelError):
        bench.build(progress=other)
    assert other.said[-1] is None


def test_a_labelled_set_for_another_task_is_refused_before_it_is_measured_on(bench):
    (bench.folder / "boxes").mkdir()
    (bench.folder / "boxes" / "instances.json").write_text("{}", encoding="utf-8")
    bench.write('"labelled"', '"boxes"')
    with pytest.raises(
        ModelError, match="small is a model to classify with, and .*boxes .* labelled for one to detect"
    ):
        bench.build()


def test_a_labelled_set_with_problems_is_refused_with_all_of_them(bench):
    for number in range(25):
        save_picture(bench.folder / "labelled" / f"unknown{number}" / "0.png", RED)
    with pytest.raises(InputError, match="cannot be measured on as it is .imagenet., [0-9]+ problem") as caught:
        bench.build()
    assert "unknown0" in str(caught.value)


def test_an_environment_variable_may_name_the_labelled_set(bench, monkeypatch):
    bench.write('"labelled"', '"${MNV2DEPLOY_TEST_SET}"')
    monkeypatch.setenv("MNV2DEPLOY_TEST_SET", str(bench.folder / "labelled"))
    accuracy = bench.build().measured["fp32"].accuracy
    assert accuracy is not None
    assert (accuracy.dataset.name, accuracy.dataset.pictures) == ("labelled", 3)
    monkeypatch.delenv("MNV2DEPLOY_TEST_SET")
    line = RECIPE.splitlines().index('dataset = "labelled"') + 1
    with pytest.raises(UsageError, match=f"line {line}"):
        bench.build()


def test_another_spelling_of_where_the_calibration_set_lies_makes_nothing_again(done):
    done.write('calibration = "calibrated"', f'calibration = "{done.folder.as_posix()}/calibrated"')
    assert done.steps_made() == []
