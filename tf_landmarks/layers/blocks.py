"""Convolution blocks that several methods share."""

import tensorflow as tf


class ConvBlock(tf.keras.layers.Layer):
    """Convolution with bias, batch normalisation, ReLU ("CBR").

    Keras' defaults for batch normalisation (momentum 0.99, epsilon 1e-3) are IMM's.

    Args:
        filters: Output channels.
        kernel_size: Side of the kernel in pixels.
        strides: 1 or 2; zero padding keeps the size, or halves it rounding up.
        weight_decay: Coefficient of `1/2 |W|^2` on the kernel.
        sync_batch_norm: Whether replicas share batch statistics.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        weight_decay: float = 0.0,
        sync_batch_norm: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.conv = conv(filters, kernel_size, strides, weight_decay)
        self.norm = tf.keras.layers.BatchNormalization(synchronized=sync_batch_norm)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return tf.nn.relu(self.norm(self.conv(inputs), training=training))


def conv(
    filters: int, kernel_size: int, strides: int = 1, weight_decay: float = 0.0
) -> tf.keras.layers.Conv2D:
    """A zero-padded convolution with bias, kernels drawn from a truncated normal of 0.01.

    Weight decay `c` means `c * 1/2 |W|^2` on the kernel alone; Keras' `l2` has no 1/2.
    """
    return tf.keras.layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding="same",
        kernel_initializer=tf.keras.initializers.TruncatedNormal(stddev=0.01),
        kernel_regularizer=tf.keras.regularizers.L2(weight_decay / 2.0) if weight_decay else None,
    )


def resize(images: tf.Tensor, size, legacy: bool = False) -> tf.Tensor:
    """Resizes `images [B, H, W, C]` bilinearly, without antialiasing, in the dtype of its input.

    Args:
        images: Any floating type.
        size: (height, width), pixels.
        legacy: Measure from the top-left corner of each pixel, as TensorFlow 1 did by default, instead
            of from its centre: doubled, out[2i] = in[i].
    """
    if legacy:
        resized = tf.raw_ops.ResizeBilinear(images=images, size=size, half_pixel_centers=False)
    else:
        resized = tf.image.resize(images, size)
    return tf.cast(resized, images.dtype)


def double(images: tf.Tensor, legacy: bool = False) -> tf.Tensor:
    """Bilinear upsampling to twice the size; see `resize`."""
    height, width = images.shape[1:3]
    return resize(images, (2 * height, 2 * width), legacy)
