"""A linear map of whole feature maps, averaged to a few cells, as a head. See heads.py."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_landmarks.layers.head_base import Head, Located, entries
from tf_landmarks.layers.levels import Levels


class RidgeHead(Head):
    """Each landmark is a linear map of all levels, each averaged to at most `cells` a side.

    Fitted in closed form (evaluation/feature_ridge.py), it says where a landmark is by all that the image shows, and
    not by what lies there. It has no heat map and knows of no doubt: its confidence is always 1.

    Args:
        names: Of the A landmarks.
        channels: D of each level that is read, by name.
        sides: Cells a side that each level is averaged to.
    """

    kind = "ridge"

    def __init__(self, names: Sequence[str], channels: Mapping[str, int], sides: Mapping[str, int]):
        super().__init__(names, {"channels": dict(channels), "sides": dict(sides)})
        self.channels, self.sides = dict(channels), dict(sides)
        for level, depth in channels.items():
            shape = [sides[level] ** 2 * depth, 2 * len(self.names)]
            self._add(f"maps/{level}", np.zeros(shape), trainable=False)
        self._add("intercept", np.zeros([2 * len(self.names)]), trainable=False)

    def __call__(self, levels: Levels) -> Located:
        """Locates the points by `levels [B, h, w, D]`."""
        found = tf.identity(self.weights["intercept"])
        for name, weights in entries(self.weights, "maps").items():
            found = found + tf.matmul(pooled(levels[name], self.sides[name]), weights)
        points = tf.reshape(found, [-1, len(self.names), 2])
        return Located(points, None, tf.ones_like(points[..., 0]))


def pooled(level: tf.Tensor, side: int) -> tf.Tensor:
    """Averages `[B, h, w, D]` to at most `side` cells a side, one after the other: `[B, side^2 D]` float32."""
    size = [min(side, cells) for cells in level.shape[1:3]]
    means = tf.image.resize(tf.cast(level, tf.float32), size, method="area")
    return tf.reshape(means, [-1, size[0] * size[1] * level.shape[-1]])
