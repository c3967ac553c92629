from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from byte_inputs import quantized_in_name
from quantized_networks import constants_of
from small_graphs import Builder

from mnv2deploy.contract import METADATA_KEY, Contract, parse_contract
from mnv2deploy.errors import ModelError, UsageError
from mnv2deploy.quantization.augmentation import crop
from mnv2deploy.quantization.loading import load_float
from mnv2deploy.quantization.pipeline import (
    CalibrationRecord,
    Options,
    prepare_quantization,
    quantize,
    round_weights,
    write_model,
)
from mnv2deploy.quantization.targets import TARGETS
from mnv2deploy.runtime import images
from mnv2deploy.runtime.preprocessing import prepare
from mnv2deploy.runtime.session import Session

VNNI = TARGETS["x86-vnni"]
RECORD = CalibrationRecord(name="crops", sha256="a" * 64)


@pytest.fixture(scope="module")
def crops(photos: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eight crops of sample photos; the cat is held back."""
    folder, random = tmp_path_factory.mktemp("crops"), np.random.default_rng(0)
    paths = []
    for index in range(8):
        photo = photos[("astronaut.png", "coffee.png", "rocket.jpg")[index % 3]]
        paths.append(folder / f"{index}.png")
        cv2.imwrite(str(paths[-1]), crop(images.read(photo), random)[..., ::-1])
    return paths


@pytest.fixture(scope="module")
def small(artifacts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of three layers and 32 x 32 pixels, with the contract of a real one."""
    random = np.random.default_rng(0)
    builder = Builder(("batch", 3, 32, 32))
    stem = builder.layer(
        "stem.conv", "image", random.normal(size=(8, 3, 3, 3)) / 5, random.normal(size=8), strides=[2, 2]
    )
    middle = builder.layer(
        "middle.conv", builder.relu6(stem), random.normal(size=(8, 8, 1, 1)) / 3, random.normal(size=8)
    )
    flat = builder.node("Flatten", [builder.node("GlobalAveragePool", [middle], "mean")], "flat")
    weight = random.normal(size=(1000, 8))
    builder.layer("class_logits", flat, weight, np.zeros(1000), op="Gemm", transB=1)
    model = builder.model("class_logits")
    shape = onnx.helper.make_tensor_value_info("class_logits", onnx.TensorProto.FLOAT, ["batch", 1000])
    model.graph.output[0].CopyFrom(shape)
    contract = contract_in(artifacts["mobilenet-v2"])
    contract = dataclasses.replace(contract, input=dataclasses.replace(contract.input, height=32, width=32))
    onnx.helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    path = tmp_path_factory.mktemp("small") / "small.onnx"
    onnx.save(model, path)
    return path


def contract_in(path: Path) -> Contract:
    held = next(entry.value for entry in onnx.load(path).metadata_props if entry.key == METADATA_KEY)
    return parse_contract(held, str(path))


def test_mobilenet_v2_in_eight_bits_answers_like_the_float_artifact_on_a_photo_it_never_saw(
    artifacts: dict[str, Path], photos: dict[str, Path], crops: list[Path], tmp_path: Path
) -> None:
    options = Options(target=VNNI, profile="fast")
    made = quantize(artifacts["mobilenet-v2"], tmp_path / "int8.onnx", crops, RECORD, options)
    assert made.size == made.path.stat().st_size < 0.3 * artifacts["mobilenet-v2"].stat().st_size
    assert made.sha256 == hashlib.sha256(made.path.read_bytes()).hexdigest()
    image = images.read(photos["chelsea.png"])
    answers = []
    for path in (artifacts["mobilenet-v2"], made.path):
        session = Session(path)
        given = prepare(image, session.contract.input, session.contract.preprocessing)
        answers.append(session.run(given)[0])
    wanted, found = answers
    ratio = 10 * np.log10(np.square(wanted).sum() / np.square(found - wanted).sum())
    assert ratio > 12
    assert found.argmax() == wanted.argmax()


def test_two_runs_write_the_same_bytes(small: Path, crops: list[Path], tmp_path: Path) -> None:
    for profile in ("fast", "balanced"):
        options = Options(target=VNNI, profile=profile)
        first, second = (quantize(small, tmp_path / name, crops, RECORD, options) for name in ("a.onnx", "b.onnx"))
        assert first.path.read_bytes() == second.path.read_bytes()
        assert first.sha256 == second.sha256


@pytest.mark.parametrize("target", ["x86-vnni", "x86-avx2", "arm", "tensorrt", "generic"])
def test_the_artifact_is_run_by_its_contract(small: Path, crops: list[Path], target: str, tmp_path: Path) -> None:
    options = Options(target=TARGETS[target], profile="fast")
    made = quantize(small, tmp_path / "int8.onnx", crops, RECORD, options)
    contract = contract_in(made.path)
    assert contract == made.contract
    bytes_in = TARGETS[target].picture_bytes
    assert contract.input.dtype == ("uint8" if bytes_in else "float32")
    held = contract.provenance.quantization
    assert held is not None
    assert (held.target, held.format, held.profile, held.method) == (target, "qdq", "fast", "mse")
    assert held.weights.startswith(f"int{TARGETS[target].weight_bits}")
    assert (held.calibration, held.calibration_sha256, held.calibration_pictures) == ("crops", "a" * 64, 8)
    assert held.float_sha256 == hashlib.sha256(small.read_bytes()).hexdigest()
    assert held.float_layers == ()
    assert {"mnv2deploy", "onnx", "onnxruntime"} <= dict(contract.provenance.tools).keys()
    limit = 2 ** (TARGETS[target].weight_bits - 1) - 1
    weights = [
        values for values in constants_of(onnx.load(made.path)).values() if values.dtype == np.int8 and values.ndim > 1
    ]
    assert max(np.abs(values.astype(int)).max() for values in weights) == limit
    # the same answers but for rounding
    image = images.read(crops[0])
    answers = []
    for path in (small, made.path):
        session = Session(path)
        answers.append(session.run(prepare(image, session.contract.input, session.contract.preprocessing))[0])
    assert np.square(answers[1] - answers[0]).sum() < 0.01 * np.square(answers[0]).sum()


def test_excluded_layers_stay_in_float_and_are_named(small: Path, crops: list[Path], tmp_path: Path) -> None:
    options = Options(target=VNNI, profile="fast", exclude=("mid*", "class_logit?"))
    made = quantize(small, tmp_path / "int8.onnx", crops[:2], RECORD, options)
    quantization = made.contract.provenance.quantization
    assert quantization is not None
    assert quantization.float_layers == ("middle.conv", "class_logits")
    assert set(made.prepared.encodings.layers) == {"stem.conv"}
    constants = constants_of(onnx.load(made.path))
    assert constants["middle.conv.weight"].dtype == np.float32
    assert constants["stem.conv.weight:quantized"].dtype == np.int8


@pytest.mark.parametrize(
    ("exclude", "reason"),
    [
        (
            ("stem*", "nothing*"),
            r"--exclude nothing\* fits none of the 3 layers; they are called as stem.conv and class_logits",
        ),
        (("*",), "leaves no layer"),
        (("Stem*",), r"--exclude Stem\* fits none"),
    ],
)
def test_patterns_that_leave_nothing_or_fit_nothing_are_refused(
    small: Path, crops: list[Path], exclude: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        prepare_quantization(small, crops[:1], Options(target=VNNI, exclude=exclude))


def test_files_that_are_no_float_artifact_are_refused(small: Path, crops: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        load_float(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelError, match="is not an ONNX model"):
        load_float(tmp_path / "text.onnx")
    model = onnx.load(small)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(ModelError, match="carries no mnv2deploy contract"):
        load_float(tmp_path / "bare.onnx")
    with pytest.raises(ModelError, match="is quantized already"):
        load_float(quantized_in_name(small, tmp_path / "named.onnx"))
    made = quantize(small, tmp_path / "int8.onnx", crops[:1], RECORD, Options(target=VNNI, profile="fast"))
    with pytest.raises(ModelError, match="is quantized already"):
        load_float(made.path)
    loaded, contract = load_float(small)
    assert contract == contract_in(small)
    assert len(loaded.graph.node) == len(onnx.load(small).graph.node)


def test_preparing_rounds_no_weight_and_rounding_changes_no_float_weight(small: Path, crops: list[Path]) -> None:
    options = Options(target=VNNI, profile="fast")
    prepared = prepare_quantization(small, crops[:2], options)
    assert prepared.encodings.layers == {}
    before = [layer.weight.copy() for layer in prepared.graph.layers]
    round_weights(prepared, options)
    assert set(prepared.encodings.layers) == {layer.name for layer in prepared.graph.layers}
    for layer, weight in zip(prepared.graph.layers, before, strict=True):
        np.testing.assert_array_equal(layer.weight, weight)
    onnx.checker.check_model(write_model(prepared, options), full_check=True)


def test_the_best_profile_learns_and_says_so(
    small: Path, crops: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mnv2deploy.quantization import pipeline

    monkeypatch.setattr(pipeline, "REFINEMENT_STEPS", 3)
    monkeypatch.setattr(pipeline, "_batch", lambda contract: 2)
    made = quantize(small, tmp_path / "best.onnx", crops, RECORD, Options(target=VNNI, profile="best"))
    balanced = quantize(small, tmp_path / "balanced.onnx", crops, RECORD, Options(target=VNNI))
    assert "torch" in dict(made.contract.provenance.tools)
    assert made.sha256 != balanced.sha256
    again = quantize(small, tmp_path / "again.onnx", crops, RECORD, Options(target=VNNI, profile="best"))
    assert again.sha256 == made.sha256


def test_the_bytes_are_read_where_the_first_layer_stays_in_float32(small, crops, tmp_path):
    made = quantize(
        small, tmp_path / "int8.onnx", crops, RECORD, Options(target=VNNI, profile="balanced", exclude=("stem.conv",))
    )
    assert "stem.conv" in made.contract.provenance.quantization.float_layers
    outputs, _, _ = Session(made.path).run_picture(crops[0])
    floats, _, _ = Session(small).run_picture(crops[0])
    assert np.square(outputs[0] - floats[0]).sum() < 0.05 * np.square(floats[0]).sum()
