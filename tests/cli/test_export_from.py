"""``export --from``: from a checkpoint to an artifact that answers, and what becomes of bad checkpoints."""

from __future__ import annotations

import argparse
import io
import json
import re
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from deterministic_weights import picture
from origin_cases import CLASSES, load
from safetensors.numpy import load_file, save_file

from mnv2deploy.catalog.conventions import CONVENTIONS, INTERPOLATIONS, RESIZES
from mnv2deploy.cli.app import load_command
from mnv2deploy.cli.artifact import find_artifact
from mnv2deploy.cli.export_arguments import CHOICES, OPSETS
from mnv2deploy.errors import CheckpointError, InputError, UsageError
from mnv2deploy.export.graph import MINIMUM_ONNXRUNTIME
from mnv2deploy.runtime.pipeline import open_pipeline
from mnv2deploy.runtime.session import Session
from mnv2deploy.weights.native import native_card, recorded_origin
from mnv2deploy.weights.recognition import ORIGINS

REFERENCE = Path(__file__).parent.parent / "reference"
CASES = {
    (origin, case.name): case
    for origin in ("torchvision", "torchvision_quantization", "huggingface")
    for case in load(REFERENCE / f"{origin}.npz")
}


def run(*arguments):
    """The command, in this process: torch takes seconds to load."""
    load_command("export").main([str(argument) for argument in arguments], standalone_mode=False)


def tensors(origin, name):
    return {key: torch.from_numpy(array) for key, array in CASES[origin, name].weights("torch").items()}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, pedestrian_weights):
    """One of each task, with everything its owner has to say."""
    folder = tmp_path_factory.mktemp("checkpoints")
    state = {f"module.{name}": tensor for name, tensor in tensors("torchvision", "w0.35").items()}
    torch.save({"epoch": 3, "ema": {"module": state}["module"]}, folder / "kinds.pth")
    (folder / "kinds.txt").write_text("".join(f"kind {number}\n" for number in range(CLASSES)))
    segmenter = folder / "segmenter"
    segmenter.mkdir()
    case = CASES["huggingface", "segmenter"]
    save_file(case.weights("torch"), segmenter / "model.safetensors")
    (segmenter / "config.json").write_text(json.dumps(case.config["config"]))
    kinds = ("--labels", folder / "kinds.txt")
    return {
        "classify": (folder / "kinds.pth", *kinds, "--size", "64x96", "--preprocessing", "timm"),
        "segment": (segmenter, *kinds, "--size", "65x97", "--preprocessing", "deeplab"),
        "detect": (pedestrian_weights.main, "--labels", "pedestrian", "--origin", "frozen-graph"),
    }


@pytest.fixture(scope="module")
def exported(checkpoints, tmp_path_factory, photos):
    folder = tmp_path_factory.mktemp("exported")
    for task, (path, *said) in checkpoints.items():
        files = ("-o", folder / f"{task}.onnx", "--state-dict", folder / f"{task}.safetensors")
        run(
            "--from",
            path,
            *said,
            "--task",
            task,
            *files,
            "--no-simplify",
            "--quiet",
            "--pictures",
            photos["rocket.jpg"],
        )
    return folder


@pytest.mark.parametrize("task", ["classify", "detect", "segment"])
def test_a_checkpoint_becomes_an_artifact_that_knows_where_it_is_from(task, exported, checkpoints):
    contract = Session(exported / f"{task}.onnx").contract
    assert contract.task == task
    assert contract.provenance.source == "local file"
    assert contract.provenance.licence == "unknown"
    path = checkpoints[task][0]
    main = path / "model.safetensors" if path.is_dir() else path
    assert [name for name, _ in contract.provenance.weights_sha256] == [main.name]
    expected = {"classify": (64, 96), "detect": (300, 300), "segment": (65, 97)}[task]
    assert (contract.input.height, contract.input.width) == expected
    names = ["pedestrian"] if task == "detect" else [f"kind {number}" for number in range(CLASSES)]
    assert [label.name for label in contract.labels] == names


def test_a_detector_by_description_is_the_catalogs_network(exported, artifacts):
    """Recognised by its tensors alone, it computes what the card's network computes."""
    picture = np.random.default_rng(0).uniform(-1, 1, (1, 3, 300, 300)).astype(np.float32)
    ours, cards = Session(exported / "detect.onnx"), Session(artifacts["ssdlite-pedestrian"])
    for one, other in zip(ours.run(picture), cards.run(picture), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert ours.contract.decoding == cards.contract.decoding
    assert ours.contract.preprocessing == cards.contract.preprocessing


@pytest.mark.parametrize("task", ["classify", "detect", "segment"])
def test_reading_our_own_state_dict_back_gives_the_same_bytes(task, exported, tmp_path, photos):
    again = tmp_path / "again.onnx"
    files = ("-o", again, "--state-dict", tmp_path / "again.safetensors")
    run(
        "--from",
        exported / f"{task}.safetensors",
        *files,
        "--no-simplify",
        "--quiet",
        "--pictures",
        photos["rocket.jpg"],
    )
    assert again.read_bytes() == (exported / f"{task}.onnx").read_bytes()
    assert (tmp_path / "again.safetensors").read_bytes() == (exported / f"{task}.safetensors").read_bytes()


def test_our_state_dict_has_our_names_in_float32_and_the_network_in_its_header(exported):
    path = exported / "segment.safetensors"
    stored = load_file(path)
    assert {array.dtype for array in stored.values()} == {np.dtype(np.float32)}
    assert "head.classifier.bias" in stored
    assert not [name for name in stored if name.endswith("num_batches_tracked")]
    card = native_card(path)
    assert card.network.architecture == "deeplabv3"
    assert card.network.backbone.width_multiplier == 0.5
    assert recorded_origin(path, stored).source == "local file"


def test_what_was_recognised_is_said_before_anything_is_built(checkpoints, monkeypatch, capsys):
    from mnv2deploy.export import artifact

    def stop(card, output, **_):
        raise UsageError("stopped")

    monkeypatch.setattr(artifact, "export", stop)
    path, *said = checkpoints["classify"]
    with pytest.raises(UsageError, match="stopped"):
        run("--from", path, *said)
    rows = [line.split("  ") for line in capsys.readouterr().err.splitlines() if line]
    table = {row[0]: [cell.strip() for cell in row[1:] if cell.strip()] for row in rows}
    assert table["origin"] == ["torchvision", "the names of its tensors"]
    assert table["network"] == ["MobileNetV2 0.35", "their shapes"]
    assert table["classes"] == ["7 classes", "their shapes"]
    assert table["input"] == ["64x96", "you"]


@pytest.mark.parametrize(
    ("case", "network"), [("folded", "MobileNetV2 0.35, ReLU"), ("prepared", "MobileNetV2 0.75, ReLU")]
)
def test_a_network_on_its_way_to_eight_bits_answers_as_torchvisions(case, network, tmp_path, photos, capsys):
    known = ("--labels", "numbers", "--size", "75x102", "--preprocessing", "torchvision")
    torch.save(tensors("torchvision_quantization", case), tmp_path / "mine.pth")
    files = ("-o", tmp_path / "mine.onnx", "--pictures", photos["rocket.jpg"])
    run("--from", tmp_path / "mine.pth", *known, *files, "--json", "--quiet")
    recognised = json.loads(capsys.readouterr().out)["recognised"]
    assert {"what": "network", "value": network, "said_by": "their shapes"} in recognised
    expected = CASES["torchvision_quantization", case].answers[75, 102]
    found = np.concatenate(
        [Session(tmp_path / "mine.onnx").run(one[None])[0] for one in picture(len(expected), 75, 102)]
    )
    assert np.abs(found - expected).max() <= 1e-4 * np.ptp(expected)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Say what to export"),
        (("mobilenet-v2", "--from", "x.pth"), r"leave out NAME \(mobilenet-v2\)"),
        (("--from", "x.pth", "--weights", "y.pth"), "leave out --weights y.pth"),
        (("mobilenet-v2", "--labels", "voc"), "--labels is said of a checkpoint given with --from"),
        (("mobilenet-v2", "--output-stride", "8"), "--output-stride is said of"),
        (("mobilenet-v2", "--origin", "timm"), "--origin is said of"),
        (("--from", "x.pth", "--task", "sing"), "--task sing is not one of classify, detect, segment"),
        (("--from", "x.pth", "--resize", "zoom"), "--resize zoom is not one of stretch, centre_crop, pad"),
        (("--from", "x.pth", "--output-stride", "7"), "--output-stride 7 is not one of 8, 16, 32"),
        (("--from", "x.pth", "--state-dict", "y.pth"), "a state dict ends in .safetensors"),
        (("--from", "x.pth", "-o", "y.pb"), "an artifact's name ends in .onnx"),
        (("--from", "x.pth", "--size", "224x"), "--size 224x is no size"),
        (("--from", "x.pth", "--size", "20000x20000"), "too large; a side has at most 4096 pixels"),
        (("mobilenet-v2", "--size", "5000"), "too large; a side has at most 4096 pixels"),
        (("--from", "x.pth", "--activation", "relu"), "--activation relu is not one of softmax, sigmoid"),
        (("mobilenet-v2", "--activation", "sigmoid"), "--activation is said of"),
        (("mobilenet-v2", "--opset", "12"), "--opset 12 cannot be written; choose 18 to 23"),
        (("mobilenet_v2",), r"Did you mean mobilenet-v2\?"),
        (("--from", "nowhere.pth"), "there is no such file"),
    ],
)
def test_an_option_that_does_not_apply_is_refused(arguments, says):
    with pytest.raises(UsageError, match=says):
        run(*arguments)


def test_what_cannot_be_is_said_before_anything_slow(checkpoints, tmp_path, monkeypatch):
    from mnv2deploy.export import from_checkpoint

    monkeypatch.setattr(from_checkpoint, "recognise", lambda *_: pytest.fail("the checkpoint was read"))
    path, *said = checkpoints["classify"]
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for file, says in (("nowhere.png", "does not exist"), ("torn.png", "torn.png")):
        with pytest.raises(InputError, match=says):
            run("--from", path, *said, "--pictures", tmp_path / file)
    with pytest.raises(UsageError, match="did you mean --from .*kinds.pth"):
        run(path)


def test_a_checkpoint_is_no_artifact(checkpoints):
    with pytest.raises(UsageError, match="is a checkpoint; make its artifact with 'mnv2deploy export --from "):
        find_artifact(str(checkpoints["classify"][0]), offline=True, quiet=True)


def test_the_help_names_what_there_is():
    options = {option.name: option for option in load_command("export").params}
    assert f"{options['opset'].metavar}" == f"{min(MINIMUM_ONNXRUNTIME)}..{max(MINIMUM_ONNXRUNTIME)}"
    assert tuple(MINIMUM_ONNXRUNTIME) == OPSETS
    assert (CHOICES["resize"], CHOICES["interpolation"]) == (RESIZES, INTERPOLATIONS)
    for name, known in (("origin", ORIGINS), ("preprocessing", CONVENTIONS)):
        assert all(re.search(rf"\b{one}\b", options[name].help) for one in known)
    for name, known in CHOICES.items():
        assert options[name].metavar == "|".join(map(str, known))


def test_one_output_answers_as_its_sigmoid(tmp_path, photos, capsys):
    """The idiom of BCEWithLogitsLoss: of torchvision's reference only the first class is kept."""
    case = CASES["torchvision", "w0.35"]
    state = tensors("torchvision", "w0.35")
    torch.save(state | {name: state[name][:1] for name in state if name.startswith("classifier")}, tmp_path / "one.pth")
    (height, width), expected = next(iter(case.answers.items()))
    (tmp_path / "names.txt").write_text("good\nbad\n")
    known = ("--labels", tmp_path / "names.txt", "--size", f"{height}x{width}", "--preprocessing", "torchvision")
    files = ("-o", tmp_path / "one.onnx", "--no-simplify", "--pictures", photos["rocket.jpg"])
    run("--from", tmp_path / "one.pth", *known, *files, "--json")
    printed = capsys.readouterr()
    assert {"what": "labels", "value": "good, bad", "said_by": "you"} in json.loads(printed.out)["recognised"]
    assert "RECOGNISED" in printed.err
    classifier = open_pipeline(Session(tmp_path / "one.onnx"))
    for tensor, logits in zip(picture(len(expected), height, width), expected, strict=True):
        (found,) = classifier.session.run(tensor[None])
        scores = {one.label: one.score for one in classifier.decode(found[0], height, width).classes}
        assert scores["bad"] == pytest.approx(1 / (1 + np.exp(-logits[0])), abs=1e-4)
        assert scores["good"] == pytest.approx(1 - scores["bad"], abs=1e-6)


class Bomb:
    """A pickle that makes a file when it is read carelessly."""

    def __init__(self, made):
        self.made = made

    def __reduce__(self):
        return Path.touch, (self.made,)


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def with_nan():
    state = tensors("torchvision", "w0.35")
    state["features.3.conv.0.0.weight"][0, 0] = float("nan")
    return saved(state)


def with_negative_variance():
    state = tensors("torchvision", "w0.35")
    state["features.3.conv.0.1.running_var"][2] = -1
    return saved(state)


def eight_bit():
    """As ``torch.ao.quantization.convert`` names and makes the tensors of a fused torchvision network."""
    with warnings.catch_warnings(action="ignore"):  # torch means to give these tensors up
        weight = torch.quantize_per_channel(torch.ones(2, 3), torch.ones(2), torch.zeros(2), 0, torch.qint8)
    packed = {"dtype": torch.qint8, "_packed_params": (weight, torch.zeros(2))}
    return saved(
        {f"classifier.1._packed_params.{name}": value for name, value in packed.items()}
        | {"features.0.0.weight": weight, "features.0.0.bias": torch.zeros(2), "quant.scale": torch.ones(1)}
    )


BAD = {
    "truncated": ("bad.pth", lambda _: saved(tensors("torchvision", "w0.35"))[:-5000], "damaged"),
    "not a number": ("bad.pth", lambda _: with_nan(), r"features\.3\.conv\.0\.0\.weight holds values that are not fin"),
    "a negative variance": (
        "bad.pth",
        lambda _: with_negative_variance(),
        r"features\.3\.conv\.0\.1\.running_var holds variances less than 0",
    ),
    "a bomb": ("bad.pth", lambda made: saved({"state_dict": {}, "x": Bomb(made)}), "without running code in it"),
    "an object": ("bad.pth", lambda _: saved(argparse.Namespace(a=1)), "not a torch state dict but one Namespace"),
    "eight bits": (
        "bad.pth",
        lambda _: eight_bit(),
        "already eight-bit; give the float or QAT checkpoint it was made of",
    ),
    "some zip": ("bad.pth", lambda _: zipped(**{"photos/cat.jpg": b"meow"}), "or is damaged"),
    "empty": ("bad.pth", lambda _: b"", "is empty"),
    "huge header": ("bad.safetensors", lambda _: struct.pack("<Q", 1 << 62) + b"{}", "not a safetensors file"),
    "short safetensors": ("bad.safetensors", lambda _: b"\x08", "not a safetensors file"),
    "no graph": ("bad.pb", lambda _: b"\xff\xff\xff\xff", "not a frozen TensorFlow graph"),
    "no manifest": ("model.json", lambda _: b"{}", "not a TensorFlow.js graph model"),
    "other json": ("model.json", lambda _: b"[" * 100_000, "not a TensorFlow.js graph model"),
    "a picture": ("bad.jpg", lambda _: b"\xff\xd8\xff\xe0", "no checkpoint of a kind that is read"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_checkpoint_is_refused_in_a_sentence_and_leaves_nothing(case, tmp_path, photos):
    name, content, says = BAD[case]
    made, output = tmp_path / "made", tmp_path / "out"
    (tmp_path / name).write_bytes(content(made))
    files = ("-o", output / "never.onnx", "--state-dict", output / "never.safetensors")
    known = ("--labels", "numbers", "--size", "64x64", "--preprocessing", "torchvision", "--quiet")
    with pytest.raises(CheckpointError, match=says) as caught:
        run("--from", tmp_path / name, *files, *known)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert not made.exists()
    assert not output.exists()


def test_labels_and_tasks_that_contradict_the_checkpoint_are_refused(checkpoints, tmp_path):
    path, *_ = checkpoints["classify"]
    (tmp_path / "names.txt").write_text("document\nphoto\n")
    with pytest.raises(CheckpointError, match=r"names 2 classes, but .*kinds\.pth has 7\."):
        run("--from", path, "--labels", tmp_path / "names.txt", "-o", tmp_path / "never.onnx")
    with pytest.raises(CheckpointError, match="it is made to classify, not to segment"):
        run("--from", path, "--task", "segment", "-o", tmp_path / "never.onnx")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["names.txt"]


def test_json_says_what_was_recognised(exported, tmp_path, capsys, photos):
    files = ("-o", tmp_path / "again.onnx", "--no-simplify", "--pictures", photos["rocket.jpg"])
    run("--from", exported / "classify.safetensors", *files, "--json", "--quiet")
    document = json.loads(capsys.readouterr().out)
    assert {"what": "classes", "value": "7 classes", "said_by": "the file's header"} in document["recognised"]
    assert onnx.load(tmp_path / "again.onnx").graph.input[0].name == "image"
