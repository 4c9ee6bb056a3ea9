"""Changes of colour, by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.augment import color

pytestmark = pytest.mark.core


def test_jitter_stretches_contrast_around_the_mean_and_adds_brightness():
    image = np.full((1, 2, 2, 3), 0.5, np.float32)
    image[0, 0, 0] = (0.6, 0.4, 0.5)
    image[0, 1, 1] = (0.4, 0.6, 0.5)  # each channel's mean stays 0.5
    images = tf.constant(np.repeat(image, 3, axis=0))
    jittered = color.jitter(images, tf.constant([0.0, 0.1, 0.6]), tf.constant([1.5, 0.5, 1.0]))
    # 0.5 + 1.5 * 0.1; 0.5 + 0.5 * 0.1 + 0.1; 0.6 + 0.6, which is more than 1.
    np.testing.assert_allclose(jittered[:, 0, 0, 0], [0.65, 0.65, 1.0], atol=1e-6)
    # 0.5 - 1.5 * 0.1; 0.5 - 0.5 * 0.1 + 0.1; 0.4 + 0.6.
    np.testing.assert_allclose(jittered[:, 0, 0, 1], [0.35, 0.55, 1.0], atol=1e-6)
    np.testing.assert_allclose(jittered[:2, 0, 1], [[0.5] * 3, [0.6] * 3], atol=1e-6)
