"""A U-Net small enough for a CPU, from an image to features at half its side."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from tf_landmarks.errors import UserError
from tf_landmarks.layers import blocks

WIDTHS = (16, 32, 64, 64)
#: What the sides of the images are multiples of that a network of these widths takes.
MULTIPLE = 2 ** (len(WIDTHS) - 1)
Guests = Mapping[int, tf.Tensor]


class UNet(tf.keras.layers.Layer):
    """Pairs of 3x3 convolutions down, each at half the resolution of the one before, and bilinearly up with skips.

    Every convolution has batch normalisation and ReLU. What comes out has half the input's side and as many channels as
    the second pair; the input's side is a multiple of 2 to the number of pairs after the first.

    Args:
        widths: Channels of each pair, from the finest on.
        sync_batch_norm: Whether replicas share batch statistics.
        momentum: Of the statistics' moving averages.
        guests: The pairs, by number from 0, to whose features those of another network are added, through a 1x1
            convolution each.
        weight_decay: Coefficient of `1/2 |W|^2` on the kernels.
    """

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        sync_batch_norm: bool = False,
        momentum: float = 0.99,
        guests: Sequence[int] = (),
        weight_decay: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        common = {
            "weight_decay": weight_decay,
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
        self._places = tuple(guests)
        self.guests = [blocks.ConvBlock(widths[number], 1, **common) for number in guests]

    def call(
        self, inputs: tf.Tensor, training: bool = False, guests: Guests | None = None
    ) -> tf.Tensor:
        """`[B, S, S, C]` around 0 to `[B, S / 2, S / 2, D]`; see `levels`."""
        return self.levels(inputs, training, guests)[0]

    def levels(
        self, inputs: tf.Tensor, training: bool = False, guests: Guests | None = None
    ) -> list[tf.Tensor]:
        """The same, and what it is made of at each coarser size on the way up: the finest first.

        Args:
            inputs: `[B, S, S, C]` around 0.
            training: Whether to normalise by the batch's statistics.
            guests: By pair, as the constructor names them, features of its size.
        """
        features, skips = inputs, []
        for number, (first, second) in enumerate(self.down):
            features = second(first(features, training=training), training=training)
            if number in self._places:
                guest = self.guests[self._places.index(number)]
                features += guest(guests[number], training=training)
            skips.append(features)
        found = [features]
        for block, skip in zip(self.up, skips[-2:0:-1], strict=True):
            features = tf.concat([blocks.upsample_2x(features), skip], axis=-1)
            features = block(features, training=training)
            found.insert(0, features)
        return found


def check_size(image_size: int, flag: str) -> None:
    """Checks that images can be halved as often as a U-Net of `WIDTHS` does it.

    Args:
        image_size: Their side, pixels.
        flag: What chose the network, `--method=value`.

    Raises:
        UserError: Naming both flags.
    """
    if image_size % MULTIPLE:
        raise UserError(f"--image_size={image_size}: {flag} takes multiples of {MULTIPLE}")


class HeatmapUNet(tf.keras.layers.Layer):
    """A U-Net of about 250 000 parameters whose last convolution scores the places of each landmark.

    Args:
        num_points: A.
        widths: See `UNet`.
        sync_batch_norm: See `UNet`.
        guests: See `UNet`.
    """

    def __init__(
        self,
        num_points: int,
        widths: Sequence[int] = WIDTHS,
        sync_batch_norm: bool = False,
        guests: Sequence[int] = (),
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.trunk = UNet(widths, sync_batch_norm, guests=guests)
        self.scores = tf.keras.layers.Conv2D(num_points, 1)

    def call(
        self, inputs: tf.Tensor, training: bool = False, guests: Guests | None = None
    ) -> tf.Tensor:
        """`[B, S, S, 3]` in [0, 1] to logits `[B, S / 2, S / 2, A]`, float32; guests: see `UNet.levels`."""
        features = self.trunk(inputs - 0.5, training=training, guests=guests)
        return tf.cast(self.scores(features), tf.float32)
