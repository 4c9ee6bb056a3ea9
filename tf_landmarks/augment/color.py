"""Random changes of colour, applied as drawn elsewhere."""

import tensorflow as tf

_FLAT = 1e-4  # a variance below which there is nothing but noise


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


def transfer(images: tf.Tensor, others: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """Gives images the colours of others: of each channel its mean and its spread (Reinhard et al. 2001, here of RGB).

    Args:
        images: `[N, H, W, C]` in [0, 1].
        others: As many, of any size.
        shares: `[N]` in [0, 1], how much each image changes; 0 changes nothing.

    Returns:
        `[N, H, W, C]` in [0, 1].
    """
    (mean, variance), (goal, goal_variance) = (
        tf.nn.moments(x, [1, 2], keepdims=True) for x in (images, others)
    )
    # An image of one colour has no contrast to stretch: noise would be.
    factor = tf.sqrt((goal_variance + _FLAT) / (variance + _FLAT))
    changed = tf.clip_by_value((images - mean) * factor + goal, 0.0, 1.0)
    return images + shares[:, tf.newaxis, tf.newaxis, tf.newaxis] * (changed - images)
