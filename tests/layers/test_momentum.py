"""Keys of momentum contrast: the queue, what follows, what is dealt out and brought back."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.layers import grouped_norm, momentum, resnet

pytestmark = pytest.mark.core
EAGER = True

SEED = tf.constant([7, 0], tf.int64)


class Levels(tf.keras.layers.Layer):
    """One normalised level of an image."""

    def __init__(self, groups: int):
        super().__init__()
        self.norm = grouped_norm.GroupedBatchNormalization(groups)

    def call(self, images, training=False):
        return {resnet.LEVELS[-1]: self.norm(images, training=training)}


class Weight(tf.keras.layers.Layer):
    """A weight, and a statistic that nobody trains."""

    def __init__(self, value: float):
        super().__init__()
        self.weight = self.add_weight("w", [], initializer=tf.constant_initializer(value))
        self.statistic = self.add_weight(
            "s", [], initializer=tf.constant_initializer(value), trainable=False
        )


def make_keys(groups: int = 1, dim: int = 2, length: int = 4) -> momentum.MomentumKeys:
    tf.keras.utils.set_random_seed(1)
    return momentum.MomentumKeys(Levels(groups), resnet.Embedding(dim), dim, length)


def random_images() -> tf.Tensor:
    """`[8, 2, 2, 3]`, every row on a level of its own."""
    draw = np.random.default_rng(0).normal(size=(8, 2, 2, 3)) + np.arange(8).reshape(8, 1, 1, 1)
    return tf.constant(draw, tf.float32)


def test_new_keys_take_the_places_of_the_oldest():
    keys = make_keys(dim=1)
    for first in (1.0, 4.0):
        keys.push(tf.reshape(first + tf.range(3.0), [3, 1]))
    np.testing.assert_array_equal(keys.queue[:, 0], [5, 6, 3, 4])
    assert int(keys.pointer) == 2


def test_of_more_keys_than_there_are_places_the_last_stay():
    keys = make_keys(dim=1)
    keys.push(tf.reshape(tf.range(7.0), [7, 1]))
    assert sorted(keys.queue[:, 0].numpy()) == [3, 4, 5, 6]


def test_the_queue_starts_with_keys_whose_length_is_1_on_average():
    keys = make_keys(dim=128, length=512)
    values = keys.queue.numpy()
    limit = np.sqrt(3 / 128)
    assert 0.999 * limit < np.abs(values).max() <= limit == pytest.approx(0.1531, abs=1e-4)
    assert np.mean(np.sum(values**2, axis=-1)) == pytest.approx(1.0, abs=0.01)
    assert int(keys.pointer) == 0 and not keys.queue.trainable


def test_weights_follow_by_a_thousandth_of_the_way_and_statistics_do_not():
    copies = momentum.MomentumKeys(Weight(0.0), Weight(0.0), 1, 1)
    one = Weight(1.0)
    expected = {1: 0.001, 10: 0.0099551, 693: 0.5000998}
    for step in range(1, 694):
        copies.follow(one, one, 0.999)
        if step in expected:
            for layer in (copies.encoder, copies.embedding):
                assert float(layer.weight) == pytest.approx(expected[step], rel=2e-5)
                assert float(layer.statistic) == 0.0


def test_no_gradient_reaches_keys_and_their_statistics_move_in_training_alone():
    keys, images = make_keys(2), random_images()
    keys(images, SEED, training=False)
    mean = keys.encoder.norm.moving_mean
    np.testing.assert_array_equal(mean, [0, 0, 0])
    weights = keys.trainable_variables
    assert len(weights) == 4  # scale and shift, kernel and bias
    with tf.GradientTape() as tape:
        tape.watch(images)
        own, everyones = keys(images, SEED, training=True)
        loss = tf.reduce_sum(own[:, 0] + everyones[:, 1])
    assert tape.gradient(loss, [images, *weights]) == [None] * 5
    # By a tenth of the mean over both groups, which is that of all rows.
    np.testing.assert_allclose(mean, 0.1 * np.mean(images, axis=(0, 1, 2)), rtol=1e-5)


def test_keys_come_back_in_the_order_of_their_images():
    keys, images = make_keys(1), random_images()
    plain = keys.embedding(keys.encoder(images, training=True)[resnet.LEVELS[-1]])
    own, everyones = keys(images, SEED, training=True)
    # One group is normalised alike in any order.
    np.testing.assert_allclose(own, plain, atol=1e-5)
    np.testing.assert_array_equal(own, everyones)
    np.testing.assert_allclose(np.linalg.norm(own, axis=-1), 1, atol=1e-5)
    assert np.ptp(own, axis=0).max() > 0.1


def test_groups_are_of_images_that_are_dealt_out_anew_by_the_seed():
    keys, images = make_keys(2), random_images()

    def dealt(order: np.ndarray) -> np.ndarray:
        values = keys.encoder(tf.gather(images, order), training=True)[resnet.LEVELS[-1]]
        return keys.embedding(values).numpy()[np.argsort(order)]

    for seed in (SEED, SEED + 1):
        order = tf.random.experimental.stateless_shuffle(tf.range(8), seed).numpy()
        found = keys(images, seed, training=True)[0]
        np.testing.assert_allclose(found, dealt(order), atol=1e-5)
        assert np.abs(found - dealt(np.arange(8))).max() > 0.01
    assert np.abs(keys(images, SEED, training=True)[0] - found).max() > 0.01
