"""The networks of IMM, and its bottleneck: an image to features, these to points and blobs, blobs and features to an image."""

import math

import tensorflow as tf

from tf_landmarks.layers import blocks, soft_argmax, unet
from tf_landmarks.methods.imm_options import ImmOptions


class Body(tf.keras.layers.Layer):
    """The convolutional body of detector and encoder: S x S image to grid x grid features.

    A 7x7 and a 3x3 block at full size, then per halving a stride-2 and a stride-1 block, channels
    doubling: 32 to 256 for 128 px.
    """

    def __init__(self, halvings: int, options: ImmOptions, sync: bool, **kwargs):
        super().__init__(**kwargs)
        self.blocks = []
        for level in range(halvings + 1):
            filters = options.width * 2**level
            first = (7, 1) if level == 0 else (3, 2)
            for kernel, stride in (first, (3, 1)):
                block = blocks.ConvBlock(filters, kernel, stride, options.weight_decay, sync)
                self.blocks.append(block)

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = images
        for block in self.blocks:
            features = block(features, training=training)
        return features  # [B, grid, grid, width * 2^halvings]


class Renderer(tf.keras.layers.Layer):
    """The generator: grid x grid features and blobs to an S x S image."""

    def __init__(self, halvings: int, options: ImmOptions, sync: bool, **kwargs):
        super().__init__(**kwargs)
        self.levels = []
        for level in range(halvings + 1):
            filters = max(options.renderer_min_width, options.renderer_width // 2**level)
            count = 1 if level == halvings else 2
            self.levels.append(
                [blocks.ConvBlock(filters, 3, 1, options.weight_decay, sync) for _ in range(count)]
            )
        self.output_conv = blocks.conv(3, 3, weight_decay=options.weight_decay)
        self._half_pixel_centers = not options.legacy_resize

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = inputs
        for level, layers in enumerate(self.levels):
            if level > 0:
                features = blocks.upsample_2x(features, self._half_pixel_centers)
            for block in layers:
                features = block(features, training=training)
        return tf.cast(self.output_conv(features), tf.float32)  # [B, S, S, 3]


class CentredUNet(unet.UNet):
    """A U-Net of images in [0, 1]."""

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return super().call(inputs - 0.5, training=training)


class LandmarkBottleneck(tf.keras.layers.Layer):
    """What crosses from target to output: K landmarks, each redrawn as a blob."""

    def __init__(self, num_landmarks: int, options: ImmOptions, **kwargs):
        super().__init__(**kwargs)
        # Behind a U-Net's few channels, weights of 0.01 leave all maps alike, and many points never part.
        narrow = options.detector == "unet"
        self.head = blocks.conv(
            num_landmarks, 1, weight_decay=options.weight_decay,
            initializer=tf.keras.initializers.GlorotNormal if narrow else blocks.TRUNCATED,
        )  # fmt: skip
        self._options = options

    def points(self, features: tf.Tensor) -> soft_argmax.Detection:
        """Reads landmarks off `features [B, grid, grid, C]`."""
        return soft_argmax.soft_argmax(self.head(features), self._options.softargmax)

    def maps(self, points: tf.Tensor) -> tf.Tensor:
        """Makes `[B, grid, grid, K]` blobs of `points [B, K, 2]`."""
        return _blobs(points, self._options)


class VectorBottleneck(tf.keras.layers.Layer):
    """The ablation's bottleneck: K pairs of numbers in [-1, 1] that need not be places.

    The paper gives the number of numbers (10, 20, 60) and no more; that they are bounded by tanh, and
    drawn as maps of the same size as blobs by one linear layer, is ours.
    """

    def __init__(self, num_landmarks: int, options: ImmOptions, **kwargs):
        super().__init__(**kwargs)
        self._options = options
        self._shape = (options.grid, options.grid, num_landmarks)
        self.encode = tf.keras.layers.Dense(2 * num_landmarks, dtype=tf.float32)
        self.decode = tf.keras.layers.Dense(math.prod(self._shape), dtype=tf.float32)

    def points(self, features: tf.Tensor) -> soft_argmax.Detection:
        """Encodes `features [B, grid, grid, C]`; blobs stand in for maps, of which there are none."""
        flat = tf.reshape(features, [-1, math.prod(features.shape[1:])])
        points = tf.reshape(tf.tanh(self.encode(flat)), [-1, self._shape[2], 2])
        blobs = _blobs(points, self._options)
        total = tf.reduce_sum(blobs, axis=(1, 2), keepdims=True)
        return soft_argmax.Detection(points, tf.math.divide_no_nan(blobs, total), blobs)

    def maps(self, points: tf.Tensor) -> tf.Tensor:
        """Makes `[B, grid, grid, K]` maps of `points [B, K, 2]`."""
        flat = tf.reshape(points, [-1, 2 * self._shape[2]])
        return tf.reshape(self.decode(flat), [-1, *self._shape])


BOTTLENECKS = {"landmarks": LandmarkBottleneck, "vector": VectorBottleneck}


def _blobs(points: tf.Tensor, options: ImmOptions) -> tf.Tensor:
    size = (options.grid, options.grid)
    return soft_argmax.gaussian_maps(points, size, options.blob_std, options.blob)


class Discriminator(tf.keras.layers.Layer):
    """Tells real images from rebuilt ones, patch by patch; the paper does not describe its own."""

    def __init__(self, width: int, **kwargs):
        super().__init__(**kwargs)
        self.convs = [
            tf.keras.layers.Conv2D(width * 2**level, 4, 2, padding="same") for level in range(3)
        ]
        self.verdict = tf.keras.layers.Conv2D(1, 3, padding="same")

    def call(self, images: tf.Tensor) -> tf.Tensor:
        features = 2.0 * images - 1.0
        for conv in self.convs:
            features = tf.nn.leaky_relu(conv(features), 0.2)
        return tf.cast(self.verdict(features), tf.float32)  # [B, S/8, S/8, 1]: 1 real, 0 rebuilt


def num_halvings(image_size: int, grid: int) -> int:
    """How often an image must be halved to reach the grid."""
    return int(math.log2(image_size // grid))
