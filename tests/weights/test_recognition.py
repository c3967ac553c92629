"""Where a checkpoint comes from, by the names and shapes of its tensors alone: the origins' own, of the references."""

from __future__ import annotations

import io
import json
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from origin_cases import CLASSES, load
from safetensors.numpy import save_file

from mnv2deploy.catalog.cards import Card, InputSize, load_card
from mnv2deploy.catalog.network_specs import ClassifierSpec, DeepLabSpec
from mnv2deploy.errors import CheckpointError, UsageError
from mnv2deploy.weights import recognition
from mnv2deploy.weights.description import Description, backbone_keys
from mnv2deploy.weights.file_kinds import file_kind
from mnv2deploy.weights.keras import keras_names
from mnv2deploy.weights.native import WeightsOrigin, native_bytes
from mnv2deploy.weights.recognition import recognise
from mnv2deploy.weights.tensorflow import read_frozen_graph, read_tensorflowjs
from mnv2deploy.weights.tensorflow_description import describe_tensorflow

REFERENCE = Path(__file__).parent.parent / "reference"
CASES = {
    (origin, case.name): case
    for origin in ("torchvision", "timm", "huggingface", "mmpretrain")
    for case in load(REFERENCE / f"{origin}.npz")
}
with np.load(REFERENCE / "mmsegmentation.npz") as stored:
    SEGMENTERS = json.loads(str(stored["meta"]))
with np.load(REFERENCE / "mmdetection.npz") as stored:
    DETECTOR = {name: tuple(shape) for name, shape in json.loads(str(stored["meta"]))["shapes"].items()}
HEADS = [
    f"{head}-{data}" for data in ("cityscapes", "ade20k") for head in ("fcn", "pspnet", "deeplabv3", "deeplabv3plus")
]
# Width and depth, told by the case's name in the origin's own terms.
SIZES = {
    "w0.35": (0.35, 1.0),
    "w0.5": (0.5, 1.0),
    "w1.0": (1.0, 1.0),
    "w1.33": (1.33, 1.0),
    "w1.4": (1.4, 1.0),
    "mobilenetv2_050": (0.5, 1.0),
    "mobilenetv2_110d": (1.1, 1.2),
    "mobilenetv2_120d": (1.2, 1.4),
    "mobilenetv2_140": (1.4, 1.0),
    "classifier": (1.0, 1.0),
    "narrow": (0.75, 1.0),
    "dense": (0.35, 1.0),
    "segmenter": (0.5, 1.0),
}


def shapes_of(origin, name="w1.0"):
    return dict(CASES[origin, name].tensors)


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A file whose tensors have these names and shapes; the values are not there."""

    def make(shapes, config=None, file="model.pth"):
        path = tmp_path / file
        path.write_bytes(b"\x80\x02")
        for name, content in (config or {}).items():
            path.with_name(f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        raw = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
        monkeypatch.setattr(recognition, "read_checkpoint", lambda *_: raw)
        return path

    return make


@pytest.mark.parametrize(("origin", "name"), CASES)
def test_each_origin_is_told_from_the_others(origin, name, checkpoint):
    case = CASES[origin, name]
    found = recognise(checkpoint(case.tensors, case.config))
    assert found.origin == origin
    network = found.says.network
    backbone = network.backbone
    # The channels of mmpretrain's 1.33 are other widths' too; one of them is as good.
    assert backbone.width_multiplier == pytest.approx(SIZES[name][0], abs=0.02)
    assert backbone.depth_multiplier == pytest.approx(SIZES[name][1], abs=0.15)
    assert network.columns == CLASSES
    assert isinstance(network, DeepLabSpec if name == "segmenter" else ClassifierSpec)


@pytest.mark.parametrize("case", HEADS)
def test_segmenters_are_those_of_the_catalogs_cards(case, checkpoint):
    shapes = {name: tuple(shape) for name, shape in SEGMENTERS[case]["shapes"].items()}
    found = recognise(checkpoint(shapes))
    assert found.origin == "mmsegmentation"
    assert found.says.network == load_card(case).network
    assert found.says.align_corners is False
    without = {name: shape for name, shape in shapes.items() if not name.startswith("auxiliary_head.")}
    assert len(without) < len(shapes)
    assert recognise(checkpoint(without)).says == found.says


def test_the_detector_is_that_of_the_catalogs_card(checkpoint):
    found = recognise(checkpoint(DETECTOR))
    assert found.origin == "mmdetection"
    assert found.says.network == load_card("ssdlite-coco-mmdet").network


def test_a_head_that_is_not_built_is_named(checkpoint):
    shapes = {name: tuple(shape) for name, shape in SEGMENTERS["fcn-ade20k"]["shapes"].items()}
    other = {name.replace(".convs.", ".cls_psp.").replace("conv_cat", "fusion"): shapes[name] for name in shapes}
    with pytest.raises(CheckpointError, match=r"decode_head has cls_psp, conv_seg, fusion.*nearest is mmsegmentation"):
        recognise(checkpoint(other))


def test_keras_is_known_by_its_file_and_its_layers(checkpoint, tmp_path):
    name_of = keras_names(["dogs/bias"])
    torch_shapes = shapes_of("torchvision")
    keys = [*backbone_keys(17, last=True), "classifier.weight", "classifier.bias"]
    # The same network, layer by layer; kernels (height, width, in, out), depthwise (height, width, channels, 1).
    from mnv2deploy.weights.torchvision import torchvision_name

    def shape_of(key):
        shape = torch_shapes[torchvision_name(key)]
        if len(shape) == 4:
            return tuple(shape[axis] for axis in ((2, 3, 0, 1) if ".depthwise." in key else (2, 3, 1, 0)))
        return shape[::-1]

    path = checkpoint({name_of(key): shape_of(key) for key in keys}, file="dogs.weights.h5")
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    assert file_kind(path) == "keras"
    pytest.importorskip("h5py")
    path = checkpoint({name_of(key): shape_of(key) for key in keys}, file="dogs.weights.h5")
    import h5py

    with h5py.File(path, "w"):
        pass
    found = recognise(path)
    assert found.origin == "keras"
    assert found.says.network.columns == CLASSES
    assert found.says.is_assumed


def test_names_of_two_origins_are_refused_with_the_nearest_and_what_does_not_fit(checkpoint):
    mixed = shapes_of("torchvision")
    for old, new in (("features.0.0.weight", "conv_stem.weight"), ("features.18.0.weight", "conv_head.weight")):
        mixed[new] = mixed.pop(old)
    with pytest.raises(CheckpointError) as caught:
        recognise(checkpoint(mixed))
    message = str(caught.value)
    assert caught.value.exit_code == 4
    assert "nearest is torchvision" in message
    assert "lacks features.0.0.weight, features.18.0.weight" in message
    assert "Not torchvision's: conv_stem.weight, conv_head.weight" in message


def test_another_networks_checkpoint_is_no_origins(checkpoint):
    resnet = {"layer1.0.conv1.weight": (64, 64, 3, 3), "fc.weight": (1000, 512), "fc.bias": (1000,)}
    with pytest.raises(
        CheckpointError, match=r"is no MobileNetV2 that is known: its tensors are named layer1\.0\.conv1\.weight, fc"
    ):
        recognise(checkpoint(resnet))


@pytest.mark.parametrize("file", ["mobilenet_v3.pth", "squeezenet.pth"])
def test_another_mobilenet_is_not_said_to_be_near(file, checkpoint):
    """torchvision's MobileNetV3 and SqueezeNet call their layers ``features`` too."""
    inner = "block.0.0" if file.startswith("mobilenet") else "squeeze"
    other = {f"features.{index}.{inner}.weight": (16, 16, 1, 1) for index in range(1, 12)}
    with pytest.raises(CheckpointError, match="is no MobileNetV2 that is known: its tensors") as caught:
        recognise(checkpoint(other | {"features.0.0.weight": (16, 3, 3, 3), "classifier.3.bias": (5,)}, file=file))
    assert "nearest" not in str(caught.value)


def test_a_classifier_without_dropout_is_torchvisions_too(checkpoint):
    usual = shapes_of("torchvision")
    for own in ("classifier", "classifier.0", "classifier.1.fc"):
        shapes = {name.replace("classifier.1", own): shape for name, shape in usual.items()}
        found = recognise(checkpoint(shapes))
        assert (found.origin, found.says) == ("torchvision", recognise(checkpoint(usual)).says)


@pytest.mark.parametrize(("origin", "head"), [("torchvision", "classifier.1"), ("timm", "classifier")])
def test_other_heads_are_named(origin, head, checkpoint):
    name = "w1.0" if origin == "torchvision" else "mobilenetv2_140"
    backbone = {key: shape for key, shape in shapes_of(origin, name).items() if not key.startswith("classifier")}
    with pytest.raises(CheckpointError, match=r"model\.pth has no classifier: it is a backbone alone") as caught:
        recognise(checkpoint(backbone))
    assert str(caught.value).count("model.pth") == 1
    two = {f"{head}.weight": (128, 1280), f"{head}.bias": (128,), "classifier.3.weight": (5, 128)}
    with pytest.raises(
        CheckpointError, match=rf"has a head of several layers \({head}\.weight, classifier\.3\.weight\)"
    ):
        recognise(checkpoint(backbone | two))


def test_our_own_tensors_without_their_header_say_how_to_keep_it(checkpoint):
    ours = dict.fromkeys([*backbone_keys(17, last=True), "classifier.weight"], (3,))
    path = checkpoint(ours)
    with pytest.raises(CheckpointError, match=r"mnv2deploy's state dicts, but not their header.*safe_open"):
        recognise(path)
    save_file({"backbone.stem.conv.weight": np.zeros(3, np.float32)}, path.with_name("bare.safetensors"))
    with pytest.raises(CheckpointError, match=r"no header of mnv2deploy's.*safe_open\(OLD_FILE, 'pt'\)\.metadata"):
        recognise(path.with_name("bare.safetensors"), "native")


def test_a_wrong_origin_is_told_the_right_one(checkpoint):
    with pytest.raises(CheckpointError, match=r"lacks conv_stem.*named as torchvision's: --origin torchvision\."):
        recognise(checkpoint(shapes_of("torchvision")), "timm")


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("a.pth", b"", "is empty"),
        ("a.pth", b"<!DOCTYPE html><html>", "is a web page"),
        ("a.h5", b"\n<html lang=en>", "is a web page"),
        ("a.pth", b"PK\x03\x04" + bytes(30), "is damaged: an archive whose end is missing"),
        ("a.pth", (100).to_bytes(8, "little") + b'{"a":{}}', "is a safetensors file; give it a name that ends in"),
    ],
)
def test_files_with_a_checkpoints_name_are_called_what_they_are(file, content, says, tmp_path):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=says):
        recognise(tmp_path / file)


def test_programs_of_torch_and_tensorflow_are_called_so(tmp_path):
    with warnings.catch_warnings(action="ignore"):  # torch means to give it up
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"model\.pt is a TorchScript program, not a state dict"):
        recognise(tmp_path / "model.pt")
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(CheckpointError, match="is a TensorFlow SavedModel, which is not read"):
        recognise(tmp_path)


def test_a_width_that_is_none_is_refused(checkpoint):
    shapes = shapes_of("torchvision")
    shapes["features.3.conv.2.weight"] = (25, 144, 1, 1)
    with pytest.raises(CheckpointError, match=r"features\.3\.conv\.2\.weight has 25 channels"):
        recognise(checkpoint(shapes))


def test_a_told_origin_is_taken_and_a_wrong_one_refused(checkpoint):
    path = checkpoint(shapes_of("mmpretrain"))
    assert recognise(path, "mmpretrain").origin == "mmpretrain"
    with pytest.raises(CheckpointError, match=r"lacks features\.0\.0\.weight"):
        recognise(path, "torchvision")
    with pytest.raises(UsageError, match=r"no origin 'tensorflow'; there are torchvision, timm"):
        recognise(path, "tensorflow")


def test_two_origins_that_fit_are_never_chosen_from(checkpoint, monkeypatch):
    path = checkpoint(shapes_of("torchvision"))
    description = Description(network=load_card("mobilenet-v2").network)
    described = lambda raw, path, name: description if name in ("timm", "torchvision") else fail()  # noqa: E731

    def fail():
        raise CheckpointError("no")

    monkeypatch.setattr(recognition, "describe_tensors", described)
    with pytest.raises(CheckpointError, match="torchvision or timm; say which it is with --origin"):
        recognise(path)
    assert recognise(path, "timm").origin == "timm"


def test_weights_of_the_catalog_are_known_whatever_the_file_is_called(classifier_weights, pedestrian_weights, tmp_path):
    copy = shutil.copy(classifier_weights.main, tmp_path / "epoch_90.pth")
    found = recognise(Path(copy))
    assert isinstance(found.says, Card)
    assert found.says == load_card("mobilenet-v2")
    assert isinstance(recognise(Path(copy), "torchvision").says, Description)  # told: looked at all the same
    other = shutil.copy(pedestrian_weights.main, tmp_path / "graph.pth")
    assert recognise(Path(other)).says == load_card("ssdlite-pedestrian")


def test_weights_of_which_one_file_is_another_are_not_the_catalogs(deeplab_weights, tmp_path):
    for file in deeplab_weights.files.values():
        shutil.copy(file, tmp_path)
    assert recognise(tmp_path).says == load_card("deeplabv3-voc")
    shard = tmp_path / "group1-shard3of3"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    assert isinstance(recognise(tmp_path).says, Description)


def test_a_state_dict_of_our_own_is_known_by_its_header(tmp_path):
    card = load_card("fcn-cityscapes")
    origin = WeightsOrigin(source="mine", files=(), licence="MIT")
    path = tmp_path / "model.safetensors"
    path.write_bytes(native_bytes(card, origin, {"a": np.zeros(3, np.float32)}))
    for told in (None, "native"):
        found = recognise(path, told)
        assert (found.origin, found.says.network) == ("native", card.network)
    with pytest.raises(CheckpointError, match="lacks features"):
        recognise(path, "torchvision")
    save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(CheckpointError, match="has no header of mnv2deploy's: the header says what network it is"):
        recognise(path, "native")


def test_a_folder_is_the_checkpoint_in_it(checkpoint, tmp_path):
    checkpoint(
        CASES["huggingface", "classifier"].tensors, CASES["huggingface", "classifier"].config, "pytorch_model.bin"
    )
    assert recognise(tmp_path).path == tmp_path / "pytorch_model.bin"
    with pytest.raises(UsageError, match=r"holds no model\.safetensors"):
        recognise(tmp_path.parent / tmp_path.name / "..")


@pytest.mark.parametrize(
    ("file", "content", "kind"),
    [
        ("weights", b"\x80\x02}q\x00.", "torch"),  # a pickle, without an ending
        ("weights", b"\x89HDF\r\n\x1a\n", "keras"),
        ("weights", b"\x1c\x00\x00\x00TFL3", "tflite"),
        ("frozen.pb", b"\x0a", "frozen-graph"),
        ("model.json", b"{}", "tensorflowjs"),
        ("model.safetensors", b"\x08", "safetensors"),
        ("best.PTH", b"\x80", "torch"),
        ("Frozen.PB", b"\x0a", "frozen-graph"),
    ],
)
def test_the_kind_of_a_file_is_in_its_first_bytes_or_its_name(file, content, kind, tmp_path):
    (tmp_path / file).write_bytes(content)
    assert file_kind(tmp_path / file) == kind


def test_archives_are_told_by_what_is_in_them(tmp_path):
    for member, kind in (("model.weights.h5", "keras"), ("archive/data.pkl", "torch")):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(member, b"")
        (tmp_path / "file").write_bytes(buffer.getvalue())
        assert file_kind(tmp_path / "file") == kind


def test_a_file_of_no_known_kind_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07")
    with pytest.raises(CheckpointError, match=r"model\.onnx is no checkpoint of a kind that is read: torch's"):
        recognise(tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="there is no such file"):
        recognise(tmp_path / "nowhere.pth")


@pytest.fixture(scope="module")
def pedestrian(pedestrian_weights):
    return read_frozen_graph(pedestrian_weights.main)


@pytest.fixture(scope="module")
def deeplab(deeplab_weights):
    return read_tensorflowjs(deeplab_weights.main)


def test_tensorflows_graphs_say_what_the_catalogs_cards_say(pedestrian, coco_weights, deeplab):
    graphs = {
        "ssdlite-pedestrian": pedestrian,
        "ssdlite-coco": read_tensorflowjs(coco_weights.main),
        "deeplabv3-voc": deeplab,
    }
    for name, raw in graphs.items():
        card, found = load_card(name), describe_tensorflow(raw, name)
        assert (found.network, found.input, found.preprocessing) == (card.network, card.input, card.preprocessing)
        assert not found.is_assumed
        assert not found.is_stride_open


def test_anchors_other_than_the_graphs_are_refused(pedestrian, coco_weights):
    scales = "MultipleGridAnchorGenerator/truediv_16/x"
    with pytest.raises(CheckpointError, match=r"other anchors than scales 0\.2 to 0\.95"):
        describe_tensorflow({**pedestrian, scales: pedestrian[scales] * 1.01}, "graph")
    stored = read_tensorflowjs(coco_weights.main)
    wider = stored["Postprocessor/ExpandDims"] * np.float32([1, 1, 1, 1.01])
    with pytest.raises(CheckpointError, match="other anchors"):
        describe_tensorflow({**stored, "Postprocessor/ExpandDims": wider}, "graph")
    bare = {name: array for name, array in pedestrian.items() if not name.startswith("MultipleGrid")}
    with pytest.raises(CheckpointError, match="does not show its anchors"):
        describe_tensorflow(bare, "graph")


def test_an_output_stride_is_read_or_left_open(deeplab):
    scope = "MobilenetV2/expanded_conv_{}/depthwise/depthwise/SpaceToBatchND/block_shape"
    bare = {name: array for name, array in deeplab.items() if "SpaceToBatchND" not in name}
    found = describe_tensorflow(bare, "graph")
    assert found.is_stride_open
    assert found.input is None
    sixteen = describe_tensorflow({**bare, scope.format(14): np.array([2, 2])}, "graph")
    assert sixteen.network.backbone.output_stride == 16
    with pytest.raises(CheckpointError, match="no output stride of DeepLab's"):
        describe_tensorflow({**bare, scope.format(3): np.array([2, 2])}, "graph")


def test_a_graph_whose_size_is_not_written_leaves_it_open(pedestrian):
    bare = {name: array for name, array in pedestrian.items() if "ResizeImage" not in name}
    assert describe_tensorflow(bare, "graph").input is None
    assert describe_tensorflow(pedestrian, "graph").input == InputSize(height=300, width=300)


def test_a_graph_of_another_network_is_refused():
    with pytest.raises(CheckpointError, match=r"neither SSDLite's .* begin with conv/kernel"):
        describe_tensorflow({"conv/kernel": np.zeros((3, 3, 3, 8), np.float32)}, "graph")
