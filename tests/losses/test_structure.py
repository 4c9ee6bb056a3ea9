"""Alignment and diversity against their definitions, sum by sum (Thewlis et al. 2017, equations 5 to 8)."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.losses import structure

pytestmark = pytest.mark.core

N = 6


def random_maps(batch=2, n=N, num_landmarks=3, seed=0) -> tf.Tensor:
    logits = np.random.default_rng(seed).normal(size=(batch, n * n, num_landmarks)) * 2
    maps = tf.nn.softmax(tf.constant(logits, tf.float32), axis=1)
    return tf.reshape(maps, [batch, n, n, num_landmarks])


def delta(row: int, column: int, n: int = N) -> np.ndarray:
    maps = np.zeros((1, n, n, 1), np.float32)
    maps[0, row, column] = 1
    return maps


def grid(n: int = N) -> np.ndarray:
    """Cells by their indices."""
    return np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), -1).reshape(-1, 2)


def quadratic(target, source, cells, moved) -> tf.Tensor:
    """Equation 6 as it is printed."""
    p, q = (tf.reshape(maps, [maps.shape[0], -1, maps.shape[3]]) for maps in (target, source))
    offsets = tf.constant(cells, tf.float32)[None, :, None] - moved[:, None]  # [B, u, v, 2]
    squares = tf.reduce_sum(offsets**2, axis=-1)
    return tf.einsum("buv,buk,bvk->b", squares, p, q) / p.shape[-1]


def test_alignment_in_linear_time_is_the_double_sum_and_so_are_its_gradients():
    target, source = random_maps(seed=1), random_maps(seed=2)
    moved = tf.constant(np.random.default_rng(3).uniform(-2, 8, (2, N * N, 2)), tf.float32)
    # The other form in linear time, of expanded squares.
    p, q = (m.numpy().astype(np.float64).reshape(2, N * N, -1) for m in (target, source))
    u, v = grid().astype(np.float64), moved.numpy().astype(np.float64)
    expanded = (
        np.einsum("u,buk->bk", (u**2).sum(-1), p)
        + np.einsum("bv,bvk->bk", (v**2).sum(-1), q)
        - 2 * (np.einsum("ud,buk->bkd", u, p) * np.einsum("bvd,bvk->bkd", v, q)).sum(-1)
    ).mean(axis=-1)
    np.testing.assert_allclose(
        structure.map_alignment(target, source, grid(), moved), expanded, rtol=1e-5
    )
    found = {}
    for function in (structure.map_alignment, quadratic):
        with tf.GradientTape() as tape:
            tape.watch([target, source])
            value = function(target, source, grid(), moved)
        found[function] = [value, *tape.gradient(value, [target, source])]
    np.testing.assert_allclose(found[structure.map_alignment][0], found[quadratic][0], rtol=1e-5)
    # Gradients may differ by what a softmax does not pass on: a constant over the cells of a map.
    for ours, theirs in zip(found[structure.map_alignment][1:], found[quadratic][1:], strict=True):
        difference = ours - theirs
        constant = tf.reduce_mean(difference, axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(difference, constant + tf.zeros_like(ours), atol=2e-4)


def test_sharp_maps_keep_their_digits():
    # Expanded squares of places around 1000 would leave errors of 0.1.
    cells = grid() + 1000.0
    value = structure.map_alignment(
        delta(2, 2), delta(2, 2), cells, tf.constant(cells[None], tf.float32)
    )
    assert float(value[0]) == 0.0


def test_alignment_vanishes_only_for_deltas_that_meet():
    cells = grid()
    shifted = tf.constant(cells[None] + (0, 1), tf.float32)  # g moves one column to the right
    align = structure.map_alignment
    assert float(align(delta(3, 4), delta(3, 3), cells, shifted)[0]) == 0
    assert float(align(delta(3, 3), delta(3, 3), cells, shifted)[0]) == pytest.approx(1)
    blurred = 0.5 * (delta(3, 4) + delta(3, 3))
    assert float(align(blurred, delta(3, 3), cells, shifted)[0]) == pytest.approx(0.5)


def test_uniform_maps_cost_533_square_cells_or_a_third_more_than_one():
    n = 40
    maps = np.full((1, n, n, 2), 1 / n**2, np.float32)
    cells = grid(n)
    value = structure.map_alignment(maps, maps, cells, tf.constant(cells[None], tf.float32))
    assert float(value[0]) == pytest.approx(533.0, rel=1e-4)
    edge = (2 * cells + 1) / n - 1
    value = structure.map_alignment(maps, maps, edge, tf.constant(edge[None], tf.float32))
    assert float(value[0]) == pytest.approx(1.3325, rel=1e-4)
    assert pytest.approx((n / 2) ** 2) == 533.0 / 1.3325


def test_diversity_is_zero_exactly_for_disjoint_maps_and_k_less_one_for_equal_ones():
    places = [(0, 0), (0, 5), (5, 0), (3, 3)]
    disjoint = np.concatenate([delta(*place) for place in places], axis=-1)
    assert float(structure.diversity(disjoint)[0]) == 0
    assert float(structure.pairwise_diversity(disjoint)[0]) == 0
    equal = np.repeat(random_maps(num_landmarks=1), 4, axis=-1)
    np.testing.assert_allclose(structure.diversity(equal), 3, rtol=1e-6)
    touching = np.concatenate([delta(0, 0), 0.5 * (delta(0, 0) + delta(0, 1))], axis=-1)
    assert float(structure.diversity(touching)[0]) == pytest.approx(0.5)
    assert float(structure.pairwise_diversity(touching)[0]) == pytest.approx(2 * 0.5 / 4)


def test_both_forms_of_diversity_are_the_same():
    maps = random_maps()
    printed = tf.reduce_sum(tf.reduce_sum(maps, -1) - tf.reduce_max(maps, -1), axis=(1, 2))
    np.testing.assert_allclose(structure.diversity(maps), printed, rtol=1e-5)


def test_pairwise_diversity_is_the_sum_over_pairs():
    maps = random_maps().numpy()
    expected = sum(
        (maps[..., k] * maps[..., other]).sum(axis=(1, 2))
        for k in range(3)
        for other in range(3)
        if k != other
    )
    np.testing.assert_allclose(structure.pairwise_diversity(maps), expected / 9, rtol=1e-5)


def test_pooled_diversity_keeps_landmarks_a_block_apart():
    same_block = np.concatenate([delta(0, 0), delta(1, 1)], axis=-1)
    next_block = np.concatenate([delta(1, 1), delta(2, 2)], axis=-1)
    assert float(structure.diversity(same_block)[0]) == 0
    assert float(structure.diversity(same_block, pool=2)[0]) == pytest.approx(1)
    assert float(structure.diversity(next_block, pool=2)[0]) == pytest.approx(0, abs=1e-6)


def test_no_probability_is_lost_where_blocks_do_not_fit():
    # 6 cells in blocks of 4: a map in the last row alone costs nothing; if it were dropped, 1.
    maps = np.concatenate([delta(5, 5), delta(0, 0)], axis=-1)
    assert float(structure.diversity(maps, pool=4)[0]) == pytest.approx(0, abs=1e-6)


def test_the_corner_frame_measures_in_cells_times_half_the_side_less_one():
    corner = coordinates.corner_grid((N, N)).reshape(-1, 2)
    np.testing.assert_allclose(
        np.diff(corner * (N - 1) / 2, axis=0), np.diff(grid(), axis=0), atol=1e-9
    )


def test_concentration_is_two_pi_e_times_the_squared_spreads():
    variances = np.array([[[0.04, 0.16], [0.0, 0.0]]], np.float32)  # s = (0.2 + 0.4) / 2
    value = float(structure.concentration(variances)[0])
    assert value == pytest.approx(2 * np.pi * np.e * 0.09, rel=1e-4)


def test_separation_counts_each_pair_twice_and_knows_no_place():
    separation = structure.separation
    assert float(separation(np.zeros((1, 2, 2), np.float32), 0.1)[0]) == pytest.approx(2)
    far = np.array([[[0, 0], [5, 5], [-5, 3]]], np.float32)
    assert float(separation(far, 0.1)[0]) == pytest.approx(0, abs=1e-6)
    near = 0.02 * far
    np.testing.assert_allclose(separation(near, 0.1), separation(near + 3.0, 0.1), rtol=1e-4)
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = 2 * sum(
        np.exp(-((near[0, i] - near[0, j]) ** 2).sum() / (2 * 0.1**2)) for i, j in pairs
    )
    assert float(separation(near, 0.1)[0]) == pytest.approx(expected, rel=1e-5)


def test_separation_does_not_push_landmarks_that_coincide():
    landmarks = tf.Variable(np.full((1, 3, 2), 0.4, np.float32))
    with tf.GradientTape() as tape:
        value = structure.separation(landmarks, 0.1)
    np.testing.assert_allclose(tape.gradient(value, landmarks), 0, atol=1e-6)
