"""Whether a quantized artifact is worth shipping: size, answers, speed, and what a person and a gate make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mnv2deploy.evaluation.bootstrap import Interval
from mnv2deploy.quantization.agreement import AnswerComparison
from mnv2deploy.quantization.comparison import LayerComparison

# Less is no reason to change what is deployed: two runs of one file differ by 1 or 2 %.
_LEAST_SPEEDUP = 1.05
# Percentage points, where no --max-drop says what may be lost: of a metric, and of answers, of which most that change
# were wrong or doubtful before.
_MOST_METRIC_DROP, _MOST_ANSWER_DROP = 2.0, 10.0
# Of fewer pictures the agreement says little: one answer of 20 is 5 points.
_LEAST_PICTURES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Bytes of the two files."""

    float_bytes: int
    quantized_bytes: int

    @property
    def ratio(self) -> float:
        """How many times smaller."""
        return self.float_bytes / self.quantized_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """The first metric of a labelled set, as a fraction of 1.

    Attributes:
        name: As `mnv2deploy evaluate --json` has it.
        pictures: That were measured.
        float_value: Of the float network.
        quantized_value: Of the quantized one.
        difference: The second less the first.
        interval: 95 % of the difference; None of too few pictures.
        certain: Whether the interval leaves out 0; None without one.
    """

    name: str
    pictures: int
    float_value: float
    quantized_value: float
    difference: float
    interval: Interval | None
    certain: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """The networks alone, one picture, one thread, taking turns.

    Attributes:
        float_ms: Median milliseconds of a run.
        quantized_ms: Likewise.
        speedup: How many times as fast: the median of the rounds.
        quartiles: Of the rounds.
        machine: On which, in words.
        disturbed: Whether other programs had the processors meanwhile; None where the system does not tell.
    """

    float_ms: float
    quantized_ms: float
    speedup: float
    quartiles: tuple[float, float]
    machine: str
    disturbed: bool | None

    @property
    def is_gain(self) -> bool:
        """Whether it is faster, beyond what measuring leaves open."""
        return self.speedup >= _LEAST_SPEEDUP and self.quartiles[0] > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All that was measured.

    Attributes:
        size: Of the files.
        answers: On pictures it was not calibrated with.
        metric: On labelled ones; None where there were none.
        speed: On this machine.
        layers: Every layer, in the order of execution.
    """

    size: Size
    answers: AnswerComparison
    metric: Metric | None
    speed: Speed
    layers: tuple[LayerComparison, ...]

    @property
    def drop(self) -> float:
        """Percentage points lost: of the metric where there is one, else of the agreement, which float has 100 of."""
        if self.metric is not None:
            return -100 * self.metric.difference
        return 100 - 100 * self.answers.agreement

    @property
    def dropped(self) -> str:
        """What `drop` is of."""
        return "agreement with float32" if self.metric is None else metric_name(self.metric.name)


def judge(verdict: Verdict, max_drop: float | None, min_speedup: float | None) -> list[str]:
    """Which gates it fails, a sentence each.

    Args:
        verdict: What was measured.
        max_drop: Percentage points that may be lost, see `Verdict.drop`; None asks nothing.
        min_speedup: How many times as fast as float32 it must be; None asks nothing.
    """
    failures = []
    if max_drop is not None and too_few(verdict):
        failures.append(
            f"Only {verdict.answers.pictures} pictures were compared, too few for --max-drop; give {_LEAST_PICTURES} "
            "or more with --verify, or labelled ones with --eval."
        )
    if max_drop is not None and not verdict.drop <= max_drop + 1e-9:
        points = f"{verdict.drop:.2f} points"
        failures.append(f"The {verdict.dropped} lost {points}, more than the {max_drop:g} of --max-drop.")
    if min_speedup is not None and not verdict.speed.speedup >= min_speedup:
        speed = f"{verdict.speed.speedup:.2f} times as fast as float32"
        failures.append(f"It is {speed} on this CPU, less than the {min_speedup:g} of --min-speedup.")
    return failures


def is_worth_shipping(verdict: Verdict, failures: Sequence[str] = ()) -> bool:
    """Whether it loses little, and is smaller or faster; ``failures`` are those of `judge`."""
    return (
        not failures
        and not too_few(verdict)
        and not _loses_much(verdict)
        and (verdict.speed.is_gain or verdict.size.ratio > 1)
    )


def conclusion(verdict: Verdict, failures: Sequence[str] = ()) -> str:
    """Whether it is worth shipping and why, in a sentence.

    Args:
        verdict: What was measured.
        failures: What `judge` found.
    """
    speed = verdict.speed
    size = f"{megabytes(verdict.size.quantized_bytes)} MB instead of {megabytes(verdict.size.float_bytes)}"
    slow = (
        f"int8 is not faster than float32 on this CPU ({speed.quantized_ms:.2f} ms against {speed.float_ms:.2f}, "
        f"{speed.speedup:.2f} times as fast)"
    )
    if failures:
        said = "; ".join(failure[0].lower() + failure[1:].rstrip(".") for failure in failures)
        # A gate may be about answers alone: that there is no gain is said all the same.
        return f"Not worth shipping: {said}" + ("." if speed.is_gain else f"; {slow}.")
    if too_few(verdict):
        return (
            f"Not worth shipping yet: {verdict.answers.pictures} pictures are too few to tell what it answers; give "
            f"{_LEAST_PICTURES} or more with --verify, or labelled ones with --eval."
        )
    if _loses_much(verdict):
        return f"Not worth shipping: only {_answers(verdict)}" + ("." if speed.is_gain else f"; {slow}.")
    if speed.is_gain:
        times = f"{speed.speedup:.1f} times as fast"
        if speed.disturbed:
            times = f"faster (measured {times}, while other programs were busy)"
        return f"Worth shipping: {size}, {times}, {_answers(verdict)}."
    if verdict.size.ratio > 1:
        return f"Worth shipping for its size alone: {slow}; it has {size}, {_answers(verdict)}."
    return f"Not worth shipping: {slow}, and it has {size}."


def too_few(verdict: Verdict) -> bool:
    """Whether it was measured on too few pictures to say anything."""
    return verdict.metric is None and verdict.answers.pictures < _LEAST_PICTURES


def _loses_much(verdict: Verdict) -> bool:
    """Whether it loses more than anybody would accept unasked."""
    if verdict.metric is None:
        return verdict.drop > _MOST_ANSWER_DROP
    return verdict.drop > _MOST_METRIC_DROP


def _answers(verdict: Verdict) -> str:
    if (metric := verdict.metric) is not None:
        unclear = ", which these pictures cannot tell apart" if metric.certain is False else ""
        return (
            f"{100 * metric.quantized_value:.1f} % {metric_name(metric.name)} instead of "
            f"{100 * metric.float_value:.1f}{unclear}"
        )
    what = {"classify": "answers", "detect": "detections", "segment": "pixels"}[verdict.answers.task]
    return f"{100 * verdict.answers.agreement:.1f} % of the {what} the same"


def megabytes(size: int) -> str:
    """In 10^6 bytes."""
    return f"{size / 1e6:.1f}"


def metric_name(name: str) -> str:
    """What people call it."""
    return {"top_1": "top-1", "mean_iou": "mIoU"}.get(name, name)
