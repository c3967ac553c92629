"""Who runs when: first everybody warms up, then come rounds in which everybody has a turn."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# A round is one point of a ratio's spread: of fewer than 5 the quartiles say nothing, beyond 20 they change little.
MIN_ROUNDS, MAX_ROUNDS = 5, 20
_BLOCK, _MAX_BLOCKS = 5, 20
_SETTLED = 0.98
_WARM_UP_SECONDS = 2.0
_SETTLE_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Plan:
    """How the time is spent. Several inputs (pictures) are taken in turns, the same by everybody in one round.

    Attributes:
        rounds: How many; in each, every configuration has one burst.
        inputs: How many there are to choose from.
        inputs_a_round: How many of them a round takes.
        repeats: How often each configuration runs them in one burst.
    """

    rounds: int
    inputs: int
    inputs_a_round: int
    repeats: tuple[int, ...]

    def burst(self, turn: int, configuration: int) -> list[int]:
        """The inputs that a configuration runs in round ``turn``, one after the other."""
        first = turn * self.inputs_a_round
        return [(first + step) % self.inputs for step in range(self.inputs_a_round)] * self.repeats[configuration]


def plan(run_seconds: Sequence[float], seconds: float, inputs: int = 1) -> Plan:
    """Shares out ``seconds`` of each configuration among rounds.

    The slowest configuration decides how many rounds there are: each costs it two runs at least, one that counts and
    one to `settle`. Where `MIN_ROUNDS` of these take longer than ``seconds``, so be it.

    Args:
        run_seconds: Of one warm run, for each configuration.
        seconds: To be spent on each.
        inputs: How many different ones there are.
    """
    settling = [max(one, _SETTLE_SECONDS) for one in run_seconds]
    shortest = max(settled + one for settled, one in zip(settling, run_seconds, strict=True))
    rounds = min(max(int(seconds / shortest), MIN_ROUNDS), MAX_ROUNDS)
    runs = [max(int((seconds / rounds - settled) / one), 1) for settled, one in zip(settling, run_seconds, strict=True)]
    inputs_a_round = min(inputs, *runs)
    return Plan(rounds, inputs, inputs_a_round, tuple(count // inputs_a_round for count in runs))


def order(count: int, turn: int) -> list[int]:
    """The order of ``count`` configurations in round ``turn``: a place further each time, every other cycle backwards.

    After ``2 * count`` rounds each has stood in every place twice, and before each of the others as often as after it.
    """
    places = [(place + turn) % count for place in range(count)]
    return places[::-1] if turn // count % 2 else places


def settle(run: Callable[[], float]) -> None:
    """Runs once at least, and for 10 ms: what a burst begins with, and does not count.

    While others ran, their data took the caches and this session's threads went to sleep. The first run of MobileNetV2
    on two threads takes 1.3 times as long as the fourth, the second 1.1 times.
    """
    spent = 0.0
    while spent < _SETTLE_SECONDS:
        spent += run()


def warm_up(run: Callable[[], float]) -> float:
    """Runs until it gets no faster, or has run 100 times or for 2 seconds.

    Args:
        run: Runs once and returns the seconds it took.

    Returns:
        Seconds of a warm run: the median of the last five, or of fewer where the time was up.
    """
    previous, spent = math.inf, 0.0
    for _ in range(_MAX_BLOCKS):
        block: list[float] = []
        while len(block) < _BLOCK and (spent < _WARM_UP_SECONDS or not block):
            block.append(run())
            spent += block[-1]
        settled = statistics.median(block)
        if settled > _SETTLED * previous or spent >= _WARM_UP_SECONDS:
            return settled
        previous = settled
    return previous
