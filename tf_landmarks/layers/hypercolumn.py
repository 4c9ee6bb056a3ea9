"""Hypercolumns: the features of all layers of a network at one point (Hariharan et al. 2015)."""

import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import sampling


def hypercolumns(features: list[tf.Tensor], strides: list[int], points: tf.Tensor) -> tf.Tensor:
    """Reads the features of all layers at points, bilinearly.

    A point (y, x) is read at (y / s, x / s) of a layer of stride s, without offset as published;
    beyond a layer's last row or column the last one is read.

    Args:
        features: `[B, h, w, C]` of each layer, h and w at least 2.
        strides: Pixels of the image per pixel of each layer.
        points: `[B, N, 2]` (y, x) pixels of the image.

    Returns:
        `[B, N, sum of C]` float32.
    """
    columns = []
    for values, stride in zip(features, strides, strict=True):
        pixels = tf.cast(points, tf.float32)[:, tf.newaxis] / stride
        corner = coordinates.corner_from_pixels(pixels, values.shape[1:3])
        columns.append(sampling.bilinear(values, corner, border="edge")[:, 0])
    return tf.concat(columns, axis=-1)
