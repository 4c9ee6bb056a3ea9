"""Convolution blocks that several methods share."""

import functools
from collections.abc import Callable

import tensorflow as tf

# Each kernel is drawn by an initializer of its own: one for several would draw them alike.
MakeInitializer = Callable[[], tf.keras.initializers.Initializer]
#: Draws kernels where nothing else is said.
TRUNCATED = functools.partial(tf.keras.initializers.TruncatedNormal, stddev=0.01)


class ConvBlock(tf.keras.layers.Layer):
    """Convolution with bias, batch normalisation, ReLU ("CBR").

    Keras' defaults for batch normalisation (momentum 0.99, epsilon 1e-3) are IMM's.

    Args:
        filters: Output channels.
        kernel_size: Side of the kernel in pixels.
        strides: 1 or 2; zero padding keeps the size, or halves it rounding up.
        weight_decay: Coefficient of `1/2 |W|^2` on the kernel.
        sync_batch_norm: Whether replicas share batch statistics.
        dilation: Distance of the kernel's taps, pixels.
        initializer: Makes what draws the kernel, a truncated normal of 0.01 by default.
        momentum: Of the statistics' moving averages.
        leak: Slope of the activation below 0: 0 is ReLU, 1 is none.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        weight_decay: float = 0.0,
        sync_batch_norm: bool = False,
        dilation: int = 1,
        initializer: MakeInitializer = TRUNCATED,
        momentum: float = 0.99,
        leak: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.conv = conv(filters, kernel_size, strides, weight_decay, dilation, initializer)
        self.norm = tf.keras.layers.BatchNormalization(
            momentum=momentum, synchronized=sync_batch_norm
        )
        self._leak = leak

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        normed = self.norm(self.conv(inputs), training=training)
        return tf.nn.leaky_relu(normed, self._leak) if self._leak else tf.nn.relu(normed)


def conv(
    filters: int,
    kernel_size: int,
    strides: int = 1,
    weight_decay: float = 0.0,
    dilation: int = 1,
    initializer: MakeInitializer = TRUNCATED,
) -> tf.keras.layers.Conv2D:
    """A zero-padded convolution with bias; see `ConvBlock` for the arguments.

    Weight decay `c` means `c * 1/2 |W|^2` on the kernel alone; Keras' `l2` has no 1/2.
    """
    return tf.keras.layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding="same",
        dilation_rate=dilation,
        kernel_initializer=initializer(),
        kernel_regularizer=tf.keras.regularizers.L2(weight_decay / 2.0) if weight_decay else None,
    )


def resize(images: tf.Tensor, size, half_pixel_centers: bool = True) -> tf.Tensor:
    """Resizes `images [B, H, W, C]` bilinearly, without antialiasing, in the dtype of its input.

    Args:
        images: Any floating type.
        size: (height, width), pixels.
        half_pixel_centers: Measure from the centre of each pixel; else from its top-left corner, as
            TensorFlow 1 did by default: doubled, out[2i] = in[i].
    """
    if half_pixel_centers:
        resized = tf.image.resize(images, size)
    else:
        resized = tf.raw_ops.ResizeBilinear(images=images, size=size, half_pixel_centers=False)
    return tf.cast(resized, images.dtype)


def upsample_2x(images: tf.Tensor, half_pixel_centers: bool = True) -> tf.Tensor:
    """Bilinear upsampling to twice the size; see `resize`."""
    height, width = images.shape[1:3]
    return resize(images, (2 * height, 2 * width), half_pixel_centers)
