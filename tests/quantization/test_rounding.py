from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mnv2deploy.quantization.rounding import round_in_order, round_nearest, scales_of

Array = NDArray[np.float64]


def layer(seed: int, groups: int = 2, outputs: int = 4, size: int = 12) -> tuple[Array, Array, Array]:
    """Weights (G, O, I), scales (G, O), and inputs (G, N, I) that depend on one another."""
    random = np.random.default_rng(seed)
    weight = random.normal(size=(groups, outputs, size))
    scales = np.abs(weight).max(-1) / 7
    inputs = random.normal(size=(groups, 200, size)) @ random.normal(size=(groups, size, size))
    return weight, scales, inputs


def moments_of(inputs: Array) -> Array:
    return inputs.swapaxes(1, 2) @ inputs / inputs.shape[1]


def output_error(weight: Array, whole: Array, scales: Array, inputs: Array) -> float:
    return float(np.square(inputs @ (weight - whole * scales[..., None]).swapaxes(1, 2)).sum())


def one_after_the_other(weight: Array, scales: Array, moments: Array, greatest: int) -> Array:
    """Optimal Brain Quantization of one matrix in a fixed order: after each column the inverse is taken anew."""
    size = weight.shape[1]
    moments = moments + 0.01 * max(np.diag(moments).mean(), 1e-12) * np.eye(size)
    order = sorted(range(size), key=lambda column: -moments[column, column])
    whole, left = np.zeros_like(weight), weight.copy()
    for place, column in enumerate(order):
        rest = order[place:]
        inverse = np.linalg.inv(moments[np.ix_(rest, rest)])
        whole[:, column] = np.clip(np.rint(left[:, column] / scales), -greatest, greatest)
        error = (left[:, column] - whole[:, column] * scales) / inverse[0, 0]
        for position, other in enumerate(rest[1:], 1):
            left[:, other] -= error * inverse[0, position]
    return whole


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("greatest", [127, 7, 3])
def test_gptq_is_brain_surgery_step_by_step(seed: int, greatest: int) -> None:
    weight, scales, inputs = layer(seed)
    moments = moments_of(inputs)
    found = round_in_order(weight, scales, moments, greatest)
    for group in range(len(weight)):
        wanted = one_after_the_other(weight[group], scales[group], moments[group], greatest)
        np.testing.assert_array_equal(found[group], wanted)


def test_inputs_that_have_nothing_in_common_are_rounded_to_nearest() -> None:
    weight, scales, _ = layer(0)
    moments = np.broadcast_to(np.diag(np.arange(1.0, 13)), (2, 12, 12))
    np.testing.assert_array_equal(round_in_order(weight, scales, moments, 7), round_nearest(weight, scales, 7))


@settings(max_examples=25, derandomize=True, deadline=None)
@given(st.integers(0, 10**6))
def test_rounding_in_order_errs_less_than_to_nearest_on_inputs_that_depend_on_one_another(seed: int) -> None:
    weight, scales, inputs = layer(seed, groups=1, outputs=16)
    ordered = round_in_order(weight, scales, moments_of(inputs), 127)
    nearest = round_nearest(weight, scales, 127)
    assert output_error(weight, ordered, scales, inputs) < 0.8 * output_error(weight, nearest, scales, inputs)


@pytest.mark.parametrize("greatest", [127, 63])
def test_whole_numbers_stay_within_their_limits(greatest: int) -> None:
    weight, scales, inputs = layer(1)
    scales = scales * 7 / greatest / 4  # a quarter of what would be needed
    for whole in (
        round_in_order(weight, scales, moments_of(inputs), greatest),
        round_nearest(weight, scales, greatest),
    ):
        assert whole.max() == greatest
        assert whole.min() == -greatest
        np.testing.assert_array_equal(whole, np.rint(whole))


def test_the_arguments_stay_as_they_were() -> None:
    weight, scales, inputs = layer(2)
    moments = moments_of(inputs)
    held = [weight.copy(), scales.copy(), moments.copy()]
    round_in_order(weight, scales, moments, 127)
    scales_of(weight, 127)
    for before, after in zip(held, (weight, scales, moments), strict=True):
        np.testing.assert_array_equal(before, after)


def test_channels_that_never_fire_are_rounded_all_the_same() -> None:
    weight, scales, inputs = layer(3)
    inputs[0] = 0
    inputs[1, :, 4] = 0
    whole = round_in_order(weight, scales, moments_of(inputs), 7)
    np.testing.assert_array_equal(whole[0], round_nearest(weight, scales, 7)[0])
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(whole[1, :, 4], round_nearest(weight, scales, 7)[1, :, 4])


@pytest.mark.parametrize("greatest", [127, 63])
def test_the_greatest_weight_of_a_row_is_the_greatest_whole_number(greatest: int) -> None:
    weight, _, _ = layer(5)
    scales = scales_of(weight, greatest)
    assert scales.shape == (2, 4)
    np.testing.assert_array_equal(scales, scales.astype(np.float32))  # as they are written
    whole = round_nearest(weight, scales, greatest)
    np.testing.assert_array_equal(np.abs(whole).max(-1), np.full((2, 4), greatest))
    assert np.abs(whole * scales[..., None] - weight).max() <= scales.max() / 2 * (1 + 1e-5)


def test_rows_of_zeros_have_a_scale() -> None:
    scales = scales_of(np.zeros((1, 2, 3)), 127)
    assert (scales > 0).all()
    np.testing.assert_array_equal(round_nearest(np.zeros((1, 2, 3)), scales, 127), np.zeros((1, 2, 3)))
