"""Random changes of colour, applied as drawn elsewhere."""

import tensorflow as tf


def jitter(images: tf.Tensor, brightness: tf.Tensor, contrast: tf.Tensor) -> tf.Tensor:
    """Stretches the contrast of each image around its mean and adds to its brightness.

    Args:
        images: `[B, H, W, 3]` float32 in [0, 1].
        brightness: `[B]`, added.
        contrast: `[B]`, a factor.

    Returns:
        `[B, H, W, 3]` float32, clipped to [0, 1].
    """
    brightness, contrast = (
        x[:, tf.newaxis, tf.newaxis, tf.newaxis] for x in (brightness, contrast)
    )
    mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    return tf.clip_by_value((images - mean) * contrast + mean + brightness, 0.0, 1.0)
