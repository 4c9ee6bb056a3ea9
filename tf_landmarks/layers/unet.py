"""A U-Net small enough for a CPU, from an image to features at half its side."""

from collections.abc import Sequence

import tensorflow as tf

from tf_landmarks.layers import blocks


class UNet(tf.keras.layers.Layer):
    """Pairs of 3x3 convolutions down, each at half the resolution of the one before, and bilinearly up with skips.

    Every convolution has batch normalisation and ReLU. What comes out has half the input's side and as many channels as
    the second pair; the input's side is a multiple of 2 to the number of pairs after the first.

    Args:
        widths: Channels of each pair, from the finest on.
        sync_batch_norm: Whether replicas share batch statistics.
        momentum: Of the statistics' moving averages.
    """

    def __init__(
        self,
        widths: Sequence[int] = (16, 32, 64, 64),
        sync_batch_norm: bool = False,
        momentum: float = 0.99,
        **kwargs,
    ):
        super().__init__(**kwargs)
        common = {
            "initializer": tf.keras.initializers.HeNormal,
            "sync_batch_norm": sync_batch_norm,
            "momentum": momentum,
        }
        self.down = [
            (
                blocks.ConvBlock(width, strides=1 if i == 0 else 2, **common),
                blocks.ConvBlock(width, **common),
            )
            for i, width in enumerate(widths)
        ]
        self.up = [blocks.ConvBlock(width, **common) for width in widths[-2:0:-1]]

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[B, S, S, C]` around 0 to `[B, S / 2, S / 2, D]`."""
        return self.levels(inputs, training)[0]

    def levels(self, inputs: tf.Tensor, training: bool = False) -> list[tf.Tensor]:
        """The same, and what it is made of at each coarser size on the way up: the finest first."""
        features, skips = inputs, []
        for first, second in self.down:
            features = second(first(features, training=training), training=training)
            skips.append(features)
        found = [features]
        for block, skip in zip(self.up, skips[-2:0:-1], strict=True):
            features = tf.concat([blocks.upsample_2x(features), skip], axis=-1)
            features = block(features, training=training)
            found.insert(0, features)
        return found


class HeatmapUNet(tf.keras.layers.Layer):
    """A U-Net of about 250 000 parameters whose last convolution scores the places of each landmark.

    Args:
        num_points: A.
        widths: See `UNet`.
        sync_batch_norm: See `UNet`.
    """

    def __init__(
        self,
        num_points: int,
        widths: Sequence[int] = (16, 32, 64, 64),
        sync_batch_norm: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.trunk = UNet(widths, sync_batch_norm)
        self.scores = tf.keras.layers.Conv2D(num_points, 1)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[B, S, S, 3]` in [0, 1] to logits `[B, S / 2, S / 2, A]`, float32."""
        return tf.cast(self.scores(self.trunk(inputs - 0.5, training=training)), tf.float32)
