"""Hourglasses: how they go down, up and aside, and what ends them."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.layers.hourglass import Hourglass, Level

pytestmark = pytest.mark.core

LEVELS = [Level((3,), (2,)), Level((4,), (5,))]


def make(linear: bool = False) -> tuple[Hourglass, tf.Tensor]:
    """An hourglass of two levels, and images for it."""
    tf.keras.utils.set_random_seed(0)
    images = tf.random.stateless_normal([2, 8, 8, 3], [0, 0])
    layer = Hourglass(
        LEVELS, 2, linear, {"leak": 0.2, "initializer": tf.keras.initializers.GlorotUniform}
    )
    layer(images)
    return layer, images


def test_it_halves_by_maxima_and_doubles_by_repetition_beside_a_branch():
    layer, images = make()
    wide = layer.down[0][0](images)
    blocks = tf.reshape(wide, [2, 4, 2, 4, 2, 3])
    below = layer.up[1][0](layer.down[1][0](tf.reduce_max(blocks, axis=[2, 4])))
    doubled = np.repeat(np.repeat(below, 2, axis=1), 2, axis=2)
    aside = layer.branches[0][1](layer.branches[0][0](wide))
    assert np.abs(aside).max() > 0.01 and np.abs(doubled).max() > 0.01
    np.testing.assert_allclose(layer(images), layer.up[0][0](doubled + aside), atol=1e-5)


@pytest.mark.parametrize(("linear", "ends"), [(True, -5.0), (False, -1.0)])
def test_what_ends_it_has_an_activation_or_none(linear, ends):
    layer, images = make(linear)
    norm = layer.up[0][-1].norm
    norm.gamma.assign(0 * norm.gamma)
    norm.beta.assign(0 * norm.beta - 5.0)
    np.testing.assert_allclose(layer(images), np.full((2, 8, 8, 2), ends), atol=1e-5)
