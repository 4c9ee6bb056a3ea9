"""Hypercolumns, against a loop and by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.layers.hypercolumn import hypercolumns

pytestmark = pytest.mark.core


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def test_hypercolumns_repeat_a_loop():
    strides = [1, 2, 8]
    features = [
        uniform(2, 24 // s, 32 // s, c, seed=s) for s, c in zip(strides, (3, 2, 4), strict=True)
    ]
    points = np.array([[[0, 0], [7, 13], [23, 31]], [[12, 9], [3, 30], [15, 16]]])
    found = hypercolumns(
        [tf.constant(f) for f in features], strides, tf.constant(points, tf.int32)
    ).numpy()
    assert found.shape == (2, 3, 9)
    for image in range(2):
        for index, point in enumerate(points[image]):
            columns = []
            for values, stride in zip(features, strides, strict=True):
                last = np.array(values.shape[1:3]) - 1
                place = np.minimum(point / stride, last)
                top = np.minimum(np.floor(place).astype(int), last - 1)
                (y, x), (dy, dx) = top, place - top
                window = values[image, y : y + 2, x : x + 2]
                weights = np.outer([1 - dy, dy], [1 - dx, dx])
                columns.append(np.einsum("yxc,yx->c", window, weights))
            np.testing.assert_allclose(found[image, index], np.concatenate(columns), atol=1e-5)


def test_gradient_reaches_the_four_pixels_around_a_point():
    features = tf.zeros([1, 4, 4, 1])
    with tf.GradientTape() as tape:
        tape.watch(features)
        # (2, 3) at stride 2 is (1, 1.5): half of (1, 1), half of (1, 2).
        value = hypercolumns([features], [2], tf.constant([[[2, 3]]]))
    expected = np.zeros([4, 4])
    expected[1, 1] = expected[1, 2] = 0.5
    np.testing.assert_allclose(tape.gradient(value, features)[0, ..., 0], expected, atol=1e-6)
