"""What ``mnv2deploy evaluate`` found, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnv2deploy.cli.table import format_table

if TYPE_CHECKING:
    from mnv2deploy.evaluation.bootstrap import Interval
    from mnv2deploy.evaluation.dataset import Dataset
    from mnv2deploy.evaluation.measuring import Difference, Evaluation, Measurement

# What people call them; other metrics are called as in JSON.
_NAMES = {
    "top_1": "top-1",
    "top_5": "top-5",
    "expected_calibration_error": "calibration error",
    "mean_iou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "iou": "IoU",
}


class Report:
    """An evaluation and what it was of.

    Args:
        path: Of the data set, as the person wrote it.
        dataset: With the pictures that were to be measured.
        in_set: How many pictures it has in all.
        models: Name as the person wrote it, and path of each.
        evaluation: What was found.
    """

    def __init__(
        self, path: Path, dataset: Dataset, in_set: int, models: Sequence[tuple[str, Path]], evaluation: Evaluation
    ) -> None:
        self._path = path
        self._dataset = dataset
        self._in_set = in_set
        self._models = models
        self._evaluation = evaluation

    def to_json(self, *, per_class: bool) -> dict[str, Any]:
        """One document; metrics are fractions of 1."""
        import dataclasses

        evaluation = self._evaluation
        return {
            "dataset": {
                "path": str(self._path),
                "format": self._dataset.format,
                "pictures": len(evaluation.items),
                "pictures_in_set": self._in_set,
            },
            "models": [
                {
                    "model": name,
                    "path": str(path),
                    "sha256": _sha256(path),
                    "metrics": dict(measured.metrics),
                    "intervals": {metric: list(ends) for metric, ends in measured.intervals.items()},
                    **(self._dataset.details(measured.records) if per_class else {}),
                }
                for (name, path), measured in zip(self._models, evaluation.models, strict=True)
            ],
            "differences": [
                {
                    "model": name,
                    "baseline": self._models[0][0],
                    "metrics": dict(difference.metrics),
                    "intervals": {metric: list(ends) for metric, ends in difference.intervals.items()},
                    "distinguishable": {metric: difference.is_certain(metric) for metric in difference.intervals},
                }
                for (name, _), difference in zip(self._models[1:], evaluation.differences, strict=True)
            ],
            "failures": [dataclasses.asdict(failure) for failure in evaluation.failures],
        }

    def to_text(self, *, per_class: bool) -> str:
        """Tables; metrics are percent."""
        evaluation, names = self._evaluation, self._short_names()
        who = f"{names[0]} on " if len(names) == 1 else ""
        spaced = f" of {self._in_set}, evenly spaced," if len(self._dataset.items) < self._in_set else ""
        pictures = "1 picture" if len(evaluation.items) == 1 else f"{len(evaluation.items)} pictures"
        parts = [f"{who}{pictures}{spaced} of {self._path} ({self._dataset.format})"]
        parts.append(_comparison_table(names, evaluation) if len(names) > 1 else _table(evaluation.models[0]))
        parts.append(self._explanation())
        if per_class:
            for name, measured in zip(names, evaluation.models, strict=True):
                parts.append(f"{name}, class by class\n{_class_table(self._dataset.details(measured.records))}")
        return "\n\n".join(part for part in parts if part)

    def _explanation(self) -> str:
        """What the table leaves open, and no more than that."""
        from textwrap import fill

        from mnv2deploy.evaluation.bootstrap import LEAST_PICTURES

        evaluation = self._evaluation
        metrics = evaluation.models[0].metrics
        said = []
        if evaluation.differences:
            said.append(f"Differences are to {self._short_names()[0]}, on the same pictures.")
        if any(_rounds_apart(metrics, measured.metrics) for measured in evaluation.models[1:]):
            said.append("They are taken before rounding.")
        if any(
            _verdict(difference, metric) == "unclear" for difference in evaluation.differences for metric in metrics
        ):
            said.append("Where they are unclear, other pictures might as well show none, or the opposite.")
        if len(evaluation.items) < LEAST_PICTURES:
            said.append(f"Fewer than {LEAST_PICTURES} pictures are too few for intervals.")
        else:
            shown = evaluation.differences or evaluation.models
            bare = [_name(metric) for metric in metrics if not any(metric in one.intervals for one in shown)]
            said += [f"No interval is given for {', '.join(bare)}."] if bare else []
        if "expected_calibration_error" in metrics:
            said.append("The calibration error is better the lower it is.")
        return fill(" ".join(said), 80, break_long_words=False, break_on_hyphens=False)

    def _short_names(self) -> list[str]:
        """Files without folder and suffix, unless that makes two the same."""
        short = [Path(name).stem if name.endswith(".onnx") else name for name, _ in self._models]
        return short if len(set(short)) == len(short) else [name for name, _ in self._models]


def _table(measured: Measurement) -> str:
    rows = [
        [_name(metric), _percent(value), _interval(measured.intervals, metric)]
        for metric, value in measured.metrics.items()
    ]
    return format_table(["METRIC", "VALUE", "95 % INTERVAL"], rows, right=[1, 2])


def _comparison_table(names: Sequence[str], evaluation: Evaluation) -> str:
    """Without the models' own intervals, whose overlap says little: the same pictures are hard for all of them."""
    rows = []
    for metric, value in evaluation.models[0].metrics.items():
        rows.append([_name(metric), names[0], _percent(value), "", "", ""])
        for name, measured, difference in zip(names[1:], evaluation.models[1:], evaluation.differences, strict=True):
            rows.append(
                [
                    "",
                    name,
                    _percent(measured.metrics[metric]),
                    _percent(difference.metrics[metric], sign="+"),
                    _interval(difference.intervals, metric, sign="+"),
                    _verdict(difference, metric),
                ]
            )
    return format_table(["METRIC", "MODEL", "VALUE", "DIFFERENCE", "95 % OF DIFFERENCE", ""], rows, right=[2, 3, 4])


def _class_table(details: Mapping[str, Any]) -> str:
    """Every field of the classes: the label first, fractions as percent."""
    classes: list[dict[str, Any]] = details["per_class"]
    fields = [field for field in classes[0] if field != "label"]
    rows = [[one["label"], *(_cell(one[field]) for field in fields)] for one in classes]
    header = ["CLASS", *(_name(field).replace("class_id", "ID") for field in fields)]
    return format_table([name.upper() for name in header], rows, right=range(1, len(header)))


def _verdict(difference: Difference, metric: str) -> str:
    if metric not in difference.intervals:
        return ""
    if not any(difference.intervals[metric]):
        return "same"
    if not difference.is_certain(metric):
        return "unclear"
    return "higher" if difference.metrics[metric] > 0 else "lower"


def _rounds_apart(baseline: Mapping[str, float], metrics: Mapping[str, float]) -> bool:
    """Whether a difference that is shown is not that of the values that are shown."""
    return any(
        round(float(_percent(metrics[name])) - float(_percent(value)), 1) != float(_percent(metrics[name] - value))
        for name, value in baseline.items()
    )


def _name(metric: str) -> str:
    return _NAMES.get(metric, metric)


def _cell(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else _percent(value)


def _percent(value: float, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f}"


def _interval(intervals: Mapping[str, Interval], metric: str, sign: str = "") -> str:
    if metric not in intervals:
        return ""
    low, high = intervals[metric]
    return f"{_percent(low, sign)} to {_percent(high, sign)}"


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
