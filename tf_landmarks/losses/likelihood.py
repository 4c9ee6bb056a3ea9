"""Minus the logarithm of the likelihood of pixels, which an autoencoder is trained by (LMDIS, equation 17).

Each returns it for every pixel and channel, `[B, H, W, C]`, of a `target` in [0, 1].
"""

import math

import tensorflow as tf

PAPER_STD = 0.05  # of a pixel, as printed


def bernoulli(target: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Of pixels that are 1 with the probability sigmoid(logits), and 0 else."""
    return tf.nn.sigmoid_cross_entropy_with_logits(target, logits)


def unit_gaussian(target: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """Of normal pixels with the standard deviation 1, as in LMDIS' released code."""
    return 0.5 * (target - mean) ** 2 + 0.5 * math.log(2.0 * math.pi)


def paper_gaussian(target: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """Twice that of normal pixels with the standard deviation 0.05, its constant counted once an image."""
    count = target.shape[1] * target.shape[2] * mean.shape[3]
    return (target - mean) ** 2 / PAPER_STD**2 + math.log(2.0 * math.pi * PAPER_STD**2) / count


def predicted_gaussian(target: tf.Tensor, mean: tf.Tensor, deviation: tf.Tensor) -> tf.Tensor:
    """Of normal pixels with the standard deviation softplus(ln 2 + deviation) / 2: what is said of each."""
    std = 0.5 * tf.math.softplus(math.log(2.0) + deviation)
    squares = (target - mean) ** 2
    return squares / (2.0 * std**2) + tf.math.log(std) + 0.5 * math.log(2 * math.pi)
