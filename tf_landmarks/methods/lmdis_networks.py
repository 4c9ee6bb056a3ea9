"""The networks of LMDIS, and what lies between them: rendered landmarks and descriptors.

Hourglasses (layers/hourglass.py) detect, describe and decode. Their channels are stated for the published
width of 32. Landmarks are in the edge convention of the canvas, as in lmdis.py.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_landmarks.errors import UserError
from tf_landmarks.layers import blocks
from tf_landmarks.layers.hourglass import Hourglass, Level

PUBLISHED_WIDTH = 32
# Side of the canvas for each side of the image; the first two are the paper's, as are 128 and 28.
_CANVASES = {80: 96, 64: 96, 128: 192, 28: 56, 48: 64, 32: 48}
_RENDER_WIDTHS = tuple(0.125 * math.sqrt(2.0) ** j for j in range(5))  # of the image's side
_PAINTED = 64  # channels that a descriptor is painted with, at the published width


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The three hourglasses for images of some size.

    Attributes:
        detector: Levels from the canvas' size down; what ends it, one channel for each map, is added.
        describer: The same of the network that descriptors are pooled from.
        decoder: The same from the image's size down; the channels of its output are added.
        image_multiple: What the image's side must be a multiple of.
        canvas_multiple: What the canvas' side must be a multiple of.
        detector_branch: Convolutions of a side branch of the detector.
        branch: Those of the other two.
        stem: Whether a convolution and a maximum halve canvases first; the decoder's output is then doubled.
        is_grey: Whether the detector sees, and the decoder draws, one channel.
    """

    detector: tuple[Level, ...]
    describer: tuple[Level, ...]
    decoder: tuple[Level, ...]
    image_multiple: int
    canvas_multiple: int
    detector_branch: int = 3
    branch: int = 2
    stem: bool = False
    is_grey: bool = False

    @property
    def scale(self) -> int:
        """How many times smaller than the image the maps are that the decoder sees."""
        return 2 if self.stem else 1


def _levels(*levels: tuple[tuple[int, ...], tuple[int, ...]]) -> tuple[Level, ...]:
    return tuple(Level(down, up) for down, up in levels)


_DETECTOR = _levels(
    ((32, 32), (32,)), ((64, 64), (64, 32)), ((64, 64), (64, 64)), ((64, 64), (64, 64))
)
_DESCRIBER = _levels(
    ((32, 64), (64, 64)), ((128,), (64,)), ((256,), (128,)), ((512,), (256,))
)  # fmt: skip
_DECODER = _levels(
    ((64, 64), (32,)), ((128,), (64,)), ((256,), (128,)), ((512,), (256,)), ((512,), (512,))
)
_LARGE = _levels(
    ((64,), (32,)), ((128,), (64,)), ((256,), (128,)), ((512,), (256,)), ((512,), (512,))
)
_LARGE_DECODER = _levels(((64,), (64,))) + _LARGE[1:]
_SMALL = _levels(((32,), (32,)), ((64,), (32,)), ((64,), (64,)))

ARCHITECTURES = {
    "standard": Architecture(_DETECTOR, _DESCRIBER, _DECODER, 16, 8),
    "large": Architecture(
        _LARGE, _LARGE, _LARGE_DECODER, 32, 32, detector_branch=2, stem=True
    ),
    "digits": Architecture(_DETECTOR, _DESCRIBER, _DECODER[:3], 4, 8, is_grey=True),
    "small": Architecture(_SMALL, _SMALL, _SMALL, 4, 4, detector_branch=1, branch=1),
}  # fmt: skip
"""Those of 64 and 80 px, of 128 px, of 28 px, and one that is not published: half as deep, for a CPU."""


def architecture_name(image_size: int, name: str = "auto") -> str:
    """The name, in `ARCHITECTURES`, of the networks for images of a size; `auto` goes by it."""
    if name != "auto":
        return name
    return {128: "large", 28: "digits"}.get(image_size, "standard")


def canvas_side(image_size: int, canvas_size: int = 0) -> int:
    """Side of the padded image, pixels; 0: the paper's for the image's size.

    Raises:
        UserError: If there is none for that size.
    """
    if canvas_size:
        return canvas_size
    if image_size not in _CANVASES:
        known = ", ".join(map(str, sorted(_CANVASES)))
        raise UserError(
            f"--image_size={image_size} has no canvas by default (only {known} have); "
            "give its side by --lmdis_canvas_size"
        )
    return _CANVASES[image_size]


def check_sizes(name: str, image_size: int, canvas_size: int) -> None:
    """Checks that image and canvas can be halved as often as the hourglasses halve them.

    Raises:
        UserError: Naming both flags.
    """
    multiples = ARCHITECTURES[name].image_multiple, ARCHITECTURES[name].canvas_multiple
    if image_size % multiples[0] or canvas_size % multiples[1]:
        raise UserError(
            f"--image_size={image_size} with --lmdis_canvas_size={canvas_size}: the {name} networks take "
            f"multiples of {multiples[0]} and {multiples[1]}"
        )
    if canvas_size < image_size or (canvas_size - image_size) % 2:
        raise UserError(
            f"--lmdis_canvas_size={canvas_size} must exceed --image_size={image_size} by an even number"
        )


class Detection(NamedTuple):
    """Landmarks, and the maps that they were read off.

    Attributes:
        landmarks_edge: `[B, K, 2]` (y, x), edge convention of the canvas.
        variances: `[B, K, 2]` along y and x, in that unit squared.
        maps: `[B, m, m, K + 1]` float32, 1 at each pixel over all maps; the last is the background.
        scores: `[B, m, m, K + 1]` float32, what the maps were made of.
    """

    landmarks_edge: tf.Tensor
    variances: tf.Tensor
    maps: tf.Tensor
    scores: tf.Tensor


class Detector(tf.keras.layers.Layer):
    """Canvas to score maps, at its size or half of it.

    Args:
        architecture: Which networks.
        width: Channels of the first block, 32 as published.
        num_maps: K + 1.
        common: Of every `ConvBlock`: weight decay, initializer, momentum, leak, synchronisation.
    """

    def __init__(
        self, architecture: Architecture, width: int, num_maps: int, common: dict, **kwargs
    ):
        super().__init__(**kwargs)
        levels, branch = _scaled(architecture.detector, width), architecture.detector_branch
        self._is_grey = architecture.is_grey
        self.scores = None
        if architecture.stem:
            self.network = _Stemmed(levels, branch, width, common)
            self.scores = blocks.ConvBlock(num_maps, 1, **{**common, "leak": 1.0})
        else:
            self.network = Hourglass(_ending_in(levels, num_maps), branch, True, common)

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        if self._is_grey:
            images = tf.reduce_mean(images, axis=-1, keepdims=True)
        features = self.network(images, training=training)
        return features if self.scores is None else self.scores(features, training=training)


class Describer(tf.keras.layers.Layer):
    """Canvas to features, at the size of the score maps; see `Detector` for the arguments.

    Attributes:
        channels: Of the features.
    """

    def __init__(self, architecture: Architecture, width: int, common: dict, **kwargs):
        super().__init__(**kwargs)
        levels, branch = _scaled(architecture.describer, width), architecture.branch
        self.channels = levels[0].up[-1]
        if architecture.stem:
            self.network = _Stemmed(levels, branch, width, common)
        else:
            self.network = Hourglass(levels, branch, False, common)

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.network(images, training=training)


class Decoder(tf.keras.layers.Layer):
    """Maps and painted features to what is said of each pixel; see `Detector` for the arguments.

    Args:
        channels: Numbers per pixel.
    """

    def __init__(
        self, architecture: Architecture, width: int, channels: int, common: dict, **kwargs
    ):
        super().__init__(**kwargs)
        levels, branch = _scaled(architecture.decoder, width), architecture.branch
        self.upsample = None
        if architecture.stem:
            self.network = Hourglass(levels, branch, False, common)
            self.upsample = tf.keras.layers.Conv2DTranspose(
                width, 3, 2, padding="same", use_bias=False,
                kernel_initializer=common["initializer"](),
                kernel_regularizer=tf.keras.regularizers.L2(common["weight_decay"] / 2.0),
            )  # fmt: skip
            self.norm = tf.keras.layers.BatchNormalization(
                momentum=common["momentum"], synchronized=common["sync_batch_norm"]
            )
            self.last = blocks.ConvBlock(channels, **{**common, "leak": 1.0})
        else:
            self.network = Hourglass(_ending_in(levels, channels), branch, True, common)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        output = self.network(inputs, training=training)
        if self.upsample is None:
            return output
        upsampled = tf.nn.leaky_relu(self.norm(self.upsample(output), training=training), 0.2)
        return self.last(upsampled, training=training)


class Descriptors(tf.keras.layers.Layer):
    """A few numbers on how each landmark looks: pooled from features, and painted again for the decoder.

    Each map, the background's too, has kernels of its own. All of it is float32.

    Args:
        num_maps: K + 1.
        numbers: D, of each descriptor.
        channels: C, of the features.
        width: Channels of the networks' first block, to which those that are painted are in proportion.
        weight_decay: c of c * 1/2 |W|^2 on the kernels.
        activation: Whether what is painted passes a leaky ReLU.
    """

    def __init__(
        self,
        num_maps: int,
        numbers: int,
        channels: int,
        width: int,
        weight_decay: float,
        activation: bool,
        **kwargs,
    ):
        super().__init__(dtype=tf.float32, **kwargs)
        self._activation = activation
        painted = max(1, _PAINTED * width // PUBLISHED_WIDTH)

        def kernel(name: str, rows: int, columns: int) -> tf.Variable:
            regularizer = tf.keras.regularizers.L2(weight_decay / 2.0)
            limit = math.sqrt(6 / (rows + columns))
            uniform = tf.keras.initializers.RandomUniform(-limit, limit)
            return self.add_weight(name, [num_maps, rows, columns], None, uniform, regularizer)

        self.describe_kernel = kernel("describe", channels, numbers)
        self.describe_bias = self.add_weight("describe_bias", [numbers], initializer="zeros")
        self.paint_kernel = kernel("paint", numbers, painted)
        self.paint_bias = self.add_weight("paint_bias", [painted], initializer="zeros")

    def describe(self, maps: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        """Pools descriptors `[B, K + 1, D]` from `maps [B, m, m, K + 1]` and `features [B, m, m, C]`."""
        features = tf.cast(features, tf.float32)
        weights = tf.reduce_sum(maps, axis=[1, 2])[..., tf.newaxis]
        pooled = tf.einsum("bhwk,bhwc->bkc", maps, features) / (weights + 1e-6)
        return tf.einsum("bkc,kcd->bkd", pooled, self.describe_kernel) + self.describe_bias

    def paint(self, descriptors: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
        """Paints descriptors on `maps [B, m, m, 5, K + 1]`: `[B, m, m, 5, F]`."""
        painted = tf.einsum("bkd,kdf->bkf", descriptors, self.paint_kernel) + self.paint_bias
        if self._activation:
            painted = tf.nn.leaky_relu(painted, 0.2)
        return tf.einsum("bhwjk,bkf->bhwjf", maps, painted)


def rendered_maps(landmarks_edge: tf.Tensor, size: int, released: bool = False) -> tf.Tensor:
    """Draws landmarks and background for the decoder, at five widths.

    Args:
        landmarks_edge: `[B, K, 2]` (y, x), edge convention of the *image*.
        size: m, cells along a side.
        released: As faint as in the released code, instead of as in the paper.

    Returns:
        `[B, m, m, 5, K + 1]` float32; at each pixel the K + 1 sum to 1.
    """
    axis = cell_centres(size)
    squares = [
        (axis[tf.newaxis, :, tf.newaxis] - landmarks_edge[:, tf.newaxis, :, i]) ** 2 / 4.0
        for i in (0, 1)
    ]
    squared = squares[0][:, :, tf.newaxis] + squares[1][:, tf.newaxis]  # [B, m, m, K], in sides
    widths = tf.constant(_RENDER_WIDTHS, tf.float32)[:, tf.newaxis]
    peak = 1.0 / (2.0 * math.pi * widths**2)
    if released:
        peak /= widths**2 * size**2
    density = tf.math.log(peak) - squared[..., tf.newaxis, :] / (2.0 * widths**2)
    # A softmax shares out the densities, of which the background's is 1 everywhere.
    return tf.nn.softmax(tf.concat([density, tf.zeros_like(density[..., :1])], axis=-1))


def joined(maps: list[tf.Tensor]) -> tf.Tensor:
    """Joins maps `[B, m, m, 5, C]` of several C along their last two dimensions: the decoder's input."""
    flat = [
        tf.reshape(values, [-1, *values.shape[1:3], values.shape[3] * values.shape[4]])
        for values in maps
    ]
    return tf.concat(flat, axis=-1)


def cell_centres(count: int) -> tf.Tensor:
    """Where the cells along an axis lie, edge convention, `[count]`."""
    return tf.constant((2 * np.arange(count) + 1) / count - 1, tf.float32)


class _Stemmed(tf.keras.layers.Layer):
    """An hourglass at half the canvas, behind a convolution and a maximum."""

    def __init__(self, levels: list[Level], branch: int, width: int, common: dict, **kwargs):
        super().__init__(**kwargs)
        self.stem = blocks.ConvBlock(width, **common)
        self.hourglass = Hourglass(levels, branch, False, common)

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = tf.nn.max_pool2d(self.stem(images, training=training), 2, 2, "VALID")
        return self.hourglass(features, training=training)


def _scaled(levels: tuple[Level, ...], width: int) -> list[Level]:
    """Levels for another width than the published one."""
    return [
        Level(*(tuple(max(1, c * width // PUBLISHED_WIDTH) for c in way) for way in level))
        for level in levels
    ]


def _ending_in(levels: list[Level], channels: int) -> list[Level]:
    """The same with a last convolution to so many channels."""
    return [Level(levels[0].down, (*levels[0].up, channels)), *levels[1:]]
