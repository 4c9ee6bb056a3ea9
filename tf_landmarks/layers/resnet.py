"""Residual networks for dense features (He et al. 2016), as Cheng, Su and Maji 2021 train them.

Blocks of the first version: normalisation and ReLU after convolutions, a bottleneck's stride in its 3x3. Keras' own
ResNet50 has the stride in a 1x1, and is another network (keras_resnet.py).

Where something is strided, padding is as much before as after: cell i is read around pixel `stride * i`. "same" of
TensorFlow would pad even sizes by one less before and read it around pixel `stride * i + stride - 1`.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

#: Makes one normalisation; called with `training`.
MakeNorm = Callable[[], tf.keras.layers.Layer]

#: The levels of features, the finest first.
LEVELS = ("conv2_x", "conv3_x", "conv4_x", "conv5_x")


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What residual networks differ in.

    Attributes:
        blocks: How many a level has, of each of `LEVELS`.
        widths: Channels of a level's 3x3 convolutions.
        bottleneck: Whether blocks are 1x1, 3x3, 1x1 with four times as many channels at their end; else two 3x3.
        stem: Channels of the first convolution, 7x7 with stride 2.
        pool: Whether maxima halve once more behind it.
        first_stride: Whether a bottleneck's stride is in its first 1x1, as in Keras' ResNet50.
    """

    blocks: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    bottleneck: bool
    stem: int = 64
    pool: bool = True
    first_stride: bool = False

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each of `LEVELS`."""
        return tuple(4 * width if self.bottleneck else width for width in self.widths)


#: "half" halves the levels, not the stem: only so does it have the published 6 033 728 parameters.
ARCHITECTURES = {
    "resnet18": Architecture((2, 2, 2, 2), (64, 128, 256, 512), bottleneck=False),
    "resnet50": Architecture((3, 4, 6, 3), (64, 128, 256, 512), bottleneck=True),
    "resnet50_half": Architecture((3, 4, 6, 3), (32, 64, 128, 256), bottleneck=True),
    "small": Architecture((2, 2, 2, 2), (16, 32, 64, 128), bottleneck=False, stem=16, pool=False),
}
_PUBLISHED = {
    "stem": "conv1",
    "stem_norm": "bn1",
    "shortcut": "downsample.0",
    "shortcut_norm": "downsample.1",
}


class ResNet(tf.keras.layers.Layer):
    """Features of images at four sizes.

    Args:
        architecture: One of `ARCHITECTURES`, or another.
        make_norm: Makes each normalisation.
        dilated_levels: How many of the last levels do not halve: their 3x3 convolutions have taps 2, 4, ... cells
            apart instead, so that every second, fourth, ... cell is what it would be otherwise. Weights are the same.

    Raises:
        ValueError: If more than the last three levels are to be dilated.
    """

    def __init__(
        self,
        architecture: Architecture,
        make_norm: MakeNorm,
        dilated_levels: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.stem = conv(architecture.stem, 7, 2)
        self.stem_norm = make_norm()
        self.relu = tf.keras.layers.ReLU()
        self.pool = tf.keras.layers.MaxPooling2D(3, 2) if architecture.pool else None
        self.levels, channels = [], architecture.stem
        if not 0 <= dilated_levels < len(LEVELS):
            raise ValueError(f"dilated_levels={dilated_levels}: the first level has no stride")
        levels = zip(architecture.blocks, architecture.widths, architecture.channels, strict=True)
        dilation = 1
        for index, (count, width, out) in enumerate(levels):
            is_dilated = index >= len(LEVELS) - dilated_levels
            level = []
            for number in range(count):
                stride = 2 if index and not number and not is_dilated else 1
                # What would halve has taps as far apart as the level before it.
                after = 2 * dilation if is_dilated else dilation
                taps = (after if number or architecture.first_stride else dilation, after)
                project = (index and not number) or channels != out
                level.append(
                    ResidualBlock(width, stride, bool(project), architecture, make_norm, taps)
                )
                channels = out
            dilation *= 2 if is_dilated else 1
            self.levels.append(level)

    def call(self, images: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Computes features after each level's last ReLU.

        Args:
            images: `[B, S, S, 3]`, already standardised.
            training: Whether to normalise by the batch's statistics.

        Returns:
            `[B, h, h, C]` for each of `LEVELS`, the finest first; h is S/4, S/8, S/16, S/32 rounded up, twice that
            without the pool; a dilated level has the h of the one before it.
        """
        features = self.relu(self.stem_norm(convolve(self.stem, images), training=training))
        if self.pool is not None:
            # After a ReLU a border of zeros never is the only maximum.
            features = self.pool(pad(features, 1))
        found = {}
        for name, level in zip(LEVELS, self.levels, strict=True):
            for block in level:
                features = block(features, training=training)
            found[name] = features
        return found

    @staticmethod
    def published_name(path: str) -> str:
        """What torchvision calls the layer at a path of this one: `layer1.0.bn2` is levels/0/0/norms/1."""
        if path in _PUBLISHED:
            return _PUBLISHED[path]
        _, level, block, kind, *number = path.split("/")
        names = {"convs": "conv", "norms": "bn"}
        layer = f"{names[kind]}{int(number[0]) + 1}" if number else _PUBLISHED[kind]
        return f"layer{int(level) + 1}.{block}.{layer}"


class ResidualBlock(tf.keras.layers.Layer):
    """Two or three convolutions beside a shortcut, ReLU after their sum.

    Args:
        width: Channels of its 3x3 convolutions.
        stride: Of its (first) 3x3 convolution, or of its first one, and of the shortcut.
        project: Whether the shortcut is a 1x1 convolution with normalisation; else the input.
        architecture: Of which `bottleneck` and `first_stride` count.
        make_norm: Makes each normalisation.
        taps: Distances of the taps of its first 3x3 convolution, and of the second if it has two.
    """

    def __init__(
        self,
        width: int,
        stride: int,
        project: bool,
        architecture: Architecture,
        make_norm: MakeNorm,
        taps: tuple[int, int] = (1, 1),
        **kwargs,
    ):
        super().__init__(**kwargs)
        if architecture.bottleneck:
            strides = (stride, 1) if architecture.first_stride else (1, stride)
            self.convs = [
                conv(width, 1, strides[0]),
                conv(width, 3, strides[1], taps[0]),
                conv(4 * width, 1),
            ]
        else:
            self.convs = [conv(width, 3, stride, taps[0]), conv(width, 3, 1, taps[1])]
        self.norms = [make_norm() for _ in self.convs]
        self.relu = tf.keras.layers.ReLU()
        self.shortcut = conv(self.convs[-1].filters, 1, stride) if project else None
        self.shortcut_norm = make_norm() if project else None

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = inputs
        for index, (layer, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            features = self.relu(features) if index else features
            features = norm(convolve(layer, features), training=training)
        if self.shortcut is not None:
            inputs = self.shortcut_norm(convolve(self.shortcut, inputs), training=training)
        return self.relu(features + inputs)


class Embedding(tf.keras.layers.Layer):
    """Mean over all cells, a linear map with bias, unit length: `[B, h, w, C]` to `[B, dim]`, in float32."""

    def __init__(self, dim: int, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.pool = tf.keras.layers.GlobalAveragePooling2D(dtype="float32")
        self.dense = UniformDense(dim, dtype="float32")
        self.normalise = tf.keras.layers.UnitNormalization(dtype="float32")

    def call(self, features: tf.Tensor) -> tf.Tensor:
        return self.normalise(self.dense(self.pool(features)))


class UniformDense(tf.keras.layers.Dense):
    """A linear map whose weights and biases start within +-1/sqrt(C_in), evenly drawn."""

    def build(self, input_shape) -> None:
        self.kernel_initializer, self.bias_initializer = uniform(input_shape[-1])
        super().build(input_shape)


def uniform(fan_in: int) -> list[tf.keras.initializers.Initializer]:
    """What draws a kernel and its bias evenly from +-1/sqrt(fan_in): one each, which draw differently."""
    limit = fan_in**-0.5
    return [tf.keras.initializers.RandomUniform(-limit, limit) for _ in range(2)]


def conv(filters: int, side: int, stride: int = 1, dilation: int = 1) -> tf.keras.layers.Conv2D:
    """A convolution without bias for `convolve`; its kernel is drawn from N(0, 2 / (side^2 filters))."""
    return _Conv2D(
        filters,
        side,
        stride,
        padding="same" if stride == 1 else "valid",
        dilation_rate=dilation,
        use_bias=False,
        kernel_initializer=tf.keras.initializers.VarianceScaling(
            2.0, "fan_out", "untruncated_normal"
        ),
    )


class _Conv2D(tf.keras.layers.Conv2D):
    """A convolution that, where its kernel is a single cell, leaves out cells before it and not while it multiplies.

    The result is the same. Of kernels with a stride and fewer than eight input channels, oneDNN's gradient is wrong on
    processors with AVX2 alone, and overwrites memory of others (TensorFlow 2.15 and 2.21).
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        if self.kernel_size != (1, 1):
            return super().convolution_op(inputs, kernel)
        rows, columns = self.strides
        return tf.nn.conv2d(inputs[:, ::rows, ::columns], kernel, strides=1, padding="VALID")


def convolve(layer: tf.keras.layers.Conv2D, images: tf.Tensor) -> tf.Tensor:
    """Convolves with as many zeros before as after, whatever the stride; kernels have an odd side."""
    if layer.padding == "valid":
        images = pad(images, layer.kernel_size[0] // 2)
    return layer(images)


def pad(images: tf.Tensor, margin: int) -> tf.Tensor:
    """Puts a border of zeros around `images [B, h, w, C]`, `margin` pixels wide."""
    return (
        tf.pad(images, [[0, 0], [margin, margin], [margin, margin], [0, 0]]) if margin else images
    )
