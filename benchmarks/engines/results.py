"""What was measured, and the ratios that follow."""

import dataclasses
import statistics
from dataclasses import dataclass, field

KINDS = ("model", "answer")
SWAP = "swap"


@dataclass(slots=True, kw_only=True)
class Row:
    """One engine's results.

    Attributes:
        engine: Its name.
        description: Version, and what it says of itself.
        error: Of its outputs: `agreement.output_error`.
        same_answers: `agreement.agreement`.
        seconds: Of ``model`` and ``answer``, one entry a round.
        calls: That were timed.
        undisturbed: Of these, the calls that did not have to wait for a processor; only they are counted, where there
            are any.
        idle_share: Of a core, used while others had their turns.
    """

    engine: str
    description: str
    error: float
    same_answers: float
    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    calls: int = 0
    undisturbed: int = 0
    idle_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What was measured beside each other.

    Attributes:
        model: Name or path of the artifact.
        precision: ``float32``, or how it is quantized.
        threads: Of every engine, on so many cores.
        pictures: What was answered.
        rows: Ours first.
        left_out: Why, of every engine that is not among the rows.
    """

    model: str
    precision: str
    threads: int
    pictures: str
    rows: list[Row]
    left_out: dict[str, str]


def times(row: Row, ours: Row, kind: str) -> list[float]:
    """Seconds of every round.

    Args:
        row: The engine's.
        ours: Our own.
        kind: One of `KINDS`, or `SWAP`: our answer with the engine's network in the place of ours, which is our
            answer's time less our model's plus the engine's.
    """
    if kind != SWAP:
        return row.seconds[kind]
    parts = zip(ours.seconds["answer"], ours.seconds["model"], row.seconds["model"], strict=True)
    return [answer - own + theirs for answer, own, theirs in parts]


def ratio(row: Row, ours: Row, kind: str) -> dict[str, float]:
    """Of an engine's `times` to ours, round by round: median and quartiles. Over 1 is slower than ours."""
    against = ours.seconds["answer" if kind == SWAP else kind]
    values = [theirs / own for theirs, own in zip(times(row, ours, kind), against, strict=True)]
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"lower_quartile": lower, "median": median, "upper_quartile": upper}


def as_json(group: Group) -> dict[str, object]:
    """All of it, the rounds' seconds included."""
    ours = group.rows[0]
    rows = [
        {
            **dataclasses.asdict(row),
            **{f"{kind}_ms": statistics.median(times(row, ours, kind)) * 1e3 for kind in (*KINDS, SWAP)},
            **{f"{kind}_ratio": ratio(row, ours, kind) for kind in (*KINDS, SWAP)},
        }
        for row in group.rows
    ]
    return {**dataclasses.asdict(group), "rows": rows}
