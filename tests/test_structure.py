"""Dataclasses out of parsed data: what is taken, what is refused, and where the message says it stands."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnv2deploy.structure import StructureError, build


@dataclass(frozen=True)
class Leaf:
    size: int
    name: str = "leaf"


@dataclass(frozen=True)
class Tree:
    height: float
    alive: bool
    kind: Literal["oak", "fir"]
    pair: tuple[int, int] = (0, 0)
    leaves: tuple[Leaf, ...] = ()
    note: str | None = None
    best: Leaf | None = None
    tags: tuple[str, ...] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class Moss:
    kind: Literal["moss"] = "moss"
    wet: bool


@dataclass(frozen=True, kw_only=True)
class Fern:
    kind: Literal["fern", "bracken"]
    leaf: Leaf


@dataclass(frozen=True)
class Floor:
    cover: Moss | Fern
    more: Moss | Fern | None = None


GOOD: dict[str, Any] = {"height": 2.5, "alive": True, "kind": "oak"}


def test_fields_with_defaults_may_be_left_out() -> None:
    assert build(Tree, GOOD) == Tree(2.5, True, "oak")


def test_lists_become_tuples_and_tables_dataclasses() -> None:
    table = {**GOOD, "pair": [3, 4], "leaves": [{"size": 1}, {"size": 2, "name": "big"}], "best": {"size": 9}}
    assert build(Tree, table) == Tree(2.5, True, "oak", (3, 4), (Leaf(1), Leaf(2, "big")), None, Leaf(9))


def test_integer_is_taken_for_a_float_and_becomes_one() -> None:
    height = build(Tree, {**GOOD, "height": 3}).height
    assert (height, type(height)) == (3.0, float)


@pytest.mark.parametrize("note", [None, "hollow"])
def test_optional_field_takes_none_or_its_type(note: str | None) -> None:
    assert build(Tree, {**GOOD, "note": note}).note == note


def test_dataclass_made_already_is_taken_as_it_is() -> None:
    leaf = Leaf(5)
    assert build(Tree, {**GOOD, "leaves": [leaf]}).leaves[0] is leaf


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hieght": 1}, "unknown key hieght"),
        ({"b": 1, "a": 2}, "unknown key a, b"),
        ({"height": "tall"}, "height should be float, not 'tall'"),
        ({"height": True}, "height should be float, not True"),
        ({"height": None}, "height should be float, not None"),
        ({"height": math.inf}, "height should be a finite number"),
        ({"height": math.nan}, "height should be a finite number"),
        ({"height": -(10**400)}, "height should be a finite number"),
        ({"alive": 1}, "alive should be bool, not 1"),
        ({"kind": "elm"}, "kind should be one of oak, fir, not 'elm'"),
        ({"kind": ["oak"]}, "kind should be one of oak, fir"),
        ({"pair": [1]}, "pair should have 2 entries, not 1"),
        ({"pair": [1, 2, 3]}, "pair should have 2 entries, not 3"),
        ({"pair": [1, 2.0]}, r"pair\[1\] should be int, not 2.0"),
        ({"pair": (1, 2)}, "pair should be a list"),
        ({"pair": "12"}, "pair should be a list, not '12'"),
        ({"leaves": {"size": 1}}, "leaves should be a list"),
        ({"leaves": [{"size": 1}, 5]}, r"leaves\[1\] should be a table, not 5"),
        ({"leaves": [{"size": 1}, {}]}, r"no size in leaves\[1\]"),
        ({"leaves": [{"size": 1, "colour": 2}]}, r"unknown key colour in leaves\[0\]"),
        ({"leaves": [{"size": True}]}, r"leaves\[0\].size should be int, not True"),
        ({"note": 5}, "note should be str, not 5"),
        ({"best": {"size": "x"}}, "best.size should be int, not 'x'"),
        ({"best": []}, r"best should be a table, not \[\]"),
        ({"tags": ["a", None]}, r"tags\[1\] should be str, not None"),
    ],
)
def test_mistake_is_said_with_its_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        build(Tree, {**GOOD, **changes})


@dataclass(frozen=True)
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("it is odd")


@dataclass(frozen=True)
class Place:
    tree: Tree
    floor: Floor
    even: Even = Even(0)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"x": 1}, "x"),
        ({"tree": {**GOOD, "b": 1, "a": 2}}, "tree.a"),
        ({"tree": {"height": 1}}, "tree"),
        ({"tree": 5}, "tree"),
        ({"tree": {**GOOD, "kind": "elm"}}, "tree.kind"),
        ({"tree": {**GOOD, "alive": 1}}, "tree.alive"),
        ({"tree": {**GOOD, "height": math.inf}}, "tree.height"),
        ({"tree": {**GOOD, "pair": [1]}}, "tree.pair"),
        ({"tree": {**GOOD, "pair": 1}}, "tree.pair"),
        ({"tree": {**GOOD, "leaves": [{"size": 1}, {"size": "x"}]}}, "tree.leaves[1].size"),
        ({"floor": {"cover": 5}}, "floor.cover"),
        ({"floor": {"cover": {"kind": "grass"}}}, "floor.cover.kind"),
        ({"floor": {"cover": {"kind": "moss"}}}, "floor.cover"),
        ({"even": {"number": 3}}, "even"),
    ],
)
def test_the_place_of_a_mistake_is_known_to_programs_too(change: dict[str, Any], path: str) -> None:
    good = {"tree": GOOD, "floor": {"cover": {"wet": True}}}
    assert build(Place, good).even == Even(0)
    with pytest.raises(StructureError) as caught:
        build(Place, {**good, **change})
    assert caught.value.path == path


@pytest.mark.parametrize("key", GOOD)
def test_missing_key_is_named(key: str) -> None:
    with pytest.raises(ValueError, match=f"^no {key}$"):
        build(Tree, {name: value for name, value in GOOD.items() if name != key})


@pytest.mark.parametrize("value", [None, [], "tree", 5])
def test_what_is_no_table_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="the whole should be a table"):
        build(Tree, value)
    with pytest.raises(ValueError, match="garden should be a table"):
        build(Tree, value, "garden")


def test_place_starts_where_it_is_told_to() -> None:
    with pytest.raises(ValueError, match=r"^garden\.leaves\[0\]\.size should be int"):
        build(Tree, {**GOOD, "leaves": [{"size": None}]}, "garden")


@pytest.mark.parametrize(
    ("cover", "built"),
    [
        ({"kind": "moss", "wet": True}, Moss(wet=True)),
        ({"wet": False, "kind": "moss"}, Moss(wet=False)),  # the tag may stand anywhere
        ({"wet": True}, Moss(wet=True)),  # the one of them that has a default for its tag
        ({"kind": "fern", "leaf": {"size": 3}}, Fern(kind="fern", leaf=Leaf(3))),
        ({"kind": "bracken", "leaf": {"size": 4}}, Fern(kind="bracken", leaf=Leaf(4))),
        (Moss(wet=True), Moss(wet=True)),
    ],
)
def test_tag_says_which_of_several_dataclasses_it_is(cover: Any, built: Moss | Fern) -> None:
    assert build(Floor, {"cover": cover}) == Floor(built)
    assert build(Floor, {"cover": cover, "more": cover}).more == built
    assert build(Floor, {"cover": cover, "more": None}).more is None


@pytest.mark.parametrize(
    ("cover", "message"),
    [
        ({"kind": "grass"}, "cover.kind should be one of moss, fern, bracken, not 'grass'"),
        ({"kind": None, "wet": True}, "cover.kind should be one of moss, fern, bracken, not None"),
        ({"leaf": {"size": 3}}, "unknown key leaf in cover"),  # without a tag it is the one that has a default for it
        ({"kind": ["moss"], "wet": True}, r"cover.kind should be one of moss, fern, bracken, not \['moss'\]"),
        ({"kind": {}}, "cover.kind should be one of moss, fern, bracken, not {}"),
        ({"kind": "moss"}, "no wet in cover"),
        ({"kind": "moss", "wet": True, "leaf": {"size": 3}}, "unknown key leaf in cover"),
        ({"kind": "fern", "leaf": {"size": "3"}}, "cover.leaf.size should be int, not '3'"),
        ("moss", "cover should be a table, not 'moss'"),
        ([], r"cover should be a table, not \[\]"),
        (None, "cover should be a table, not None"),
    ],
)
def test_mistake_in_one_of_several_dataclasses_is_said(cover: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        build(Floor, {"cover": cover})


@dataclass(frozen=True, kw_only=True)
class Ivy:
    kind: Literal["ivy"] = "ivy"


@dataclass(frozen=True)
class Wall:
    cover: Moss | Ivy


def test_tag_that_two_of_them_have_a_default_for_has_to_be_said() -> None:
    assert build(Wall, {"cover": {"kind": "ivy"}}).cover == Ivy()
    with pytest.raises(ValueError, match="cover.kind should be one of moss, ivy, not None"):
        build(Wall, {"cover": {}})


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["size", "name", "x"]), inner),
    max_leaves=5,
)


# The first text that is drawn takes a second or more on a busy machine: Hypothesis lists all of Unicode.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["kind", "wet", "leaf"]), ANY | st.sampled_from(["moss", "fern", True])))
def test_any_table_is_one_of_several_dataclasses_or_a_value_error(cover: dict[str, Any]) -> None:
    try:
        built = build(Floor, {"cover": cover}).cover
    except ValueError:
        return
    assert built.kind == cover.get("kind", "moss")
    assert type(built) is (Moss if built.kind == "moss" else Fern)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*Tree.__dataclass_fields__, "x"]), ANY))
def test_any_data_is_built_or_a_value_error(data: dict[str, Any]) -> None:
    try:
        tree = build(Tree, {**GOOD, **data})
    except ValueError:
        return
    assert type(tree.height) is float
    assert math.isfinite(tree.height)
    assert type(tree.alive) is bool
    assert tree.kind in ("oak", "fir")
    assert [type(side) for side in tree.pair] == [int, int]
    assert all(type(leaf) is Leaf and type(leaf.size) is int and type(leaf.name) is str for leaf in tree.leaves)
    assert tree.note is None or type(tree.note) is str
    assert all(type(tag) is str for tag in tree.tags)
