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
    scales_of(weight, np.diagonal(moments, axis1=1, axis2=2), 127)
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


@pytest.mark.parametrize("greatest", [127, 63, 7])
def test_searched_scales_err_no_more_than_those_that_reach_the_greatest_weight(greatest: int) -> None:
    weight, _, inputs = layer(5, outputs=8)
    importance = np.square(inputs).mean(1)
    reach = np.abs(weight).max(-1) / greatest

    def error(scales: Array) -> Array:
        whole = round_nearest(weight, scales, greatest)
        return (np.square(whole * scales[..., None] - weight) * importance[:, None]).sum(-1)

    found = scales_of(weight, importance, greatest)
    assert found.shape == (2, 8)
    assert (error(found) <= error(reach)).all()
    assert (error(found) < error(reach)).any()
    for share in np.linspace(0.7, 1, 31):
        assert (error(found) <= error(reach * share) * (1 + 1e-9)).all()


def test_what_matters_little_may_be_cut_off() -> None:
    weight = np.concatenate([np.full((1, 1, 1), 1.3), np.linspace(-0.99, 0.99, 200).reshape(1, 1, -1)], 2)
    importance = np.ones((1, 201))
    importance[0, 0] = 1e-6
    assert scales_of(weight, importance, 7)[0, 0] < 0.85 * 1.3 / 7
    importance[0, 0] = 1e6
    assert scales_of(weight, importance, 7)[0, 0] == pytest.approx(1.3 / 7)


def test_rows_of_zeros_have_a_scale() -> None:
    scales = scales_of(np.zeros((1, 2, 3)), np.ones((1, 3)), 127)
    assert (scales > 0).all()
    np.testing.assert_array_equal(round_nearest(np.zeros((1, 2, 3)), scales, 127), np.zeros((1, 2, 3)))
