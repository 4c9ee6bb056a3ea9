"""Images in a mirror, where left and right landmarks change places."""

import dataclasses
from typing import Literal

import tensorflow as tf

#: What a mirror exchanges: left and right of the image, or top and bottom.
Axis = Literal["none", "horizontal", "vertical"]


@dataclasses.dataclass(frozen=True)
class Mirror:
    """What a mirror does to some images of a batch, which `which [B]` bool names.

    Attributes:
        axis: See `Axis`; by "none", nothing.
        order: The landmark that each of the A is in the mirror.
    """

    axis: Axis = "none"
    order: tuple[int, ...] = ()

    def draw(self, seed: tf.Tensor, count: int) -> tf.Tensor:
        """`[count]` bool, each true with probability 1/2; none without a mirror."""
        if self.axis == "none":
            return tf.zeros([count], tf.bool)
        return tf.random.stateless_uniform([count], seed) < 0.5

    def images(self, images: tf.Tensor, which: tf.Tensor) -> tf.Tensor:
        """Mirrors some of `[B, H, W, C]`: images, or the places where images are read."""
        if self.axis == "none":
            return images
        mirrored = tf.reverse(images, [2 if self.axis == "horizontal" else 1])
        return tf.where(which[:, tf.newaxis, tf.newaxis, tf.newaxis], mirrored, images)

    def points(self, points: tf.Tensor, which: tf.Tensor) -> tf.Tensor:
        """Where landmarks `[B, A, 2]`, (y, x) in the corner convention, are then."""
        if self.axis == "none":
            return points
        signs = [1.0, -1.0] if self.axis == "horizontal" else [-1.0, 1.0]
        mirrored = tf.gather(points, self.order, axis=1) * tf.constant(signs)
        return tf.where(which[:, tf.newaxis, tf.newaxis], mirrored, points)

    def values(self, values: tf.Tensor, which: tf.Tensor) -> tf.Tensor:
        """What is known of landmarks, `[B, A]`, in their order then."""
        if self.axis == "none":
            return values
        mirrored = tf.gather(values, self.order, axis=1)
        return tf.where(which[:, tf.newaxis], mirrored, values)
