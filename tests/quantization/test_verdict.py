"""What is said of a quantized artifact, and when a gate fails."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from verdicts import METRIC, a_verdict

from mnv2deploy.benchmark.measure import Samples
from mnv2deploy.evaluation.measuring import Difference, Evaluation, Measurement
from mnv2deploy.quantization import verdict_measurement
from mnv2deploy.quantization.verdict import Size, conclusion, is_worth_shipping, judge
from mnv2deploy.quantization.verdict_document import to_document, to_rows
from mnv2deploy.quantization.verdict_measurement import measure_size, measure_speed, read_metric


@pytest.mark.parametrize(
    ("verdict", "max_drop", "min_speedup", "said"),
    [
        (a_verdict(), None, None, []),
        (a_verdict(), 2.2, 2.4, []),  # just so
        (a_verdict(), 2.1, None, ["agreement with float32 lost 2.20 points, more than the 2.1 of --max-drop"]),
        (a_verdict(), None, 2.5, ["2.40 times as fast as float32 on this CPU, less than the 2.5 of --min-speedup"]),
        (a_verdict(), 0, 9, ["--max-drop", "--min-speedup"]),
        (a_verdict(metric=METRIC), 0.7, None, []),  # with a metric, the agreement is not asked
        (a_verdict(metric=METRIC, agreement=0.1), 1, None, []),
        (a_verdict(metric=METRIC), 0.5, None, ["top-1 lost 0.70 points, more than the 0.5 of --max-drop"]),
        (a_verdict(metric=dataclasses.replace(METRIC, difference=0.01)), 0, None, []),  # a gain is no drop
        (a_verdict(pictures=19), 5, None, ["19 pictures were compared, too few for --max-drop"]),
        (a_verdict(speedup=float("nan")), None, 1, ["--min-speedup"]),  # what is no number passes no gate
        (a_verdict(agreement=float("nan")), 1, None, ["--max-drop"]),
    ],
)
def test_gates_fail_with_a_sentence_each(verdict, max_drop, min_speedup, said):
    failures = judge(verdict, max_drop, min_speedup)
    assert len(failures) == len(said)
    for failure, part in zip(failures, said, strict=True):
        assert part in failure
        assert failure[0].isupper()
        assert failure.endswith(".")


@pytest.mark.parametrize(
    ("verdict", "worth", "said"),
    [
        (
            a_verdict(),
            True,
            "Worth shipping: 3.6 MB instead of 14.0, 2.4 times as fast, 97.8 % of the answers the same.",
        ),
        (a_verdict(metric=METRIC), True, "84.3 % top-1 instead of 85.0, which these pictures cannot tell apart."),
        (
            a_verdict(speedup=0.8),
            True,
            "Worth shipping for its size alone: int8 is not faster than float32 on this CPU (15.00 ms against 12.00, "
            "0.80 times as fast); it has 3.6 MB instead of 14.0, 97.8 % of the answers the same.",
        ),
        (a_verdict(speedup=1.04), True, "int8 is not faster than float32 on this CPU"),
        (a_verdict(speedup=1.055), True, "int8 is not faster"),  # the lower quartile is slower
        (a_verdict(pictures=19), False, "19 pictures are too few"),
        (a_verdict(agreement=0.89), False, "Not worth shipping: only 89.0 % of the answers the same."),
        (a_verdict(agreement=0.89, speedup=0.9), False, "int8 is not faster than float32 on this CPU"),
        (
            a_verdict(metric=dataclasses.replace(METRIC, quantized_value=0.82, difference=-0.03, certain=True)),
            False,
            "Not worth shipping: only 82.0 % top-1 instead of 85.0.",
        ),
        (
            a_verdict(speedup=0.9, size=Size(float_bytes=10**6, quantized_bytes=2 * 10**6)),
            False,
            "and it has 2.0 MB instead of 1.0.",
        ),
    ],
)
def test_the_conclusion_says_whether_and_why(verdict, worth, said):
    assert is_worth_shipping(verdict) == worth
    text = conclusion(verdict)
    assert said in text
    assert text.startswith("Worth" if worth else "Not worth")


def test_a_failed_gate_ends_the_matter_and_no_gain_is_said_all_the_same():
    verdict = a_verdict(speedup=0.8)
    failures = judge(verdict, 1, None)
    assert not is_worth_shipping(verdict, failures)
    assert conclusion(verdict, failures).startswith("Not worth shipping: the agreement with float32 lost 2.20 points")
    assert "int8 is not faster than float32 on this CPU" in conclusion(verdict, failures)


def test_the_document_is_json_with_every_number():
    verdict = a_verdict(metric=METRIC)
    document = json.loads(json.dumps(to_document(verdict, ["Bad."]), allow_nan=False))
    assert document["size"] == {"float_bytes": 14043391, "quantized_bytes": 3600000, "ratio": 14043391 / 3600000}
    assert document["answers"]["sqnr_db"] == {"class_logits": 19.3456, "exact & <same>": None}
    assert document["metric"] == {**dataclasses.asdict(METRIC), "interval": [-0.016, 0.002]}
    assert document["speed"]["quartiles"] == [2.34, 2.46]
    assert document["speed"]["threads"] == 1
    assert document["failed_gates"] == ["Bad."]
    assert document["worth_shipping"] is False
    first, second = document["layers"][1:3]
    assert (first["sqnr_db"], first["float_range"], first["covered_range"]) == (8.06, [-12.5, 9.75], [-12.5, 8.775])
    assert (second["sqnr_db"], second["covered_range"], second["quantized"]) == (None, None, False)
    assert to_document(a_verdict())["metric"] is None


def test_the_table_shows_what_the_document_holds():
    verdict = a_verdict(metric=METRIC)
    rows = {row[0]: row[1:] for row in to_rows(verdict) if row[0]}
    assert rows["size, MB"] == ("14.0", "3.6", "3.90 times smaller")
    assert rows["top-1, %"] == ("85.00", "84.30", "-0.70 (-1.60 to +0.20, unclear) on 500 pictures")
    assert rows["same classes, %"] == ("", "97.8", "(96.3 to 98.8) on 500 pictures")
    assert rows["SQNR of class_logits, dB"][1] == "19.3"
    assert rows["SQNR of exact & <same>, dB"][1] == "exact"
    assert rows["time, ms, 1 thread"] == ("12.00", "5.00", "2.40 times as fast (2.34 to 2.46)")
    assert rows["least SQNR of layers so far, dB"] == ("", "8.1", "first")
    assert [row[3] for row in to_rows(verdict)[-5:]] == ["first", "third & last", "more 0", "more 1", "more 2"]
    grown = to_rows(a_verdict(size=Size(float_bytes=10, quantized_bytes=25)))
    assert grown[0][3] == "2.50 times larger"


def test_the_document_names_the_pictures_that_differ():
    answers = to_document(a_verdict())["answers"]
    assert answers["interval"] == pytest.approx([0.963, 0.988])
    assert answers["differing"] == [
        {"picture": "a </script>.jpg", "agreement": 0.0},
        {"picture": "b.jpg", "agreement": 0.25},
    ]
    few = a_verdict()
    few = dataclasses.replace(few, answers=dataclasses.replace(few.answers, interval=None))
    assert to_rows(few)[1][3] == "on 500 pictures"


def test_the_metric_is_the_first_of_the_evaluation():
    models = [Measurement([], {"top_1": value, "top_5": 0.9}, {}) for value in (0.75, 0.5)]
    difference = Difference({"top_1": -0.25, "top_5": 0.0}, {"top_1": (-0.4, -0.1)})
    metric = read_metric(Evaluation([None] * 8, models, [difference], []))  # type: ignore[list-item]
    assert (metric.name, metric.pictures, metric.float_value, metric.quantized_value) == ("top_1", 8, 0.75, 0.5)
    assert (metric.difference, metric.interval, metric.certain) == (-0.25, (-0.4, -0.1), True)
    few = read_metric(Evaluation([None] * 8, models, [dataclasses.replace(difference, intervals={})], []))  # type: ignore[list-item]
    assert (few.interval, few.certain) == (None, None)


def test_speed_is_the_ratio_of_rounds_in_which_both_had_a_turn(monkeypatch):
    asked = []

    def measured(configurations, *, seconds, progress):
        asked.extend((one.artifact.name, one.threads, one.batch) for one in configurations)
        times = [[[(0.012,)] * 3, [(0.024,)] * 3, [(0.010,)] * 3], [[(0.006,)] * 3, [(0.006,)] * 3, [(0.010,)] * 3]]
        return [Samples(one, rounds, 0.1, 1, 2) for one, rounds in zip(configurations, times, strict=True)]

    monkeypatch.setattr(verdict_measurement, "measure", measured)
    speed = measure_speed(Path("float.onnx"), Path("int8.onnx"))
    assert asked == [("float.onnx", 1, 1), ("int8.onnx", 1, 1)]
    assert (speed.float_ms, speed.quantized_ms) == (pytest.approx(12), pytest.approx(6))
    assert speed.speedup == pytest.approx(2.0)
    assert speed.quartiles == pytest.approx((1 / 0.75, 1 / 0.375))
    assert "onnxruntime" in speed.machine


def test_both_files_are_timed_and_weighed(artifacts):
    one, other = artifacts["mobilenet-v2"], artifacts["ssdlite-coco"]
    size = measure_size(one, other)
    assert size.ratio == len(one.read_bytes()) / len(other.read_bytes())
    speed = measure_speed(one, one, seconds=0.05)
    assert speed.float_ms > 0 < speed.quantized_ms
    assert speed.quartiles[0] <= speed.speedup <= speed.quartiles[1]
