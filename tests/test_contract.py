"""What travels inside an artifact: it comes back as it went in, or is refused."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import pytest
from byte_inputs import QUANTIZATION
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2deploy.catalog.cards import load_card
from mnv2deploy.contract import VERSION, Contract, Output, Provenance, parse_contract
from mnv2deploy.errors import ModelError
from mnv2deploy.export.artifact import describe

MODELS = ("ssdlite-coco", "mobilenet-v2", "deeplabv3-voc")
PROVENANCE = Provenance(
    model="ssdlite-coco",
    source="npm:somewhere@1.0",
    weights_sha256=(("model.json", "0" * 64), ("group1-shard1of1", "f" * 64)),
    licence="Apache-2.0",
    tools=(("onnx", "1.17.0"), ("torch", "2.13.0")),
    opset=17,
    minimum_onnxruntime="1.18",
)


def contract(name: str, **changes: object) -> Contract:
    return describe(load_card(name), dataclasses.replace(PROVENANCE, model=name, **changes))


Place = tuple[str | int, ...]
CONTRACTS = {name: contract(name) for name in MODELS}


def of_bytes() -> Contract:
    """DeepLab's, quantized, and normalised in the graph."""
    whole = contract("deeplabv3-voc", quantization=QUANTIZATION)
    preprocessing = dataclasses.replace(whole.preprocessing, mean=(0.0,) * 3, std=(1.0,) * 3, pad_value=128.0)
    graph_input = dataclasses.replace(whole.input, layout="NHWC", dtype="uint8")
    return dataclasses.replace(whole, input=graph_input, preprocessing=preprocessing)


CONTRACTS["bytes"] = of_bytes()
# Of the labels a few: a thousand of them are a thousand times the same.
TREES: dict[str, Any] = {
    name: json.loads(dataclasses.replace(whole, labels=whole.labels[:8]).to_json()) for name, whole in CONTRACTS.items()
}
COCO = TREES["ssdlite-coco"]


def places(value: object, at: Place = ()) -> list[Place]:
    """Where everything inside stands, containers included."""
    if not isinstance(value, dict | list):
        return [at]
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    return ([at] if at else []) + [place for key, item in items for place in places(item, (*at, key))]


def at(tree: Any, place: Place) -> Any:
    for step in place:
        tree = tree[step]
    return tree


def changed(tree: Any, place: Place, *value: object) -> str:
    """The contract's text with another value at a place, or with none there."""
    tree = copy.deepcopy(tree)
    inner = at(tree, place[:-1])
    if value:
        (inner[place[-1]],) = value
    else:
        del inner[place[-1]]
    return json.dumps(tree)


PLACES = [(name, place) for name, tree in TREES.items() for place in places(tree)]
# What may be left out: what is None then, and the classifier's numbers, which have a default.
NULLABLE: dict[str, tuple[type, ...]] = {
    "provenance.quantization": (dict,),
    "provenance.quantization.calibration_sha256": (str,),
    "labels.colour": (list,),
    "preprocessing.shorter_side": (int,),
    "preprocessing.pad_value": (int, float),
}
DEFAULTS = {"decoding.top": 5, "decoding.activation": "softmax"}


def field(place: Place) -> str:  # without the numbers of list entries
    return ".".join(step for step in place if isinstance(step, str))


# One place of each key of each contract, the last one.
KEYS = {(name, field(place)): place for name, place in PLACES if isinstance(place[-1], str)}


def may_be_left_out(name: str, place: Place) -> bool:
    is_default = name == "mobilenet-v2" and field(place) in DEFAULTS
    is_none = field(place) in NULLABLE and at(TREES[name], place) is None
    return is_default or is_none or field(place) in ("labels.colour", "provenance.quantization")


REQUIRED = {f"{name}-{key}": (name, place) for (name, key), place in KEYS.items() if not may_be_left_out(name, place)}
OPTIONAL = {f"{name}-{key}": (name, place) for (name, key), place in KEYS.items() if may_be_left_out(name, place)}


@pytest.mark.parametrize("name", CONTRACTS)
def test_contract_comes_back_as_it_went_in(name: str) -> None:
    before = CONTRACTS[name]
    assert before.task == {"s": "detect", "m": "classify", "d": "segment", "b": "segment"}[name[0]]
    after = parse_contract(before.to_json(), "model.onnx")
    assert after == before
    assert hash(after) == hash(before)  # tuples all the way down, no list
    assert after.to_json() == before.to_json()


@given(
    st.sampled_from(MODELS),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3),
    st.text(),
)
def test_numbers_and_names_survive_exactly(model: str, mean: list[float], name: str) -> None:
    whole = CONTRACTS[model]
    labels = (dataclasses.replace(whole.labels[0], name=name),)
    preprocessing = dataclasses.replace(whole.preprocessing, mean=tuple(mean))
    before = dataclasses.replace(whole, labels=labels, preprocessing=preprocessing)
    assert parse_contract(before.to_json(), "model.onnx") == before


@pytest.mark.parametrize("name", MODELS)
def test_same_contract_has_the_same_bytes(name: str) -> None:
    whole = CONTRACTS[name]
    text = whole.to_json()
    assert text == contract(name).to_json()
    assert text.isascii()
    one = dataclasses.replace(whole, labels=whole.labels[:1])
    assert " " not in one.to_json()  # names may have spaces, the layout has none
    tree = json.loads(text)
    assert list(tree) == sorted(tree)
    shuffled = json.dumps(dict(reversed(tree.items())), indent=2)
    assert parse_contract(shuffled, "model.onnx").to_json() == text


def test_contract_carries_what_the_card_says() -> None:
    card = load_card("ssdlite-coco")
    tree = json.loads(CONTRACTS["ssdlite-coco"].to_json())
    assert tree["version"] == VERSION
    assert tree["input"] == {"name": "image", "layout": "NCHW", "dtype": "float32", "height": 300, "width": 300}
    assert tree["preprocessing"]["mean"] == list(card.preprocessing.mean)
    assert len(tree["labels"]) == 80
    assert {"column": 90, "class_id": 90, "name": "toothbrush", "colour": None} in tree["labels"]
    assert tree["decoding"]["task"] == "detect"
    assert tree["decoding"]["coder_scales"] == [10.0, 10.0, 5.0, 5.0]
    assert sum(a["grid"][0] * a["grid"][1] * len(a["sizes"]) for a in tree["decoding"]["anchors"]) == 1917


def test_what_joined_the_format_later_is_written_where_it_is_used() -> None:
    """Programs from before read the artifacts that do without."""
    decoding = json.loads(CONTRACTS["ssdlite-coco"].to_json())["decoding"]
    first = ["activation", "anchors", "coder", "coder_scales", "iou_threshold", "max_detections", "score_threshold"]
    assert sorted(decoding) == [*first, "task"]
    later = {"candidates_per_map": 1000, "clip": "before_nms", "size_ratio_limit": 62.5}
    whole = contract("ssdlite-coco-mmdet")
    written = json.loads(whole.to_json())["decoding"]
    assert {key: written[key] for key in sorted(set(written) - set(decoding))} == later
    assert parse_contract(whole.to_json(), "model.onnx") == whole


def test_contracts_of_other_tasks_carry_what_their_cards_say() -> None:
    classify, segment = (json.loads(CONTRACTS[name].to_json()) for name in MODELS[1:])
    assert classify["decoding"] == {"task": "classify", "activation": "softmax", "top": 5}
    assert (classify["preprocessing"]["resize"], classify["preprocessing"]["shorter_side"]) == ("centre_crop", 256)
    assert len(classify["labels"]) == 1000
    assert segment["decoding"] == {"task": "segment", "align_corners": True}
    assert (segment["preprocessing"]["resize"], segment["preprocessing"]["pad_value"]) == ("pad", 127.5)
    assert {"column": 8, "class_id": 8, "name": "cat", "colour": [64, 0, 0]} in segment["labels"]
    for tree in (classify, segment):
        assert tree["outputs"] == [{"name": "class_logits", "meaning": "class_logits"}]


def test_contract_of_bytes_says_how_it_was_quantized() -> None:
    tree = json.loads(CONTRACTS["bytes"].to_json())
    assert tree["version"] == VERSION
    assert tree["input"] == {"name": "image", "layout": "NHWC", "dtype": "uint8", "height": 513, "width": 513}
    assert tree["provenance"]["quantization"]["calibration_pictures"] == 7
    assert tree["provenance"]["quantization"]["float_layers"] == ["backbone.stem.conv", "classifier"]
    assert dataclasses.replace(CONTRACTS["bytes"].input, height=96).shape == (96, 513, 3)
    assert dataclasses.replace(CONTRACTS["ssdlite-coco"].input, height=96).shape == (3, 96, 300)


@pytest.mark.parametrize("grey", [0, 255, 128.0, None])
def test_bytes_are_padded_with_any_byte_or_not_at_all(grey: float | None) -> None:
    whole, resize = CONTRACTS["bytes"], "stretch" if grey is None else "pad"
    preprocessing = dataclasses.replace(whole.preprocessing, pad_value=grey, resize=resize)
    assert dataclasses.replace(whole, preprocessing=preprocessing).preprocessing.pad_value == grey


@pytest.mark.parametrize("version", [0, 2, VERSION + 1, -1, "1", None, [1], 10**40])
def test_other_version_is_refused_with_both_versions(version: object) -> None:
    with pytest.raises(ModelError) as caught:
        parse_contract(changed(COCO, ("version",), version), "model.onnx")
    assert str(caught.value).startswith(f"model.onnx carries contract version {version} ")
    assert f"understands version {VERSION}" in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "contract",
        "{",
        "[]",
        "3",
        "null",
        '"version"',
        "{}",
        '{"Version": 1}',
        "[" * 200_000,
        '{"version":' * 200_000,
    ],
    ids=lambda text: text[:12],
)
def test_text_that_is_no_contract_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match=r"^model\.onnx carries a contract that cannot be read; export"):
        parse_contract(text, "model.onnx")


@pytest.mark.parametrize(("name", "place"), REQUIRED.values(), ids=REQUIRED)
def test_missing_key_is_refused_by_name(name: str, place: Place) -> None:
    says = f"no {place[-1]}|{place[-1]} (should be one of|belongs to)|cannot be read; export"
    with pytest.raises(ModelError, match=f"model.onnx carries a contract .*({says})"):
        parse_contract(changed(TREES[name], place), "model.onnx")


@pytest.mark.parametrize(("name", "place"), OPTIONAL.values(), ids=OPTIONAL)
def test_what_is_left_out_has_its_default(name: str, place: Place) -> None:
    default = parse_contract(changed(TREES[name], place, DEFAULTS.get(field(place))), "model.onnx")
    assert parse_contract(changed(TREES[name], place), "model.onnx") == default


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(10**300, 10**320) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


def may_stand_for(old: object, new: object, place: Place) -> bool:
    """Whether the new value has the type the old one's field has."""
    if field(place) in NULLABLE and isinstance(place[-1], str):
        return new is None or type(new) in NULLABLE[field(place)]
    if isinstance(old, float):
        return type(new) in (float, int)
    return type(new) is type(old)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(PLACES), JSON)
def test_value_of_a_wrong_type_is_always_a_model_error(model_and_place: tuple[str, Place], value: object) -> None:
    name, place = model_and_place
    text = changed(TREES[name], place, value)
    if may_stand_for(at(TREES[name], place), value, place):
        try:  # a right type may still be a wrong value: another version, an infinity, a list of another length
            assert isinstance(parse_contract(text, "model.onnx"), Contract)
        except ModelError as error:
            assert "model.onnx" in str(error)  # noqa: PT017 - both ends are right
        return
    with pytest.raises(ModelError, match=r"^model\.onnx carries"):
        parse_contract(text, "model.onnx")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MODELS), st.integers(0, 20_000), st.text(max_size=3), st.integers(0, 3))
def test_damaged_text_is_always_a_model_error(name: str, position: int, replacement: str, length: int) -> None:
    text = json.dumps(TREES[name])
    start = position % len(text)
    try:
        assert isinstance(parse_contract(text[:start] + replacement + text[start + length :], "model.onnx"), Contract)
    except ModelError as error:
        assert "model.onnx" in str(error)  # noqa: PT017 - both ends are right


def finished(name: str, *meanings: str) -> Contract:
    outputs = tuple(Output(name=f"out{place}", meaning=meaning) for place, meaning in enumerate(meanings))  # type: ignore[arg-type]
    return dataclasses.replace(CONTRACTS[name], outputs=outputs)


@pytest.mark.parametrize(
    ("name", "meanings"),
    [
        ("mobilenet-v2", ("class_scores", "class_ids")),
        ("ssdlite-coco", ("boxes", "class_scores", "class_ids", "counts")),
        ("deeplabv3-voc", ("mask",)),
        ("bytes", ("mask",)),
    ],
)
def test_contract_of_a_graph_that_decodes_says_so(name: str, meanings: tuple[str, ...]) -> None:
    before = finished(name, *meanings)
    assert (before.finished, CONTRACTS[name].finished) == (True, False)
    after = parse_contract(before.to_json(), "model.onnx")
    assert (after, after.finished) == (before, True)
    # Where nothing decodes, a contract is what it was before there were such graphs.
    keys = set(json.loads(before.to_json()))
    assert keys == set(TREES[name])


@pytest.mark.parametrize(
    ("name", "meanings"),
    [
        ("mobilenet-v2", ("class_ids", "class_scores")),
        ("mobilenet-v2", ("class_scores",)),
        ("mobilenet-v2", ("mask",)),
        ("mobilenet-v2", ("class_logits", "class_ids")),
        ("ssdlite-coco", ("class_scores", "class_ids")),
        ("ssdlite-coco", ("boxes", "class_scores", "class_ids", "counts", "box_encodings")),
        ("deeplabv3-voc", ("mask", "class_logits")),
        ("deeplabv3-voc", ("boxes", "class_scores", "class_ids", "counts")),
    ],
)
def test_outputs_that_are_half_decoded_or_another_tasks_are_refused(name: str, meanings: tuple[str, ...]) -> None:
    task = CONTRACTS[name].task
    with pytest.raises(ValueError, match=f"a finished graph to {task} with puts out "):
        finished(name, *meanings)
