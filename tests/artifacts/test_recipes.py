"""Build recipes: what is taken, and the line in which a mistake stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnv2deploy.artifacts.recipes import (
    BaselineOptions,
    ExportOptions,
    MeasureOptions,
    PublishOptions,
    is_recipe,
    read_recipe,
)
from mnv2deploy.artifacts.toml_lines import line_of
from mnv2deploy.errors import ModelError, UsageError

REPOSITORY = Path(__file__).parents[2]
WHOLE = """\
model = "mobilenet-v2"

[export]
opset = 20

[quantization]
calibration = "../calib"
profile = "fast"

[measure]
pictures = "imagenet-20" # a comment
speed = true

[[artifacts]]
name = "fp32"

[[artifacts]]
name = "int8"
quantized = true
[artifacts.checks]
min_agreement = 90
min_speedup = 1.5

[[artifacts]]
name = "end"
end_to_end = true
"""


def written(folder: Path, text: str, name: str = "small.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_is_read_whole(tmp_path):
    recipe = read_recipe(written(tmp_path, WHOLE))
    assert (recipe.name, recipe.model, recipe.export.opset) == ("small", "mobilenet-v2", 20)
    assert recipe.quantization is not None
    assert recipe.quantization.profile == "fast"
    assert [(one.name, one.quantized, one.end_to_end) for one in recipe.artifacts] == [
        ("fp32", False, False),
        ("int8", True, False),
        ("end", False, True),
    ]
    assert recipe.artifacts[1].checks.given() == {"min_agreement": 90, "min_speedup": 1.5}
    assert recipe.text == WHOLE


def test_a_model_alone_is_a_recipe_for_its_float_artifact(tmp_path):
    recipe = read_recipe(written(tmp_path, 'model = "mobilenet-v2"\n'))
    assert [one.name for one in recipe.artifacts] == ["fp32"]
    assert recipe.artifacts[0].is_plain


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("opset = 20", 'opset = "20"', 4, "export.opset should be int"),
        ("opset = 20", "opsett = 20", 4, "unknown key opsett in export"),
        ('profile = "fast"', 'profile = "slow"', 8, "quantization.profile should be one of fast, balanced, best"),
        ('calibration = "../calib"', 'calibration = "imagenet-20"', 7, "imagenet-20 is measured on"),
        ('profile = "fast"', 'target = "auto"', 8, "quantization.target should be one of x86-vnni"),
        ('profile = "fast"', "seed = -1", 8, "quantization.seed should be 0 or more"),
        ("min_agreement = 90", "min_agreement = 190", 21, "min_agreement should be 0 to 100"),
        ("min_agreement = 90", "min_agreement = -1", 21, "min_agreement should be 0 to 100, not -1"),
        ("min_agreement = 90", "min_accuracy = 101", 21, "min_accuracy should be 0 to 100"),
        ("min_agreement = 90", "max_drop = 101", 21, "max_drop should be 0 to 100"),
        ("min_agreement = 90", "max_megabytes = -1", 21, "max_megabytes should be 0 to inf"),
        ("min_agreement = 90", "max_drop = 1", 21, "max_drop is measured on labelled pictures"),
        ("min_agreement = 90", "min_accuracy = 1", 21, "min_accuracy is measured on labelled pictures"),
        ("min_agreement = 90", "max_parity_error = 1", 21, "max_parity_error is of the first artifact"),
        ("speed = true", "speed = false", 22, "min_speedup needs measure.speed"),
        ('name = "end"', 'name = "int8"', 25, "two artifacts of the name int8"),
        ('name = "end"', 'name = "../end"', 25, "name should be letters"),
        ('name = "fp32"', 'name = "fp32"\nquantized = true', 14, "the first of \\[\\[artifacts\\]\\]"),
        ('name = "fp32"', 'name = "fp32"\ninput = "uint8"', 14, "the first of \\[\\[artifacts\\]\\]"),
        ('name = "fp32"', 'name = "fp32"\nend_to_end = true', 14, "the first of \\[\\[artifacts\\]\\]"),
        ('name = "end"', 'name = "end"\ninput = "int8"', 26, r"artifacts\[2\].input should be one of uint8"),
        ('[quantization]\ncalibration = "../calib"\nprofile = "fast"', "", 15, "there is no \\[quantization\\]"),
        ('model = "mobilenet-v2"', "", 1, "give model"),
        ('model = "mobilenet-v2"', 'model = "x"\ncheckpoint = {path = "y"}', 1, "give model"),
        ('model = "mobilenet-v2"', "model = ", 1, "is not valid TOML"),
    ],
)
def test_a_mistake_is_refused_with_its_line(tmp_path, old, new, line, message):
    assert old in WHOLE
    path = written(tmp_path, WHOLE.replace(old, new))
    with pytest.raises(ModelError, match=message) as caught:
        read_recipe(path)
    assert f"line {line}" in str(caught.value)


@pytest.mark.parametrize("check", ["min_agreement = 9", "min_speedup = 2", "max_drop = 1"])
def test_the_first_artifact_is_not_compared_with_itself(tmp_path, check):
    text = f'model = "x"\nmeasure.dataset = "y"\n[[artifacts]]\nname = "fp32"\n[artifacts.checks]\n{check}\n'
    with pytest.raises(ModelError, match="line 6.*compares with the first artifact, which this is"):
        read_recipe(written(tmp_path, text))


def test_a_recipe_for_nothing_is_refused(tmp_path):
    with pytest.raises(ModelError, match="line 2: the first of"):
        read_recipe(written(tmp_path, 'model = "x"\nartifacts = []\n'))


def test_every_table_is_read_and_what_is_left_out_is_as_the_page_says(tmp_path):
    bare = read_recipe(written(tmp_path, 'model = "x"\n'))
    assert (bare.export, bare.measure) == (ExportOptions(opset=None, simplify=True, size=None), MeasureOptions())
    assert (bare.measure.pictures, bare.measure.dataset, bare.measure.speed) == ("imagenet-20", None, True)
    assert (bare.weights, bare.checkpoint, bare.quantization) == (None, None, None)
    assert (bare.baseline, bare.publish) == (BaselineOptions(), PublishOptions(triton=False))
    text = (
        'model = "x"\nweights = "w.pth"\n[measure]\nspeed = false\n[baseline]\nmax_drop = 1\n[publish]\ntriton = true\n'
    )
    full = read_recipe(written(tmp_path, text))
    assert full.weights == tmp_path / "w.pth"
    assert (full.measure, full.baseline) == (MeasureOptions(speed=False), BaselineOptions(max_drop=1))
    assert full.publish == PublishOptions(triton=True)


def test_weights_are_of_a_model(tmp_path):
    with pytest.raises(ModelError, match="line 1.*weights fill the network of a model"):
        read_recipe(written(tmp_path, 'weights = "a.pth"\n[checkpoint]\npath = "b.pth"\n'))


def test_a_release_is_called_as_its_recipe_so_that_is_a_plain_name(tmp_path):
    with pytest.raises(UsageError, match="the recipe's name is the release's"):
        read_recipe(written(tmp_path, WHOLE, "a b.toml"))
    with pytest.raises(UsageError, match="No such file"):
        read_recipe(tmp_path / "none.toml")


def test_paths_are_found_from_the_recipes_folder_and_names_stay_names(tmp_path, monkeypatch):
    (tmp_path / "labels.txt").write_text("cat\ndog\n", encoding="utf-8")
    recipe = read_recipe(written(tmp_path, WHOLE))
    assert recipe.find("labels.txt") == str(tmp_path / "labels.txt")
    assert recipe.find("imagenet-20") == "imagenet-20"
    assert recipe.find("../calib/wheel-photos.toml") == str(tmp_path / "../calib/wheel-photos.toml")
    assert recipe.find("none.toml") == str(tmp_path / "none.toml")
    assert recipe.find("none/photos") == str(tmp_path / "none/photos")
    assert recipe.find("/data/val") == "/data/val"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert recipe.find("~/none/photos") == str(tmp_path / "none/photos")
    monkeypatch.setenv("MNV2DEPLOY_TEST_VAL", "/data/val")
    assert recipe.find("${MNV2DEPLOY_TEST_VAL}/coco") == "/data/val/coco"


def test_an_environment_variable_that_is_not_set_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.delenv("MNV2DEPLOY_TEST_VAL", raising=False)
    recipe = read_recipe(written(tmp_path, 'model = "x"\n[measure]\ndataset = "${MNV2DEPLOY_TEST_VAL}"\n'))
    with pytest.raises(UsageError, match="line 3: the environment variable MNV2DEPLOY_TEST_VAL is not set"):
        recipe.find("${MNV2DEPLOY_TEST_VAL}")


def test_cards_are_no_recipes(tmp_path):
    assert is_recipe(written(tmp_path, WHOLE))
    assert is_recipe(written(tmp_path, '[checkpoint]\npath = "x"\n', "of-a-checkpoint.toml"))
    assert not is_recipe(written(tmp_path, 'title = "a card"\n', "card.toml"))
    assert not is_recipe(Path("mobilenet-v2"))


def test_the_recipes_of_the_repository_are_valid_and_build_what_is_shipped():
    recipes = {path.stem: read_recipe(path) for path in sorted((REPOSITORY / "models").glob("*.toml"))}
    for name in ("mobilenet-v2", "ssdlite-coco", "deeplabv3-voc"):
        artifacts = recipes[name].artifacts
        assert any(one.quantized and not one.end_to_end for one in artifacts)
        assert any(one.input == "uint8" and not one.quantized for one in artifacts)
        assert any(one.end_to_end for one in artifacts)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("", 1),
        ("model", 1),
        ("export", 3),
        ("export.opset", 4),
        ("export.nothing.below", 3),
        ("artifacts[0]", 14),
        ("artifacts[1]", 17),
        ("artifacts[1].checks", 20),
        ("artifacts[1].checks.min_speedup", 22),
        ("artifacts[2].checks.min_speedup", 24),
        ("artifacts[9]", 1),
    ],
)
def test_the_line_of_a_value_is_found_or_that_of_what_is_around_it(path, line):
    assert line_of(WHOLE, path) == line


def test_odd_spellings_have_lines_too():
    text = '"a" . b = 1 # x\n[ c . "d" ] # y\n\n  e-f=2\n[[ g ]]\n[g.h]\ni = [\n  1,\n]\n'
    assert [line_of(text, path) for path in ("a.b", "c.d", "c.d.e-f", "g[0]", "g[0].h", "g[0].h.i[1]")] == [
        1,
        2,
        4,
        5,
        6,
        7,
    ]
