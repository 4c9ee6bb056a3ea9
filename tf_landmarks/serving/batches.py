"""Batches of any number of images, none included."""

import tensorflow as tf


def at_least_one(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts an element of zeros into an empty batch: on CPUs, fused batch normalisation fails on none.

    Returns:
        The batch, and how many of its elements are real.
    """
    count = tf.shape(batch)[0]
    missing = tf.maximum(1 - count, 0)
    padding = [[0, missing]] + [[0, 0]] * (batch.shape.rank - 1)
    return tf.ensure_shape(tf.pad(batch, padding), batch.shape), count
