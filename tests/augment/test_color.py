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


def test_each_channel_has_a_contrast_and_a_light_of_its_own():
    strength = color.Strength(0.2, 0.3, 0.1)
    drawn = strength.draw(tf.constant([1, 2]), 500).numpy()
    assert drawn.shape == (500, 3, 3)
    np.testing.assert_array_equal(drawn[..., 0], drawn[:, :1, 0].repeat(3, axis=1))
    for number, (low, high) in enumerate([(0.8, 1.2), (0.7, 1.3), (-0.1, 0.1)]):
        values = drawn[..., number]
        assert low <= values.min() < low + 0.01 and high - 0.01 < values.max() <= high
    numbers = np.concatenate([drawn[:, :1, 0], drawn[..., 1], drawn[..., 2]], axis=1)
    assert np.abs(np.corrcoef(numbers.T) - np.eye(7)).max() < 0.2
    image = np.random.default_rng(0).uniform(0.3, 0.5, (500, 4, 4, 3)).astype(np.float32)
    changed = color.change(tf.constant(image), tf.constant(drawn)).numpy()
    bright = image * drawn[:, None, None, :, 0]
    mean = bright.mean(axis=(1, 2), keepdims=True)
    expected = mean + (bright - mean) * drawn[:, None, None, :, 1] + drawn[:, None, None, :, 2]
    np.testing.assert_allclose(changed, expected, atol=1e-5)


def test_no_strength_changes_nothing_and_colours_stay_in_their_range():
    image = np.random.default_rng(0).uniform(size=(3, 4, 4, 3)).astype(np.float32)
    nothing = color.Strength().draw(tf.constant([1, 2]), 3)
    np.testing.assert_allclose(color.change(tf.constant(image), nothing), image, atol=1e-6)
    much = color.change(tf.constant(image), color.Strength(0.9, 0.9, 0.9).draw(tf.constant([1, 2]), 3))  # fmt: skip
    assert much.numpy().min() >= 0 and much.numpy().max() <= 1


def test_a_share_of_the_images_changes_and_the_others_do_not():
    drawn = color.Strength(0.2, 0.3, 0.1, share=0.25).draw(tf.constant([1, 2]), 2000).numpy()
    same = np.all(drawn == np.array([1, 1, 0], np.float32), axis=(1, 2))
    assert abs(same.mean() - 0.75) < 0.04
    assert np.all(drawn[~same] != np.array([1, 1, 0], np.float32))
    every = color.Strength(0.2, 0.3, 0.1).draw(tf.constant([1, 2]), 2000).numpy()
    np.testing.assert_array_equal(drawn[~same], every[~same])
