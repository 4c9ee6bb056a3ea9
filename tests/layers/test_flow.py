"""Matches, and maps that are moved by them: directions, values, which gradients pass."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.layers import correlation, flow

pytestmark = pytest.mark.core

MODES = ("hard", "soft_warp", "soft_coord", "kernel", "straight_through")


def features(height: int = 5, width: int = 6, channels: int = 40) -> np.ndarray:
    """Those of one image, every cell unlike all others."""
    rng = np.random.default_rng(0)
    return rng.normal(size=[1, height, width, channels]).astype(np.float32)


def shifted(values: np.ndarray) -> np.ndarray:
    """What another image has: what is at (y, x) here is at (y + 1, x + 2) there."""
    return np.roll(values, (1, 2), axis=(1, 2))


def test_probabilities_sum_to_1_over_the_first_image():
    matches = correlation.correlation(features(), features()[:, :4])
    found = flow.probabilities(matches, 0.05)
    assert found.shape == (1, 30, 24)
    np.testing.assert_allclose(tf.reduce_sum(found, axis=1), np.ones([1, 24]), atol=1e-5)


@pytest.mark.parametrize("mode", ["hard", "soft_coord", "kernel"])
def test_the_flow_of_a_shift_is_that_shift(mode):
    first = features()
    matches = correlation.correlation(first, shifted(first))
    found = flow.places(matches, mode, temperature=0.01)
    # Cell (y, x) of the second image shows what the first has one row above and two columns to the left.
    expected = shifted(coordinates.corner_grid((5, 6))[np.newaxis])
    np.testing.assert_allclose(found, expected, atol=1e-3)
    back = flow.places(correlation.exchange(matches), mode, temperature=0.01)
    grid = coordinates.corner_grid((5, 6))[np.newaxis]
    np.testing.assert_allclose(back, np.roll(grid, (-1, -2), axis=(1, 2)), atol=1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_maps_move_with_what_they_lie_on(mode):
    first = features()
    matches = correlation.correlation(first, shifted(first))
    maps = np.random.default_rng(1).random([1, 5, 6, 3], np.float32)
    found = flow.carry(matches, maps, mode, temperature=0.01)
    exact = 0 if mode in ("hard", "straight_through") else 2e-3
    np.testing.assert_allclose(found, shifted(maps), atol=exact or 1e-7)
    back = flow.carry(correlation.exchange(matches), shifted(maps), mode, temperature=0.01)
    np.testing.assert_allclose(back, maps, atol=exact or 1e-7)


def test_of_equal_matches_the_first_is_taken():
    assert np.all(flow.best_cells(tf.ones([1, 2, 3, 2, 2])) == 0)


def gradients(mode: str) -> tuple:
    """Values carried, and gradients to the maps and to the correlation."""
    matches = tf.constant(np.random.default_rng(2).random([2, 4, 4, 4, 4], np.float32))
    maps = tf.constant(np.random.default_rng(3).random([2, 4, 4, 3], np.float32))
    weights = np.random.default_rng(4).normal(size=maps.shape)
    with tf.GradientTape() as tape:
        tape.watch([matches, maps])
        found = flow.carry(matches, maps, mode, 0.3)
        total = tf.reduce_sum(found * weights)
    return (found, *tape.gradient(total, [maps, matches], unconnected_gradients="zero"))


def test_hard_has_no_gradient_to_the_flow_and_one_to_the_maps():
    _, to_maps, to_flow = gradients("hard")
    assert np.any(to_maps != 0.0) and np.all(to_flow == 0.0)


@pytest.mark.parametrize("mode", ["soft_warp", "soft_coord", "kernel", "straight_through"])
def test_other_modes_have_a_gradient_to_the_flow_too(mode):
    _, to_maps, to_flow = gradients(mode)
    assert np.any(to_maps != 0.0)
    assert np.abs(to_flow).max() > 1e-3


def test_straight_through_has_the_values_of_hard_and_the_gradients_of_soft_warp():
    values, *own = gradients("straight_through")
    np.testing.assert_allclose(values, gradients("hard")[0], atol=1e-6)
    for one, other in zip(own, gradients("soft_warp")[1:], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_low_temperature_makes_soft_warps_hard():
    matches = np.random.default_rng(2).random([2, 4, 4, 4, 4], np.float32)
    maps = np.random.default_rng(3).random([2, 4, 4, 3], np.float32)
    hard, *soft = (
        flow.carry(matches, maps, mode, temperature)
        for mode, temperature in (("hard", 1.0), ("soft_warp", 1e-5), ("soft_warp", 1.0))
    )
    np.testing.assert_allclose(soft[0], hard, atol=1e-4)
    assert np.abs(soft[1] - hard).max() > 0.1


def test_a_window_keeps_a_second_peak_out():
    matches = np.zeros([1, 9, 1, 1, 1], np.float32)
    matches[0, 1], matches[0, 8] = 1.0, 0.95  # two peaks, at -0.75 and 1
    far, near = (flow.places(matches, mode, 0.05)[0, 0, 0, 0] for mode in ("soft_coord", "kernel"))
    assert far > -0.4
    np.testing.assert_allclose(near, -0.75, atol=0.01)


@pytest.mark.parametrize("mode", MODES)
def test_maps_of_another_grid_than_the_flow_are_read_between_cells(mode):
    # A flow that moves nothing leaves a map as it is, where it has no more detail than the coarser grid.
    matches = np.eye(16, dtype=np.float32).reshape(1, 4, 4, 4, 4)
    ramp = coordinates.corner_grid((7, 7))[np.newaxis].astype(np.float32)
    found = flow.carry(matches, ramp, mode, temperature=0.02)
    np.testing.assert_allclose(found, ramp, atol=1e-4)


def test_modes_that_yield_no_places_say_so():
    with pytest.raises(ValueError, match="'soft_warp' yields no places"):
        flow.places(tf.ones([1, 2, 2, 2, 2]), "soft_warp", 1.0)
