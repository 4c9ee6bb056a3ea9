"""Losses of points that people annotated, some of which are missing."""

from typing import Literal

import tensorflow as tf

from tf_landmarks.layers import soft_argmax

Missing = Literal["left_out", "zero"]


def smooth_l1(
    predicted: tf.Tensor, truth: tf.Tensor, factor: float = 10.0, missing: Missing = "left_out"
) -> tf.Tensor:
    """The mean over coordinates of h(factor e), with h(e) = e^2 / 2 where |e| < 1 and |e| - 1/2 elsewhere.

    The factor 10 is that of Cheng et al. 2021 and of DVE's released code, for coordinates in [-1, 1].

    Args:
        predicted: `[B, A, 2]`.
        truth: `[B, A, 2]`, NaN where missing.
        factor: What errors are multiplied by.
        missing: "left_out": the mean is over what is known. "zero": what is missing counts as met exactly, and
            the mean is over all, so that images with few visible points count less (their runs on birds).

    Returns:
        A scalar, 0 if nothing is known.
    """
    known = tf.math.is_finite(truth)
    error = factor * tf.abs(predicted - tf.where(known, truth, 0.0))
    values = tf.where(error < 1.0, 0.5 * error**2, error - 0.5)
    return _mean(values, known, over_all=missing == "zero")


def heatmap_loss(
    logits: tf.Tensor,
    points: tf.Tensor,
    std: float,
    entropy_weight: float = 0.1,
    reach: tuple[float, float] = (1.0, 1.0),
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """The distance of a map's mean in each coordinate (L1), and its cross-entropy with a narrow Gaussian.

    Args:
        logits: `[B, h, w, A]` scores of the cells.
        points: `[B, A, 2]` (y, x) in the corner convention of the map, NaN where missing.
        std: Standard deviation of the map's target, in coordinate units; the map is 2 units high.
        entropy_weight: Of the cross-entropy.
        reach: How far from the centre, in y and x, the map shows something: beyond its outermost cells' centres
            if those tile the image. A point outside teaches by its distance alone.
        weights: `[B, A]`, how much each point counts; 1 if not given. Sums are still divided by how many are known.

    Returns:
        A scalar, 0 if nothing is known.
    """
    known = tf.math.is_finite(points)
    points = tf.where(known, points, 0.0)  # the gradient of what is NaN would be NaN
    distance = tf.abs(soft_argmax.joint_soft_argmax(logits).landmarks - points)
    shown = tf.reduce_all(known & (tf.abs(points) <= tf.constant(reach)), axis=-1)  # [B, A]
    blobs = soft_argmax.gaussian_maps(
        tf.clip_by_value(points, -1.0, 1.0), tuple(logits.shape[1:3]), std
    )
    targets = blobs / tf.reduce_sum(blobs, axis=(1, 2), keepdims=True)
    log_softmax = logits - tf.reduce_logsumexp(logits, axis=(1, 2), keepdims=True)
    entropy = -tf.reduce_sum(targets * log_softmax, axis=(1, 2))  # [B, A]
    if weights is not None:
        distance, entropy = distance * weights[..., tf.newaxis], entropy * weights
    return _mean(distance, known) + entropy_weight * _mean(entropy, shown)


def _mean(values: tf.Tensor, counts: tf.Tensor, over_all: bool = False) -> tf.Tensor:
    """The sum of the values that count, over their number or over that of all; the others may be NaN."""
    total = tf.reduce_sum(tf.where(counts, values, 0.0))
    number = tf.size(values) if over_all else tf.reduce_sum(tf.cast(counts, tf.int32))
    return tf.math.divide_no_nan(total, tf.cast(number, tf.float32))
