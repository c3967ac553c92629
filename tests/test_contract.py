"""What travels inside an artifact: it comes back as it went in, or is refused."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2deploy.catalog.cards import load_card
from mnv2deploy.contract import VERSION, Contract, Provenance, parse_contract
from mnv2deploy.errors import ModelError
from mnv2deploy.export.artifact import describe

MODELS = ("ssdlite-coco", "ssdlite-pedestrian")
PROVENANCE = Provenance(
    model="ssdlite-coco",
    source="npm:somewhere@1.0",
    weights_sha256=(("model.json", "0" * 64), ("group1-shard1of1", "f" * 64)),
    licence="Apache-2.0",
    tools=(("onnx", "1.17.0"), ("torch", "2.13.0")),
    opset=17,
    minimum_onnxruntime="1.18",
)


def contract(name: str = "ssdlite-coco", **changes: object) -> Contract:
    return describe(load_card(name), dataclasses.replace(PROVENANCE, **changes))


CONTRACT = contract()
TREE: dict[str, Any] = json.loads(CONTRACT.to_json())
Place = tuple[str | int, ...]


def places(value: object, at: Place = ()) -> list[Place]:
    """Where everything inside stands, containers included."""
    if not isinstance(value, dict | list):
        return [at]
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    return ([at] if at else []) + [place for key, item in items for place in places(item, (*at, key))]


def at(place: Place) -> Any:
    value: Any = TREE
    for step in place:
        value = value[step]
    return value


def changed(place: Place, value: object) -> str:
    tree = copy.deepcopy(TREE)
    inner: Any = tree
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return json.dumps(tree)


PLACES = places(TREE)
# One place of each key, the last one. Quantization alone may be left out, and means float32.
REQUIRED = {place[-1]: place for place in PLACES if isinstance(place[-1], str) and place[-1] != "quantization"}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("quantization", [None, "u8s8"])
def test_contract_comes_back_as_it_went_in(name: str, quantization: str | None) -> None:
    before = contract(name, model=name, quantization=quantization)
    after = parse_contract(before.to_json(), "model.onnx")
    assert after == before
    assert hash(after) == hash(before)  # tuples all the way down, no list
    assert after.to_json() == before.to_json()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), st.text())
def test_numbers_and_names_survive_exactly(mean: list[float], name: str) -> None:
    labels = (dataclasses.replace(CONTRACT.labels[0], name=name),)
    preprocessing = dataclasses.replace(CONTRACT.preprocessing, mean=tuple(mean))
    before = dataclasses.replace(CONTRACT, labels=labels, preprocessing=preprocessing)
    assert parse_contract(before.to_json(), "model.onnx") == before


def test_same_contract_has_the_same_bytes() -> None:
    text = CONTRACT.to_json()
    assert text == contract().to_json()
    assert text.isascii()
    assert " " not in dataclasses.replace(CONTRACT, labels=()).to_json()  # names have spaces, the layout has none
    assert list(TREE) == sorted(TREE)
    shuffled = json.dumps(dict(reversed(TREE.items())), indent=2)
    assert parse_contract(shuffled, "model.onnx").to_json() == text


def test_contract_carries_what_the_card_says() -> None:
    card = load_card("ssdlite-coco")
    assert TREE["version"] == VERSION
    assert TREE["input"] == {"name": "image", "layout": "NCHW", "dtype": "float32", "height": 300, "width": 300}
    assert TREE["preprocessing"]["mean"] == list(card.preprocessing.mean)
    assert len(TREE["labels"]) == 80
    assert {"column": 90, "class_id": 90, "name": "toothbrush"} in TREE["labels"]
    assert TREE["decoding"]["coder_scales"] == [10.0, 10.0, 5.0, 5.0]
    assert sum(a["grid"][0] * a["grid"][1] * len(a["sizes"]) for a in TREE["decoding"]["anchors"]) == 1917


@pytest.mark.parametrize("version", [0, 2, VERSION + 1, -1, "1", None, [1], 10**40])
def test_other_version_is_refused_with_both_versions(version: object) -> None:
    with pytest.raises(ModelError) as caught:
        parse_contract(changed(("version",), version), "model.onnx")
    assert str(caught.value).startswith(f"model.onnx carries contract version {version} ")
    assert f"understands version {VERSION}" in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("version", [True, 1.0])
def test_version_that_only_equals_ours_is_refused(version: object) -> None:
    with pytest.raises(ModelError, match="version should be int"):
        parse_contract(changed(("version",), version), "model.onnx")


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


@pytest.mark.parametrize("place", REQUIRED.values(), ids=REQUIRED)
def test_missing_key_is_refused_by_name(place: Place) -> None:
    tree = copy.deepcopy(TREE)
    inner: Any = tree
    for step in place[:-1]:
        inner = inner[step]
    del inner[place[-1]]
    with pytest.raises(ModelError, match=f"model.onnx .*no {place[-1]}|cannot be read"):
        parse_contract(json.dumps(tree), "model.onnx")


@pytest.mark.parametrize("place", [(), ("input",), ("decoding", "anchors", 2), ("labels", 5), ("provenance",)])
def test_unknown_key_is_refused_by_name_and_place(place: Place) -> None:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
    with pytest.raises(ModelError) as caught:
        parse_contract(changed((*place, "colour_space"), 1), "model.onnx")
    assert f"(unknown key colour_space{f' in {where}' if where else ''})" in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("task",), 5, "task should be str, not 5"),
        (("input", "height"), 300.0, "input.height should be int, not 300.0"),
        (("input", "height"), True, "input.height should be int, not True"),
        (("preprocessing", "mean"), [1, 2], r"preprocessing.mean should have 3 entries, not 2"),
        (("preprocessing", "std", 1), "1", r"preprocessing.std\[1\] should be float, not '1'"),
        (("decoding", "iou_threshold"), True, "decoding.iou_threshold should be float, not True"),
        pytest.param(("decoding", "iou_threshold"), 10**400, "decoding.iou_threshold should be a finite", id="huge"),
        (("decoding", "score_threshold"), float("nan"), "decoding.score_threshold should be a finite number"),
        (("decoding", "anchors", 3, "sizes", 0, 1), None, r"decoding.anchors\[3\].sizes\[0\]\[1\] should be float"),
        (("labels", 7), "person", r"labels\[7\] should be a table, not 'person'"),
        (("outputs",), {}, "outputs should be a list"),
        (("provenance", "quantization"), 8, "provenance.quantization should be str, not 8"),
    ],
)
def test_wrong_value_is_refused_with_its_place(place: Place, value: object, message: str) -> None:
    with pytest.raises(ModelError, match=f"model.onnx carries a damaged contract .{message}"):
        parse_contract(changed(place, value), "model.onnx")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(10**300, 10**320) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


def may_stand_for(old: object, new: object, place: Place) -> bool:
    """Whether the new value has the type the old one's field has."""
    if place == ("provenance", "quantization"):
        return new is None or isinstance(new, str)
    if isinstance(old, float):
        return type(new) in (float, int)
    return type(new) is type(old)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(PLACES), JSON)
def test_value_of_a_wrong_type_is_always_a_model_error(place: Place, value: object) -> None:
    text = changed(place, value)
    if may_stand_for(at(place), value, place):
        try:  # a right type may still be a wrong value: another version, an infinity, a list of another length
            assert isinstance(parse_contract(text, "model.onnx"), Contract)
        except ModelError as error:
            assert "model.onnx" in str(error)  # noqa: PT017 - both ends are right
        return
    with pytest.raises(ModelError, match=r"^model\.onnx carries"):
        parse_contract(text, "model.onnx")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 20_000), st.text(max_size=3), st.integers(0, 3))
def test_damaged_text_is_always_a_model_error(position: int, replacement: str, length: int) -> None:
    text = CONTRACT.to_json()
    start = position % len(text)
    try:
        assert isinstance(parse_contract(text[:start] + replacement + text[start + length :], "model.onnx"), Contract)
    except ModelError as error:
        assert "model.onnx" in str(error)  # noqa: PT017 - both ends are right
