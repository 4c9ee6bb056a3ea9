"""The two networks of Thewlis, Albanie, Bilen and Vedaldi 2019 (DVE): a descriptor for every second pixel.

Neither paper nor configurations state what follows a default of theirs: normalisation has epsilon 1e-5 and momentum
0.9, and the hourglass' weights and biases start within +-1/sqrt(fan_in).
"""

import tensorflow as tf

from tf_landmarks.layers import blocks, grouped_norm, resnet


class SmallNet(tf.keras.layers.Layer):
    """Six convolutions, at half the images' size after the first: `[B, S, S, 3]` to `[B, S/2, S/2, dim]`.

    Args:
        dim: Channels of a descriptor.
        make_norm: Makes each normalisation.
    """

    #: Channels, side and dilation of the convolutions before the last.
    TRUNK = ((20, 5, 1), (48, 5, 1), (64, 5, 2), (80, 3, 4), (256, 3, 2))

    def __init__(
        self,
        dim: int,
        make_norm: resnet.MakeNorm = grouped_norm.GroupedBatchNormalization,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.convs = [
            blocks.conv(filters, side, dilation=dilation, initializer=_xavier_normal)
            for filters, side, dilation in self.TRUNK
        ]
        self.norms = [make_norm() for _ in self.TRUNK]
        self.activation = tf.keras.layers.LeakyReLU(0.2)
        self.pool = tf.keras.layers.MaxPooling2D(2)
        self.head = blocks.conv(dim, 1, initializer=_xavier_normal)

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = images
        for index, (layer, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            features = self.activation(norm(layer(features), training=training))
            if index == 0:
                features = self.pool(features)
        return self.head(features)


def _xavier_normal() -> tf.keras.initializers.Initializer:
    return tf.keras.initializers.VarianceScaling(1.0, "fan_avg", "untruncated_normal")


class DescriptorHourglass(tf.keras.layers.Layer):
    """One hourglass of bottleneck blocks: `[B, S, S, 3]` to `[B, S/2, S/2, dim]`; S is a multiple of 32.

    Args:
        dim: Channels of a descriptor.
        make_norm: Makes each normalisation.
    """

    WIDTH = 128

    def __init__(
        self,
        dim: int = 64,
        make_norm: resnet.MakeNorm = grouped_norm.GroupedBatchNormalization,
        **kwargs,
    ):
        super().__init__(**kwargs)
        full = 2 * self.WIDTH
        self.stem = _conv(3, 64, 7, 2)
        self.stem_norm = make_norm()
        #: After the stem and before the head: one layer in the released code, see layers/activation_memory.py.
        self.relu = tf.keras.layers.ReLU()
        self.entry = [
            PreActivationBlock(channels, width, make_norm)
            for channels, width in ((64, 64), (128, self.WIDTH), (full, self.WIDTH))
        ]
        self.hourglass = BottleneckHourglass(4, self.WIDTH, make_norm)
        self.exit = _residual(self.WIDTH, make_norm)
        self.exit_conv = _conv(full, full, 1)
        self.exit_norm = make_norm()
        self.head = _conv(full, dim, 1)

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        if any(side is None or side % 32 for side in images.shape[1:3]):
            raise ValueError(f"images of shape {images.shape}; sides are multiples of 32")
        features = resnet.convolve(self.stem, images)
        features = self.relu(self.stem_norm(features, training=training))
        features = _through(self.entry, features, training)
        features = self.hourglass(features, training=training)
        features = self.exit_conv(_through(self.exit, features, training))
        return self.head(self.relu(self.exit_norm(features, training=training)))


class BottleneckHourglass(tf.keras.layers.Layer):
    """Halves by maxima, doubles by repetition, four blocks before, after and beside at each size.

    Args:
        depth: How often it halves.
        width: Channels inside a block; it takes and gives twice as many.
        make_norm: Makes each normalisation.
    """

    def __init__(self, depth: int, width: int, make_norm: resnet.MakeNorm, **kwargs):
        super().__init__(**kwargs)
        self.skips, self.downs, self.ups = (
            [_residual(width, make_norm) for _ in range(depth)] for _ in range(3)
        )
        self.bottom = _residual(width, make_norm)
        self.pool = tf.keras.layers.MaxPooling2D(2)
        self.double = tf.keras.layers.UpSampling2D(2)

    def call(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self._at(0, features, training)

    def _at(self, index: int, features: tf.Tensor, training: bool) -> tf.Tensor:
        if index == len(self.skips):
            return _through(self.bottom, features, training)
        skip = _through(self.skips[index], features, training)
        below = _through(self.downs[index], self.pool(features), training)
        below = self._at(index + 1, below, training)
        return skip + self.double(_through(self.ups[index], below, training))


class PreActivationBlock(tf.keras.layers.Layer):
    """Normalisation, ReLU, convolution, three times (1x1, 3x3, 1x1), beside a shortcut.

    Args:
        channels: Of its input.
        width: Of the first two convolutions; it gives twice as many. Where that is not what it takes, the shortcut is
            a 1x1 convolution of the input.
        make_norm: Makes each normalisation.
    """

    def __init__(self, channels: int, width: int, make_norm: resnet.MakeNorm, **kwargs):
        super().__init__(**kwargs)
        self.convs = [
            _conv(channels, width, 1),
            _conv(width, width, 3),
            _conv(width, 2 * width, 1),
        ]
        self.norms = [make_norm() for _ in self.convs]
        self.relu = tf.keras.layers.ReLU()
        self.shortcut = _conv(channels, 2 * width, 1) if channels != 2 * width else None

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = inputs
        for layer, norm in zip(self.convs, self.norms, strict=True):
            features = layer(self.relu(norm(features, training=training)))
        return features + (inputs if self.shortcut is None else self.shortcut(inputs))


def _residual(width: int, make_norm: resnet.MakeNorm) -> list[PreActivationBlock]:
    return [PreActivationBlock(2 * width, width, make_norm) for _ in range(4)]


def _through(layers: list[PreActivationBlock], features: tf.Tensor, training: bool) -> tf.Tensor:
    for layer in layers:
        features = layer(features, training=training)
    return features


def _conv(channels: int, filters: int, side: int, stride: int = 1) -> tf.keras.layers.Conv2D:
    """A convolution with bias for `resnet.convolve`."""
    kernel, bias = resnet.uniform(side**2 * channels)
    return tf.keras.layers.Conv2D(
        filters,
        side,
        stride,
        padding="same" if stride == 1 else "valid",
        kernel_initializer=kernel,
        bias_initializer=bias,
    )
