"""A release beside the one before it: what changed is shown, what is too much worse fails."""

from __future__ import annotations

import dataclasses
import json

import pytest
from manifests import DATASET, DIGEST, a_manifest, a_quantized_artifact, an_artifact

from mnv2deploy.artifacts.baseline import compare_releases
from mnv2deploy.artifacts.baseline_rows import HEADER
from mnv2deploy.artifacts.manifest import PictureSet, Weights
from mnv2deploy.artifacts.recipes import BaselineOptions

NO_LIMITS = BaselineOptions()
OTHER = "f" * 64
OTHER_SET = PictureSet(name="others", pictures=500, sha256=OTHER)


def with_int8(**parts):
    """The manifest with fields of parts of its eight-bit artifact changed: ``file={"size": 1}``; None takes one out."""
    artifact = a_quantized_artifact()
    changed = {
        name: None if values is None else dataclasses.replace(getattr(artifact, name), **values)
        for name, values in parts.items()
    }
    return a_manifest(artifacts=(an_artifact(), dataclasses.replace(artifact, **changed)))


def find(comparison, artifact, what):
    (row,) = [row for row in comparison.rows if (row.artifact, row.what) == (artifact, what)]
    return row


def test_the_same_release_twice_has_nothing_but_its_measurements():
    limits = BaselineOptions(max_size_growth=0, max_drop=0, max_slowdown=0)
    comparison = compare_releases(a_manifest(), a_manifest(), limits)
    assert comparison.failures == ()
    assert comparison.to_rows() == [
        ["fp32", "size", "14.00 MB", "14.00 MB", "+0.00 %", ""],
        ["fp32", "top_1", "85.00 %", "85.00 %", "+0.00 points", ""],
        ["int8", "size", "3.60 MB", "3.60 MB", "+0.00 %", ""],
        ["int8", "top_1", "84.80 %", "84.80 %", "+0.00 points", ""],
        ["int8", "speed-up", "2.50 times", "2.50 times", "+0.00 %", ""],
    ]
    assert {len(row) for row in comparison.to_rows()} == {len(HEADER)}


@pytest.mark.parametrize(
    ("change", "limit", "what", "amount", "sentence"),
    [
        ({"file": {"size": 3_960_000}}, "max_size_growth", "size", 10, "int8 grew by 10.00 %"),
        ({"accuracy": {"value": 0.748}}, "max_drop", "top_1", -10, "int8 lost 10.00 points of top_1"),
        ({"speed": {"speedup": 2.25}}, "max_slowdown", "speed-up", -10, "int8 lost 10.00 % of its speed-up"),
    ],
)
def test_a_limit_holds_up_to_itself_and_no_further(change, limit, what, amount, sentence):
    new = with_int8(**change)
    kept = compare_releases(a_manifest(), new, BaselineOptions(**{limit: 10.0}))
    assert kept.failures == ()
    assert find(kept, "int8", what).change == pytest.approx(amount)
    (failure,) = compare_releases(a_manifest(), new, BaselineOptions(**{limit: 9.99})).failures
    assert failure.startswith(sentence)
    assert failure.endswith(f"and {limit} allows 9.99.")
    others = {name: 0.0 for name in ("max_size_growth", "max_drop", "max_slowdown") if name != limit}
    assert compare_releases(a_manifest(), new, BaselineOptions(**others)).failures == ()
    # the other way round it got better
    assert compare_releases(new, a_manifest(), BaselineOptions(**{limit: 0.0})).failures == ()


def test_where_one_has_no_accuracy_the_agreements_are_compared():
    new = with_int8(accuracy=None, agreement={"share": 0.9})
    comparison = compare_releases(a_manifest(), new, BaselineOptions(max_drop=4.9))
    row = find(comparison, "int8", "agreement")
    assert (row.before, row.after, row.change) == (0.95, 0.9, pytest.approx(-5))
    assert comparison.failures == ("int8 lost 5.00 points of agreement, and max_drop allows 4.9.",)


@pytest.mark.parametrize(
    ("new", "what", "note"),
    [
        (with_int8(accuracy={"dataset": OTHER_SET}), "top_1", "measured on other pictures"),
        (with_int8(accuracy={"metric": "AP"}), "top_1", "measured as AP now"),
        (with_int8(accuracy=None, agreement={"pictures": OTHER_SET}), "agreement", "measured on other pictures"),
        (
            with_int8(accuracy=None, agreement={"against": "other"}),
            "agreement",
            "measured as pictures with the same first class, against other now",
        ),
        (with_int8(accuracy=None, agreement=None), "top_1", "not measured any more"),
    ],
)
def test_what_cannot_be_compared_has_a_note_and_fails_a_limit(new, what, note):
    row = find(compare_releases(a_manifest(), new, NO_LIMITS), "int8", what)
    assert (row.change, row.note) == (None, note)
    (failure,) = compare_releases(a_manifest(), new, BaselineOptions(max_drop=99)).failures
    assert failure == f"int8: max_drop cannot be told, because {what} was {note}."


def test_a_speed_that_is_not_measured_any_more_fails_its_limit_and_one_that_was_never_does_not():
    without = with_int8(speed=None)
    (failure,) = compare_releases(a_manifest(), without, BaselineOptions(max_slowdown=50)).failures
    assert failure == "int8: max_slowdown cannot be told, because speed-up was not measured any more."
    comparison = compare_releases(without, a_manifest(), BaselineOptions(max_slowdown=50, max_drop=0))
    assert comparison.failures == ()
    assert find(comparison, "int8", "speed-up").note == "not measured before"
    nothing = with_int8(speed=None, accuracy=None, agreement=None)
    for new in (nothing, a_manifest()):
        assert compare_releases(nothing, new, BaselineOptions(max_slowdown=0, max_drop=0)).failures == ()
    assert find(compare_releases(nothing, a_manifest(), NO_LIMITS), "int8", "top_1").note == "not measured before"


def test_another_machine_and_a_busy_one_are_noted():
    new = with_int8(speed={"machine": "Other CPU", "disturbed": True})
    note = find(compare_releases(a_manifest(), new, NO_LIMITS), "int8", "speed-up").note
    assert note == (
        "on another machine (Other CPU, before Some CPU <2 of 4>); other programs had the processors meanwhile"
    )


def test_artifacts_come_and_go_and_only_going_fails():
    one = a_manifest(artifacts=(an_artifact(),))
    for limits in ({"max_size_growth": 1.0}, {"max_drop": 0.0}, {"max_slowdown": 0.0}):
        comparison = compare_releases(a_manifest(), one, BaselineOptions(**limits))
        assert comparison.failures == ("int8 is not in the release any more.",)
    assert compare_releases(a_manifest(), one, NO_LIMITS).failures == ()
    assert comparison.to_rows()[-1] == ["int8", "artifact", "small-int8.onnx", "-", "", "removed"]
    comparison = compare_releases(one, a_manifest(), BaselineOptions(max_size_growth=0.0))
    assert comparison.failures == ()
    assert comparison.to_rows()[-1] == ["int8", "artifact", "-", "small-int8.onnx", "", "added"]


def test_other_bytes_weights_calibration_and_tools_are_shown():
    new = dataclasses.replace(
        with_int8(file={"sha256": OTHER}),
        weights=Weights(source="elsewhere", licence="MIT", files=(("weights.pth", OTHER),)),
        calibration=OTHER_SET,
        tools=(("mnv2deploy", "0.1.0"), ("onnx", "1.24.0"), ("onnxsim", "0.4")),
        title="Another",
    )
    comparison = compare_releases(a_manifest(), new, NO_LIMITS)
    changed = [row for row in comparison.to_rows() if row[1] not in ("size", "top_1", "speed-up")]
    assert changed == [
        ["-", "model", "MobileNetV2 for <tests>", "Another", "", ""],
        ["-", "weights", "0123456789ab...", "ffffffffffff...", "", ""],
        ["-", "calibration", "0123456789ab...", "ffffffffffff...", "", ""],
        ["-", "onnx", "1.23.2", "1.24.0", "", ""],
        ["-", "onnxsim", "-", "0.4", "", ""],
        ["-", "torch", "2.13.0", "-", "", ""],
        ["int8", "sha256", "0123456789ab...", "ffffffffffff...", "", ""],
    ]
    assert find(comparison, "", "weights").before == f"{DIGEST} weights.pth"


def test_the_document_is_json_and_has_all_of_it():
    new = with_int8(accuracy={"dataset": dataclasses.replace(DATASET, sha256=OTHER)}, file={"size": 7_200_000})
    comparison = compare_releases(a_manifest(), new, BaselineOptions(max_size_growth=5))
    document = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    assert document["failures"] == list(comparison.failures) == ["int8 grew by 100.00 %, and max_size_growth allows 5."]
    assert {
        "artifact": "int8",
        "what": "size",
        "before": 3_600_000,
        "after": 7_200_000,
        "change": 100.0,
        "note": "",
    } in document["rows"]
    assert len(document["rows"]) == len(comparison.to_rows())
