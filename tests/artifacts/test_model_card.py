"""The model card: its metadata as the Hub reads them, what it says, and its code, which is run."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from manifests import DATASET, a_contract, a_file, a_manifest, a_quantized_artifact, an_artifact
from markdown_it import MarkdownIt

from mnv2deploy.artifacts.hub_metadata import hub_licence
from mnv2deploy.artifacts.manifest import PictureSet, Weights
from mnv2deploy.artifacts.model_card import model_card
from mnv2deploy.contract import Output, SegmentationDecoding
from mnv2deploy.runtime.images import read
from mnv2deploy.runtime.preprocessing import prepare
from mnv2deploy.runtime.session import Session


def metadata(manifest=None):
    _, front, _ = model_card(manifest or a_manifest()).split("---\n", 2)
    return yaml.safe_load(front)


def body(manifest=None):
    return " ".join(model_card(manifest or a_manifest()).split("---\n", 2)[2].split())


def weights(**values):
    return dataclasses.replace(a_manifest().weights, **values)


def test_the_hub_reads_what_it_needs():
    assert metadata() == {
        "license": "apache-2.0",
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "tags": ["onnx", "onnxruntime", "mobilenet_v2", "int8"],
        "model-index": [
            {
                "name": "small",
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"type": "val-500", "name": "val <500>"},
                        "metrics": [
                            {"type": "accuracy", "value": 0.85, "name": "top_1, fp32"},
                            {"type": "accuracy", "value": 0.848, "name": "top_1, int8"},
                        ],
                    }
                ],
            }
        ],
    }


def test_without_measured_accuracy_there_is_no_model_index():
    artifacts = (an_artifact(accuracy=None), a_quantized_artifact(accuracy=None))
    assert "model-index" not in metadata(a_manifest(artifacts=artifacts))
    assert "accuracy was not measured for this release" in body(a_manifest(artifacts=artifacts))


def test_accuracy_on_another_set_is_another_result():
    other = dataclasses.replace(
        an_artifact().accuracy, dataset=PictureSet(name="Other", pictures=7, sha256="f" * 64), metric="mean_iou"
    )
    first, second = metadata(a_manifest(artifacts=(an_artifact(), an_artifact("b", accuracy=other))))["model-index"][0][
        "results"
    ]
    assert (first["dataset"]["name"], second["dataset"]["name"]) == (DATASET.name, "Other")
    assert [one["name"] for one in first["metrics"]] == ["top_1, fp32"]
    assert second["metrics"] == [{"type": "mean_iou", "value": 0.85, "name": "mean_iou, b"}]


@pytest.mark.parametrize(
    ("task", "tag"),
    [("classify", "image-classification"), ("detect", "object-detection"), ("segment", "image-segmentation")],
)
def test_the_task_is_the_hubs(task, tag):
    assert metadata(a_manifest(task=task))["pipeline_tag"] == tag


def test_without_a_quantized_artifact_there_is_no_tag_for_it():
    assert "int8" not in metadata(a_manifest(artifacts=(an_artifact(),)))["tags"]


@pytest.mark.parametrize(
    ("licence", "identifier", "name", "link"),
    [
        ("Apache-2.0", "apache-2.0", None, None),
        ("CC-BY-4.0", "cc-by-4.0", None, None),
        ("BSD-3-Clause", "bsd-3-clause", None, None),
        ("GPL-3.0-or-later", "gpl-3.0", None, None),
        ("ODbL-1.0", "odbl", None, None),
        ("unknown", "unknown", None, None),
        ("", "unknown", None, None),
        ("0BSD", "other", "0bsd", "https://spdx.org/licenses/0BSD.html"),
        ("MIT OR Apache-2.0", "other", "mit-or-apache-2.0", None),
        ('our "own"\n', "other", "our-own", None),
    ],
)
def test_licences_are_the_hubs(licence, identifier, name, link):
    found = hub_licence(licence)
    assert (found.identifier, found.name, found.link) == (identifier, name, link)
    front = metadata(a_manifest(weights=weights(licence=licence)))
    assert (front["license"], front.get("license_name"), front.get("license_link")) == (identifier, name, link)


@pytest.mark.parametrize(
    ("source", "base"),
    [
        ("https://huggingface.co/google/mobilenet_v2_1.0_224/resolve/main/model.bin", "google/mobilenet_v2_1.0_224"),
        ("https://example.org/huggingface.co/a/b/resolve/main/c", None),
        ("pypi:somewhere==1.0", None),
    ],
)
def test_the_base_model_is_named_where_it_is_known(source, base):
    assert metadata(a_manifest(weights=weights(source=source))).get("base_model") == base


def test_no_speed_is_told():
    artifacts = a_manifest().artifacts
    faster = tuple(
        dataclasses.replace(one, speed=dataclasses.replace(one.speed, milliseconds=1.25)) for one in artifacts
    )
    assert model_card(a_manifest(artifacts=faster, files=(a_file("x"),))) == model_card(a_manifest())
    assert "ms" not in body().split()


def test_it_says_what_was_measured_and_on_what():
    text = body()
    assert "| `fp32` | top-1 accuracy 85.0 % (82.0 to 88.0) | | | |" in text
    assert (
        "| `int8` | top-1 accuracy 84.8 % (81.0 to 88.0) | 0.2 | 95.0 % (76.0 to 99.0) | `class_logits` 21.5 dB |"
        in text
    )
    assert "measured on the 500 pictures of val \\<500\\>" in text
    assert "pictures with the same first class, compared with `fp32`, on the 20 pictures of imagenet-20" in text
    assert "calibrated on 128 pictures of wheel-photos" in text
    assert "5 at once: the greatest difference is 3.3e-06 of the output's range" in text


def test_it_says_which_file_is_what():
    contract = dataclasses.replace(
        a_contract(), outputs=(Output(name="s", meaning="class_scores"), Output(name="i", meaning="class_ids"))
    )
    text = body(a_manifest(artifacts=(an_artifact(), an_artifact("end", made_from="fp32", contract=contract))))
    assert "| `small-fp32.onnx` | 14.0 | float32, as exact as the weights; what the others are compared with |" in text
    assert "| `small-end.onnx` | 14.0 | float32, as exact as the weights; decodes its answers itself," in text
    assert "| `small-end.onnx` | `i` | class ids, the data set's own |" in text
    assert "eight bits, made for x86-64" in body()


def test_kinds_of_input_are_told_once_each():
    graph_input = dataclasses.replace(a_contract().input, layout="NHWC", dtype="uint8")
    preprocessing = dataclasses.replace(a_contract().preprocessing, mean=(0.0,) * 3, std=(1.0,) * 3)
    contract = dataclasses.replace(a_contract(quantized=True), input=graph_input, preprocessing=preprocessing)
    text = body(a_manifest(artifacts=(an_artifact(), a_quantized_artifact(contract=contract))))
    assert "`small-fp32.onnx`: 1. Decode" in text
    assert (
        "the mean is 127.5, 127.5, 127.5, the std 127.5, 127.5, 127.5. 4. Give it as NCHW, float32 (N, 3, 32, 32)"
        in text
    )
    assert "`small-int8.onnx`: 1. Decode" in text
    assert "3. Do not normalise it: the graph takes the bytes 0 to 255 as they are. 4. Give it as NHWC, uint8" in text
    assert "`small-fp32.onnx`, `small-int8.onnx`: 1. Decode" in body()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"resize": "centre_crop", "shorter_side": 40, "interpolation": "antialias"},
            "shorter side has 40 pixels, bilinear",
        ),
        ({"resize": "pad", "pad_value": 127.5}, "fill the rest with 127.5"),
        ({"interpolation": "bicubic"}, "Stretch it to 32 x 32 pixels (height x width)"),
    ],
)
def test_preparation_is_told_in_words(values, words):
    contract = dataclasses.replace(
        a_contract(), preprocessing=dataclasses.replace(a_contract().preprocessing, **values)
    )
    assert words in body(a_manifest(artifacts=(an_artifact(contract=contract),)))


def test_sides_are_told_in_the_order_they_are_given():
    tall = dataclasses.replace(a_contract(), input=dataclasses.replace(a_contract().input, height=48, width=64))
    text = body(a_manifest(artifacts=(an_artifact(contract=tall),)))
    assert "Stretch it to 48 x 64 pixels (height x width)" in text
    assert "NCHW, float32 (N, 3, 48, 64); the numbers are N, channels, height, width." in text
    graph_input = dataclasses.replace(tall.input, layout="NHWC", dtype="uint8")
    preprocessing = dataclasses.replace(tall.preprocessing, mean=(0.0,) * 3, std=(1.0,) * 3)
    tall = dataclasses.replace(tall, input=graph_input, preprocessing=preprocessing)
    text = body(a_manifest(artifacts=(an_artifact(contract=tall),)))
    assert "NHWC, uint8 (N, 48, 64, 3); the numbers are N, height, width, channels." in text


def test_agreement_counted_alike_is_explained_once():
    agreement = a_quantized_artifact().agreement
    alike = dataclasses.replace(agreement, share=0.5)
    other = dataclasses.replace(agreement, share=0.9, pictures=PictureSet(name="others", pictures=9, sha256="f" * 64))
    artifacts = (
        an_artifact(),
        a_quantized_artifact(),
        *(an_artifact(name, made_from="fp32", agreement=one) for name, one in (("a", alike), ("b", other))),
    )
    text = body(a_manifest(artifacts=artifacts))
    assert text.count("on the 20 pictures of imagenet-20") == 1
    assert text.count("on the 9 pictures of others") == 1


def test_weights_of_unknown_licence_are_not_given_one():
    assert "The licence of the weights is not known." in body(a_manifest(weights=weights(licence="unknown")))
    assert "Apache-2.0: the licence of the weights" in body()


def test_it_says_how_to_verify():
    assert "mnv2deploy verify . sha256sum -c SHA256SUMS" in body()


def test_nothing_in_a_manifest_breaks_the_page():
    nasty = "a|b\n| c | <script>alert(1)</script> `x` *y* [z](http://q) \\"
    manifest = a_manifest(
        title=nasty,
        description=f"# {nasty}",
        paper=nasty,
        weights=Weights(source=nasty, licence=nasty, files=((nasty, "f" * 64),)),
        calibration=PictureSet(name=nasty, pictures=1, sha256="f" * 64),
    )
    labels = tuple(dataclasses.replace(label, name=nasty) for label in a_contract().labels)
    accuracy = dataclasses.replace(an_artifact().accuracy, dataset=PictureSet(name=nasty, pictures=1, sha256="f" * 64))
    contract = dataclasses.replace(a_contract(), labels=labels, outputs=(Output(name=nasty, meaning="class_logits"),))
    manifest = dataclasses.replace(
        manifest, artifacts=(an_artifact(contract=contract, accuracy=accuracy), a_quantized_artifact(accuracy=accuracy))
    )
    page, plain = (
        MarkdownIt("commonmark").enable("table").parse(model_card(one).split("---\n", 2)[2])
        for one in (manifest, a_manifest())
    )
    # The same blocks in the same order: headings, lists, tables, rows and cells.
    assert [token.type for token in page] == [token.type for token in plain]
    inside = {child.type for token in page for child in token.children or ()}
    assert inside <= {"text", "text_special", "softbreak", "code_inline"}
    assert metadata(manifest)["model-index"][0]["results"][0]["dataset"]["name"] == nasty


def test_tables_have_as_many_cells_as_columns_whatever_was_measured():
    cases = [
        {},
        {"accuracy": None},
        {"agreement": None},
        {"accuracy": None, "agreement": None},
    ]
    for values in cases:
        text = model_card(a_manifest(artifacts=(an_artifact(**values), a_quantized_artifact(**values))))
        tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
        assert len(tables) == (2 if values == {"accuracy": None, "agreement": None} else 3)
        for table in tables:
            assert len({line.count("|") for line in table.splitlines()}) == 1, table
            assert len(table.splitlines()) == 4


def a_release_of(path: Path, folder: Path, task: str):
    """A manifest whose first artifact is a real one, which lies in the folder."""
    (folder / path.name).symlink_to(path)
    artifact = an_artifact(file=a_file(path.name), contract=Session(path).contract, parity=())
    return a_manifest(artifacts=(artifact,), task=task)


def run_sketch(manifest, picture, folder, monkeypatch):
    """Runs the card's Python beside its picture; returns its variables."""
    (code,) = re.findall(r"```python\n(.*?)```", model_card(manifest), re.DOTALL)
    # Without loss, so that decoders cannot differ; programs go by the content, not by the name.
    (folder / "picture.jpg").write_bytes(cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes())
    monkeypatch.chdir(folder)
    variables: dict[str, object] = {}
    exec(code, variables)  # noqa: S102  -- it is what the card tells people to run
    return variables


@pytest.mark.parametrize("kind", ["artifacts", "floats", "bytes"])
@pytest.mark.parametrize(
    ("name", "task"), [("mobilenet-v2", "classify"), ("ssdlite-coco", "detect"), ("deeplabv3-voc", "segment")]
)
def test_the_python_of_the_card_prepares_pictures_as_the_program_does(
    name, task, kind, artifacts, byte_artifacts, photos, tmp_path, monkeypatch, capsys
):
    path = artifacts[name] if kind == "artifacts" else getattr(byte_artifacts[name], kind)
    manifest = a_release_of(path, tmp_path, task)
    picture = read(photos["chelsea.png"])
    variables = run_sketch(manifest, picture, tmp_path, monkeypatch)
    session, contract = Session(path), manifest.artifacts[0].contract
    expected = prepare(picture, contract.input, contract.preprocessing)
    assert variables["batch"].dtype == expected.dtype
    grey_levels = np.abs(variables["batch"].astype(np.float64) - expected) * max(contract.preprocessing.std)
    assert grey_levels.max() < 1.1  # PIL's rounding and ours differ by one
    assert (grey_levels > 0.01).mean() < 0.02
    outputs = session.run(expected)
    for ours, theirs in zip(outputs, variables["outputs"], strict=True):
        assert np.abs(ours - theirs).max() < 0.02 * np.ptp(ours)
    said = capsys.readouterr().out
    if task == "classify":
        best = int(np.argmax(outputs[0]))
        assert said.splitlines()[-1].startswith(f"[{contract.labels[best].name!r}, ")


def test_masks_are_said_to_be_upsampled_as_the_contract_has_it():
    for align, words in ((True, "corners aligned"), (False, "half-pixel centres")):
        contract = dataclasses.replace(a_contract(), decoding=SegmentationDecoding(align_corners=align))
        assert words in body(a_manifest(task="segment", artifacts=(an_artifact(contract=contract),)))
