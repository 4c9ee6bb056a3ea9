"""Landmarks that follow a flow, and that are drawn to what moves."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.losses import optical_flow

pytestmark = pytest.mark.core

SIZE = 32


def at_pixel(row: int, column: int) -> tf.Tensor:
    """One landmark at the centre of a pixel, `[1, 1, 2]`."""
    return tf.constant([[[(row + 0.5) / SIZE - 0.5, (column + 0.5) / SIZE - 0.5]]], tf.float32)


def test_gaussians_sum_to_one_wherever_their_landmarks_are():
    landmarks = tf.constant([[[0.0, 0.0], [0.49, -0.3], [3.0, 0.0]]])
    np.testing.assert_allclose(
        tf.reduce_sum(optical_flow.gaussian_weights(landmarks, SIZE, 1 / 16), axis=[1, 2]),
        [[1.0, 1.0, 1.0]],
        rtol=1e-5,
    )


def test_the_flow_at_a_landmark_is_that_of_its_neighbourhood():
    rows, columns = np.mgrid[:SIZE, :SIZE]
    field = tf.constant(np.stack([0.01 * rows, -0.02 * columns], -1)[np.newaxis], tf.float32)
    found = optical_flow.sample_at(field, at_pixel(10, 20))
    np.testing.assert_allclose(found, [[[0.10, -0.40]]], atol=1e-5)


def test_landmarks_that_move_with_the_flow_cost_nothing():
    landmarks = tf.concat([at_pixel(10, 12), at_pixel(20, 8)], axis=1)
    field = tf.tile(tf.constant([[[[0.1, -0.05]]]]), [1, SIZE, SIZE, 1])
    valid = tf.ones([1])
    arrived = tf.add(landmarks, [0.1, -0.05])
    assert optical_flow.flow_equivariance(
        landmarks, arrived, field, valid
    ).numpy() == pytest.approx(0, abs=1e-9)
    stayed = optical_flow.flow_equivariance(landmarks, landmarks, field, valid).numpy()
    assert stayed == pytest.approx(2 * (0.1**2 + 0.05**2), rel=1e-4)  # the sum over landmarks


def test_pairs_without_a_partner_are_left_out():
    landmarks = tf.concat([at_pixel(3, 3), at_pixel(9, 9)], axis=0)
    field = tf.concat([tf.fill([1, SIZE, SIZE, 2], 0.1), tf.fill([1, SIZE, SIZE, 2], 9.0)], axis=0)
    alone = optical_flow.flow_equivariance(landmarks[:1], landmarks[:1], field[:1], tf.ones([1]))
    masked = optical_flow.flow_equivariance(landmarks, landmarks, field, tf.constant([1.0, 0.0]))
    np.testing.assert_allclose(masked, alone, rtol=1e-6)
    assert optical_flow.flow_equivariance(landmarks, landmarks, field, tf.zeros([2])).numpy() == 0.0
    assert optical_flow.motion_prior(landmarks, field, tf.zeros([2])).numpy() == 0.0


def test_landmarks_on_what_moves_are_preferred():
    field = np.zeros((1, SIZE, SIZE, 2), np.float32)
    field[0, 8:12, 8:12] = 0.1
    field, valid = tf.constant(field), tf.ones([1])
    on, near, off = (
        optical_flow.motion_prior(at_pixel(*p), field, valid).numpy()
        for p in ((10, 10), (13, 10), (25, 25))
    )
    assert on < near < off <= 0.0
    # A bump of this width has at most 1 / (2 pi width^2) of a pixel's share at its peak.
    assert on > -1.0 / (2 * np.pi * optical_flow.PRIOR_WIDTH**2 * SIZE**2)


def test_what_moves_twice_as_fast_draws_four_times_as_much():
    # Equation 16 has the square of the speed.
    field = np.zeros((1, SIZE, SIZE, 2), np.float32)
    field[0, 8, 8], field[0, 24, 24] = (0.1, 0.0), (0.0, -0.2)
    slow, fast = (
        optical_flow.motion_prior(at_pixel(*p), tf.constant(field), tf.ones([1])).numpy()
        for p in ((8, 8), (24, 24))
    )
    assert fast == pytest.approx(4 * slow, rel=1e-3) and slow < 0


def test_the_order_of_landmarks_does_not_matter():
    field = tf.random.stateless_normal([2, SIZE, SIZE, 2], [0, 1])
    landmarks = tf.random.stateless_uniform([2, 5, 2], [2, 3], -0.4, 0.4)
    order = [3, 1, 4, 0, 2]
    valid = tf.ones([2])
    np.testing.assert_allclose(
        optical_flow.motion_prior(tf.gather(landmarks, order, axis=1), field, valid),
        optical_flow.motion_prior(landmarks, field, valid),
        rtol=1e-5,
    )


def test_a_still_video_draws_nothing():
    assert (
        optical_flow.motion_prior(at_pixel(3, 3), tf.zeros([1, SIZE, SIZE, 2]), tf.ones([1])) == 0.0
    )
