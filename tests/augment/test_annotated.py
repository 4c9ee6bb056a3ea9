"""Annotations stay on what they mark when images are warped."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import annotated, tps

pytestmark = pytest.mark.core

SIZE = 48


def test_points_follow_the_spots_they_mark():
    pixels = np.array([[[12.0, 30.0], [33.0, 15.0]]] * 4)
    grid = np.stack(np.mgrid[:SIZE, :SIZE], axis=-1)
    spots = [np.exp(-((grid - p) ** 2).sum(-1) / 8) for p in pixels[0]]
    inputs = np.tile(np.stack([*spots, np.zeros_like(spots[0])], -1), (4, 1, 1, 1))
    points = coordinates.corner_from_pixels(pixels, (SIZE, SIZE))
    strength = tps.WarpStrength(10.0, 0.05, 0.05, 1e-3, 1e-3)
    warped, moved = annotated.warp_annotated(
        tf.constant(inputs, tf.float32),
        tf.constant(points, tf.float32),
        strength,
        tf.constant([0, 1]),
    )
    moved = coordinates.pixels_from_corner(moved.numpy(), (SIZE, SIZE))
    assert np.abs(moved - pixels).max() > 1  # something moved
    for row in range(4):
        for k in range(2):
            weights = warped[row, ..., k].numpy()
            centre = (weights[..., None] * grid).sum((0, 1)) / weights.sum()
            np.testing.assert_allclose(centre, moved[row, k], atol=0.4)


def test_missing_points_stay_missing():
    points = tf.constant([[[0.1, 0.2], [np.nan, np.nan]]], tf.float32)
    _, moved = annotated.warp_annotated(
        tf.zeros([1, 8, 8, 3]), points, annotated.MILD, tf.constant([0, 1])
    )
    assert np.isfinite(moved[0, 0]).all() and np.isnan(moved[0, 1]).all()
