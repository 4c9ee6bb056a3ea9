"""Hourglass networks: down to a few cells and up again, with a side branch at every size (LMDIS)."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tf_landmarks.layers import blocks


class Level(NamedTuple):
    """The convolutions at one size.

    Attributes:
        down: Channels of those on the way down.
        up: Channels of those on the way up, after the side branch has been added.
    """

    down: tuple[int, ...]
    up: tuple[int, ...]


class Hourglass(tf.keras.layers.Layer):
    """Halves by maxima, doubles by repetition, adds a branch of convolutions at each size.

    Every convolution is 3x3 with batch normalisation and leaky ReLU, the side branches' too.

    Args:
        levels: From the input's size to the smallest, which has no side branch; the side of the input
            is a multiple of 2 to the number of halvings.
        branch: Convolutions of a side branch.
        linear: Whether the last convolution of all has no activation.
        common: Of every `ConvBlock`: weight decay, initializer, momentum, leak.
    """

    def __init__(self, levels: Sequence[Level], branch: int, linear: bool, common: dict, **kwargs):
        super().__init__(**kwargs)
        self.down = [[blocks.ConvBlock(c, **common) for c in level.down] for level in levels]
        self.up = []
        for level in levels:
            leaks = [common["leak"]] * len(level.up)
            if linear and level is levels[0]:
                leaks[-1] = 1.0
            self.up.append(
                [
                    blocks.ConvBlock(c, **{**common, "leak": leak})
                    for c, leak in zip(level.up, leaks, strict=True)
                ]
            )
        self.branches = []
        for level, below in itertools.pairwise(levels):
            wide, last = max(level.down[-1], below.up[-1]), below.up[-1]
            channels = [wide] * (branch - 1) + [last]
            self.branches.append([blocks.ConvBlock(c, **common) for c in channels])

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self._at(0, images, training)

    def _at(self, index: int, features: tf.Tensor, training: bool) -> tf.Tensor:
        for block in self.down[index]:
            features = block(features, training=training)
        if index < len(self.branches):
            skip = features
            for block in self.branches[index]:
                skip = block(skip, training=training)
            below = self._at(index + 1, tf.nn.max_pool2d(features, 2, 2, "VALID"), training)
            features = tf.repeat(tf.repeat(below, 2, axis=1), 2, axis=2) + skip
        for block in self.up[index]:
            features = block(features, training=training)
        return features
