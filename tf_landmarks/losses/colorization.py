"""Learning from colour: what a network that sees grey must say about the colours of points.

Hue and chroma are those of HSV: chroma is the largest of red, green and blue minus the smallest, hue
is in [0, 1) and 0 where there is no chroma. Each is answered as a distribution over 32 bins; the truth
is the histogram of the window around the point.

Source: Larsson, Maire & Shakhnarovich 2016 and 2017 (with their released trainers), whose network Jakab
et al. 2018 compare images by.
"""

from typing import NamedTuple

import tensorflow as tf

BINS = 32
WINDOW = 7  # pixels
HUE_SCALE = 5.0


class Targets(NamedTuple):
    """What is true about some points.

    Attributes:
        hue: `[..., 32]` float32, the histogram of hues around each point; it sums to 1.
        chroma: `[..., 32]`, the same of chroma.
        hue_weight: `[...]`, how much the hue of each point counts: the chroma at its centre.
        chroma_weight: `[...]`, see `chroma_weight`.
    """

    hue: tf.Tensor
    chroma: tf.Tensor
    hue_weight: tf.Tensor
    chroma_weight: tf.Tensor


def targets(images: tf.Tensor, points: tf.Tensor) -> Targets:
    """Describes the colours around points.

    Args:
        images: `[B, H, W, 3]` float32 RGB in [0, 1].
        points: `[B, N, 2]` int32 (y, x) pixels, at least 3 from the border.

    Returns:
        The targets of `[B, N]` points.
    """
    hue, chroma = hue_and_chroma(images)
    centres = tf.gather_nd(images, points, batch_dims=1)
    return Targets(
        histograms(hue, points),
        histograms(chroma, points),
        tf.gather_nd(chroma, points, batch_dims=1),
        chroma_weight(tf.reduce_mean(centres, axis=-1)),
    )


def hue_and_chroma(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns hue in [0, 1) and chroma in [0, 1], `[...]` each, of `images [..., 3]` in [0, 1]."""
    chroma = tf.reduce_max(images, axis=-1) - tf.reduce_min(images, axis=-1)
    return tf.image.rgb_to_hsv(images)[..., 0], chroma


def bins(values: tf.Tensor) -> tf.Tensor:
    """The index of each value's bin: min(floor(32 v), 31)."""
    return tf.minimum(tf.cast(tf.floor(BINS * values), tf.int32), BINS - 1)


def histograms(values: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Histograms of the 7x7 windows around points.

    Args:
        values: `[B, H, W]` float32 in [0, 1].
        points: `[B, N, 2]` int32 (y, x) pixels, at least 3 from the border.

    Returns:
        `[B, N, 32]` float32, each summing to 1.
    """
    side = tf.range(WINDOW) - WINDOW // 2
    offsets = tf.reshape(tf.stack(tf.meshgrid(side, side, indexing="ij"), axis=-1), [-1, 2])
    windows = points[:, :, tf.newaxis] + offsets  # [B, N, 49, 2]
    indices = tf.gather_nd(bins(values), windows, batch_dims=1)
    return tf.reduce_mean(tf.one_hot(indices, BINS), axis=2)


def chroma_weight(grey: tf.Tensor) -> tf.Tensor:
    """w(l) = min(1, 3 l, 3 (1 - l)): next to black and white there is no room for chroma."""
    return tf.minimum(1.0, 3.0 * tf.minimum(grey, 1.0 - grey))


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """-sum p ln q in nats, `[...]`, of `labels [..., 32]` and the softmax of `logits [..., 32]`."""
    return tf.nn.softmax_cross_entropy_with_logits(labels, logits)


def entropy(distributions: tf.Tensor) -> tf.Tensor:
    """-sum p ln p in nats, `[...]`, of `distributions [..., 32]`."""
    return -tf.reduce_sum(tf.math.xlogy(distributions, distributions), axis=-1)


def marginal_entropy(labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """The weighted mean cross-entropy of the best constant answer, in nats.

    That answer is the weighted mean of the labels, and its cross-entropy is the entropy of that mean:
    what a network must stay below to have learned anything.

    Args:
        labels: `[..., 32]`.
        weights: `[...]`.

    Returns:
        A scalar; 0 where all weights are 0.
    """
    total = tf.reduce_sum(weights)
    axes = range(weights.shape.rank)
    mean = tf.reduce_sum(labels * weights[..., tf.newaxis], axis=axes)
    return entropy(tf.math.divide_no_nan(mean, total))


def weighted_mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """sum w v / sum w, a scalar; 0 where all weights are 0."""
    return tf.math.divide_no_nan(tf.reduce_sum(weights * values), tf.reduce_sum(weights))


def loss(truth: Targets, hue_errors: tf.Tensor, chroma_errors: tf.Tensor) -> tf.Tensor:
    """5 c KL(hue) + w(l) KL(chroma), the mean over points.

    Args:
        truth: What is true about the points.
        hue_errors: `[...]`, cross-entropies of hue. KL is what they exceed the label's entropy by.
        chroma_errors: `[...]`, those of chroma.

    Returns:
        A scalar.
    """
    hue = hue_errors - entropy(truth.hue)
    chroma = chroma_errors - entropy(truth.chroma)
    return tf.reduce_mean(HUE_SCALE * truth.hue_weight * hue + truth.chroma_weight * chroma)
