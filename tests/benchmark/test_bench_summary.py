"""Percentiles and ratios, against the standard library's and by hand."""

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnv2deploy.benchmark.summary import percentile, ratio, significant

TIMES = st.floats(min_value=1e-5, max_value=10)


@settings(max_examples=50, derandomize=True)
@given(st.lists(TIMES, min_size=100, max_size=150), st.integers(1, 99))
def test_percentiles_are_the_standard_librarys(samples, percent):
    expected = statistics.quantiles(samples, n=100, method="inclusive")[percent - 1]
    assert percentile(samples, percent) == pytest.approx(expected)


def test_a_percentile_by_hand():
    samples = [float(value) for value in range(100, -1, -1)]  # 0..100, in no helpful order
    assert [percentile(samples, percent) for percent in (1, 10, 50, 90, 99)] == [1, 10, 50, 90, 99]


@pytest.mark.parametrize(("percent", "needed"), [(99, 100), (1, 100), (90, 10), (10, 10), (50, 2)])
def test_a_percentile_takes_enough_samples(percent, needed):
    assert percentile([1.0] * needed, percent) == 1
    assert percentile([1.0] * (needed - 1), percent) is None


@settings(max_examples=50, derandomize=True)
@given(st.lists(st.floats(min_value=0.5, max_value=20), min_size=5, max_size=20), st.floats(min_value=0.2, max_value=5))
def test_a_drifting_machine_does_not_change_a_ratio(drift, truth):
    reference = [[0.9 * slow, 1.0 * slow, 1.7 * slow] for slow in drift]
    rounds = [[truth * slow, 40.0 * slow, truth * slow] for slow in drift]  # one disturbed run in each round
    found = ratio(rounds, reference)
    assert (found.median, found.low, found.high) == pytest.approx((truth, truth, truth))


def test_the_spread_of_a_ratio_is_its_quartiles_over_the_rounds():
    found = ratio([[1.0], [2.0], [3.0], [4.0], [50.0]], [[1.0]] * 5)
    assert (found.low, found.median, found.high) == (2, 3, 4)


def test_rounds_that_do_not_match_are_a_bug():
    with pytest.raises(ValueError, match="zip"):
        ratio([[1.0]], [[1.0], [1.0]])


def test_numbers_for_programs_have_five_digits():
    assert [significant(number) for number in (0.00123456789, 1234567.0, None)] == [0.0012346, 1234600, None]
