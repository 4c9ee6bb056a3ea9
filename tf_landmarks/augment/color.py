"""Random changes of colour, applied as drawn elsewhere."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Strength:
    """How many images change, and how strongly, in brightness and, each channel by itself, in contrast and light.

    Images that never change keep what batch normalisation measures near to what is seen after training.

    Attributes:
        brightness: Factors of the whole image reach from 1 - this to 1 + this.
        contrast: Factors of what a channel differs from its mean, likewise.
        light: What is added to a channel reaches from -this to this.
        share: Of the images that change.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    light: float = 0.0
    share: float = 1.0

    def draw(self, seed: tf.Tensor, count: int) -> tf.Tensor:
        """`[count, 3, 3]`: for each channel of each image a factor of brightness, one of contrast, and its light."""
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 4))
        whole = tf.random.stateless_uniform([count, 1], seeds[0], -1.0, 1.0)
        contrast, light = (
            tf.random.stateless_uniform([count, 3], own, -1.0, 1.0) for own in seeds[1:3]
        )
        brightness = tf.broadcast_to(1.0 + self.brightness * whole, [count, 3])
        drawn = tf.stack([brightness, 1.0 + self.contrast * contrast, self.light * light], axis=-1)
        changed = tf.random.stateless_uniform([count, 1, 1], seeds[3]) < self.share
        return tf.where(changed, drawn, [1.0, 1.0, 0.0])


def change(images: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
    """Changes `images [B, H, W, 3]` in [0, 1] by what a `Strength` drew."""
    brightness, contrast, light = tf.unstack(drawn, axis=-1)
    images = tf.minimum(images * brightness[:, tf.newaxis, tf.newaxis], 1.0)
    return jitter(images, light, contrast)


def jitter(images: tf.Tensor, brightness: tf.Tensor, contrast: tf.Tensor) -> tf.Tensor:
    """Stretches the contrast of each image around its mean and adds to its brightness.

    Args:
        images: `[B, H, W, 3]` float32 in [0, 1].
        brightness: `[B]`, added; or `[B, 3]`, to each channel.
        contrast: Likewise, a factor.

    Returns:
        `[B, H, W, 3]` float32, clipped to [0, 1].
    """
    brightness, contrast = (
        tf.reshape(x, [tf.shape(x)[0], 1, 1, -1]) for x in (brightness, contrast)
    )
    mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    return tf.clip_by_value((images - mean) * contrast + mean + brightness, 0.0, 1.0)
