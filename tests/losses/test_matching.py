"""The losses of correlations, and the share of places that are found."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.losses import cycle, matching

pytestmark = pytest.mark.core

GRID = coordinates.corner_grid((4, 5)).reshape(1, -1, 2).astype(np.float32)
IDENTITY = np.eye(20, dtype=np.float32).reshape(1, 4, 5, 4, 5)


def test_even_matches_are_as_sure_as_one_in_all_cells():
    even = tf.ones([2, 4, 5, 4, 5])
    np.testing.assert_allclose(matching._sureness(even), 1 / 20, rtol=1e-5)
    np.testing.assert_allclose(matching.weak(even, even), 0.0, atol=1e-7)


def test_surer_matches_of_what_belongs_together_lower_the_weak_loss():
    # A peak of 20 among 20 cells: exp(20) / (exp(20) + 19) is 1 to 1e-7.
    even = tf.ones([1, 4, 5, 4, 5])
    np.testing.assert_allclose(matching.weak(20.0 * IDENTITY, even), 1 / 20 - 1.0, atol=1e-5)
    assert matching.weak(even, 20.0 * IDENTITY) > 0.9


def test_sureness_is_that_of_both_images():
    # Two cells of one image, one of the other: of the two, the better one is e^3 / (e^3 + 1) sure; the one has no choice.
    matches = tf.constant([3.0, 0.0], shape=[1, 1, 2, 1, 1])
    expected = 0.5 * (np.exp(3.0) / (np.exp(3.0) + 1.0) + 1.0)
    np.testing.assert_allclose(matching._sureness(matches), expected, rtol=1e-5)


def test_a_known_match_is_a_blob_of_half_a_cell_around_it():
    labels, inside = matching.known_labels(tf.constant(GRID), (4, 5))
    by_cells = labels.numpy()[0]
    np.testing.assert_allclose(by_cells.sum(axis=0), 1.0, atol=1e-6)
    np.testing.assert_array_equal(by_cells.argmax(axis=0), np.arange(20))
    # A cell beside it has exp(-1 / (2 * 0.25)) of it.
    np.testing.assert_allclose(by_cells[1, 0] / by_cells[0, 0], np.exp(-2.0), rtol=1e-4)
    assert np.all(inside == 1.0)


def test_matches_beyond_the_image_do_not_count():
    moved = GRID.copy()
    moved[0, 7] = [1.2, 0.0]
    logits = np.random.default_rng(0).random([1, 4, 5, 4, 5], np.float32)
    changed = logits.copy().reshape(1, 20, 20)
    changed[:, :, 7] = np.random.default_rng(1).random(20)
    changed = changed.reshape(logits.shape)
    one, two = (matching.known_matches(x, tf.constant(moved), 0.1) for x in (logits, changed))
    np.testing.assert_allclose(one, two, rtol=1e-6)
    kept = matching.known_matches(logits, tf.constant(GRID), 0.1)
    assert abs(kept - matching.known_matches(changed, tf.constant(GRID), 0.1)) > 1e-3


def test_even_matches_cost_the_logarithm_of_the_cells_and_right_ones_less():
    places = tf.constant(GRID)
    np.testing.assert_allclose(
        matching.known_matches(tf.ones([1, 4, 5, 4, 5]), places, 0.05), np.log(20), rtol=1e-5
    )
    assert matching.known_matches(0.1 * IDENTITY, places, 0.05) < np.log(20)
    wrong = np.roll(IDENTITY, 2, axis=2)
    assert matching.known_matches(0.1 * wrong, places, 0.05) > np.log(20)


def test_what_is_a_cell_off_is_found_and_what_is_further_off_is_not():
    found = [
        matching.found_share(GRID.reshape(1, 4, 5, 2) + np.float32(shift), GRID, (4, 5))
        for shift in ([2 / 3, 0.0], [0.0, 0.5], [0.68, 0.0], [0.5, 0.4])
    ]
    np.testing.assert_allclose(found, [1.0, 1.0, 0.0, 0.0])
    outside = GRID.copy()
    outside[0, :5, 0] = -1.5  # which do not count
    half = matching.still_places((4, 5)).copy()
    half[0, 3] = 5.0
    np.testing.assert_allclose(matching.found_share(half, outside, (4, 5)), 2 / 3, rtol=1e-6)


def test_distances_of_maps_are_norms_of_a_sample_and_finite_where_nothing_differs():
    maps = np.random.default_rng(0).random([2, 2, 2, 1], np.float32)
    other = maps.copy()
    other[0, 0, 0] += 3.0
    other[0, 1, 1] -= 4.0  # 5 apart, and 0
    np.testing.assert_allclose(cycle.map_distance(maps, other), 2.5, atol=1e-5)
    np.testing.assert_allclose(cycle.map_distance(maps, other, squared=True), 12.5, rtol=1e-6)
    same = tf.constant(maps)
    with tf.GradientTape() as tape:
        tape.watch(same)
        distance = cycle.map_distance(same, maps)
    assert np.all(tape.gradient(distance, same) == 0.0)
