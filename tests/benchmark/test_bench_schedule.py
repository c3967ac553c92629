"""Who runs when."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2deploy.benchmark.schedule import MAX_ROUNDS, MIN_ROUNDS, order, plan, settle, warm_up


@pytest.mark.parametrize("count", range(1, 8))
def test_everybody_has_one_turn_in_a_round_and_nobody_a_better_place(count):
    rounds = [order(count, turn) for turn in range(2 * count)]
    assert all(sorted(places) == list(range(count)) for places in rounds)
    for place in range(count):
        assert sorted(places[place] for places in rounds) == sorted([*range(count)] * 2)
    for one, other in itertools.combinations(range(count), 2):
        assert sum(places.index(one) < places.index(other) for places in rounds) == count


def test_two_take_turns_to_be_first():
    assert [order(2, turn) for turn in range(4)] == [[0, 1], [1, 0], [1, 0], [0, 1]]


@settings(max_examples=200, derandomize=True)
@given(
    st.lists(st.floats(min_value=1e-4, max_value=20), min_size=1, max_size=12),
    st.floats(min_value=0.01, max_value=60),
    st.integers(1, 300),
)
def test_a_plan_keeps_to_the_time_where_the_fewest_rounds_allow_it(run_seconds, seconds, inputs):
    planned = plan(run_seconds, seconds, inputs)
    assert MIN_ROUNDS <= planned.rounds <= MAX_ROUNDS
    for index, one in enumerate(run_seconds):
        runs = len(planned.burst(0, index))
        assert runs >= 1
        spent = planned.rounds * (runs * one + max(one, 0.01))
        assert spent <= max(seconds, MIN_ROUNDS * (2 * one + 0.01)) * 1.001


@settings(max_examples=100, derandomize=True)
@given(
    st.lists(st.floats(min_value=1e-3, max_value=1), min_size=1, max_size=4),
    st.floats(min_value=0.1, max_value=10),
    st.integers(1, 40),
)
def test_everybody_runs_the_same_inputs_in_a_round_and_all_inputs_are_run_equally(run_seconds, seconds, inputs):
    planned = plan(run_seconds, seconds, inputs)
    counts = dict.fromkeys(range(inputs), 0)
    for turn in range(planned.rounds):
        bursts = [planned.burst(turn, index) for index in range(len(run_seconds))]
        assert len({frozenset(burst) for burst in bursts}) == 1
        for burst in bursts:
            times = [burst.count(index) for index in set(burst)]
            assert min(times) == max(times)
        for index in set(bursts[0]):
            counts[index] += 1
    assert max(counts.values()) - min(counts.values()) <= 1


def test_an_ordinary_plan_by_hand():
    # 3 s each in 20 rounds of 150 ms, of which 10 ms, or one run of the slower, go by before it counts
    planned = plan([0.0021, 0.029], 3.0)
    assert (planned.rounds, planned.repeats) == (20, (66, 4))


@pytest.mark.parametrize(
    ("inputs", "inputs_a_round", "repeats"),
    [
        (5, 5, (13, 1)),  # all of them, the faster network several times
        (50, 9, (7, 1)),  # as many as the slower has time for
        (1, 1, (66, 9)),
    ],
)
def test_a_round_takes_as_many_inputs_as_all_have_time_for(inputs, inputs_a_round, repeats):
    planned = plan([0.0021, 0.0143], 3.0, inputs)
    assert (planned.inputs_a_round, planned.repeats) == (inputs_a_round, repeats)


def test_a_slow_network_has_fewer_rounds_of_one_run():
    planned = plan([0.2, 0.001], 2.0)
    assert (planned.rounds, planned.repeats[0]) == (5, 1)


def runs_of(seconds):
    """A run that takes these times, one after the other; ``taken`` lists those that were."""
    taken = []

    def run():
        taken.append(seconds[min(len(taken), len(seconds) - 1)])
        return taken[-1]

    return run, taken


def test_warming_up_ends_when_it_gets_no_faster():
    run, taken = runs_of([0.05, 0.01, 0.009, 0.009, 0.008, *[0.004] * 5, *[0.002] * 50])
    assert warm_up(run) == 0.002
    assert len(taken) == 20  # the fourth five are no faster than the third


def test_warming_up_ends_though_it_gets_ever_faster():
    run, taken = runs_of([0.001 * 0.9**step for step in range(300)])
    warm_up(run)
    assert len(taken) == 100


def test_warming_up_a_slow_network_takes_two_seconds_and_not_five_runs():
    run, taken = runs_of([0.9, 0.8, 0.7])
    assert warm_up(run) == 0.8
    assert taken == [0.9, 0.8, 0.7]


@pytest.mark.parametrize(("seconds", "runs"), [([0.003, 0.0025], 4), ([0.011], 1), ([3.0], 1)])
def test_settling_takes_ten_milliseconds_and_at_least_a_run(seconds, runs):
    run, taken = runs_of(seconds)
    settle(run)
    assert len(taken) == runs
