"""Heatmaps to landmarks and landmarks to Gaussian maps: the 2K numbers that cross a bottleneck.

Cell i of n along an axis stands at `linspace(-1, 1, n)[i]`, the corner convention of the map. Everything
here is float32: under mixed precision a bfloat16 expectation would place points on a coarse lattice.

Sources: Jakab et al. 2018, section 3 and their released code (marginals); Thewlis et al. 2017,
eq. 3 (joint).
"""

from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

SoftArgmax = Literal["mean", "sum", "joint"]
MapShape = Literal["gaussian", "gaussian_without_half", "flat", "flat_separable"]

# The spread at which confidence falls to exp(-1) is sqrt(2) times this, in coordinate units: a
# detector that hesitates over an eighth of the image is still trusted, one over a half is not.
CONFIDENCE_STD = 0.25


class Detection(NamedTuple):
    """Landmarks, and the heatmaps that they were read off.

    Attributes:
        landmarks: `[B, K, 2]` float32 (y, x) in [-1, 1].
        heatmaps: `[B, h, w, K]` float32; each sums to 1 and has its landmark as its mean.
        score_maps: `[B, h, w, K]` float32, what the heatmaps were made of.
    """

    landmarks: tf.Tensor
    heatmaps: tf.Tensor
    score_maps: tf.Tensor


def soft_argmax(logits: tf.Tensor, kind: SoftArgmax) -> Detection:
    """Applies the soft-argmax of the given kind: "mean" and "sum" are marginal, "joint" is not.

    Args:
        logits: `[B, h, w, K]` unnormalised scores.
        kind: "mean": marginal logits are means over the other axis (IMM's released code); "sum":
            sums (IMM's paper), a temperature of h or w beside it; "joint": one softmax over cells.

    Returns:
        Landmarks and the distributions whose means they are.

    Raises:
        ValueError: If `kind` is unknown.
    """
    if kind == "joint":
        return joint_soft_argmax(logits)
    if kind in ("mean", "sum"):
        return marginal_soft_argmax(logits, kind)
    raise ValueError(f"soft-argmax {kind!r} is unknown; it is one of mean, sum, joint")


def marginal_soft_argmax(
    logits: tf.Tensor, reduction: Literal["mean", "sum"] = "mean"
) -> Detection:
    """Soft-argmax of each axis by itself: softmax over marginal logits, then the expectation.

    p_y = softmax_i(reduce_j S[i, j]), y = sum_i p_y[i] g[i], and x alike. The heatmap is the
    outer product p_y p_x.
    """
    logits = tf.cast(logits, tf.float32)
    reduce = tf.reduce_mean if reduction == "mean" else tf.reduce_sum
    rows = tf.nn.softmax(reduce(logits, axis=2), axis=1)  # [B, h, K]
    columns = tf.nn.softmax(reduce(logits, axis=1), axis=1)  # [B, w, K]
    landmarks = tf.stack([_expectation(rows), _expectation(columns)], axis=-1)
    return Detection(landmarks, _outer(rows, columns), logits)


def joint_soft_argmax(logits: tf.Tensor) -> Detection:
    """Soft-argmax of a softmax over all cells: p = softmax_u(S), landmark = sum_u p(u) u."""
    logits = tf.cast(logits, tf.float32)
    batch, (height, width, num_landmarks) = tf.shape(logits)[0], logits.shape[1:]
    cells = tf.reshape(logits, [batch, height * width, num_landmarks])
    heatmaps = tf.reshape(tf.nn.softmax(cells, axis=1), [batch, height, width, num_landmarks])
    return Detection(mean(heatmaps), heatmaps, logits)


def mean(heatmaps: tf.Tensor) -> tf.Tensor:
    """The landmarks `[B, K, 2]` (y, x) of heatmaps `[B, h, w, K]` that sum to 1 each."""
    rows = tf.reduce_sum(heatmaps, axis=2)
    columns = tf.reduce_sum(heatmaps, axis=1)
    return tf.stack([_expectation(rows), _expectation(columns)], axis=-1)


def moments(marginals: tf.Tensor, positions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance along one axis.

    Args:
        marginals: `[B, n, K]`, distributions over the cells of the axis.
        positions: `[n]`, where the cells lie, in any unit.

    Returns:
        Means `[B, K]` in that unit, and variances `[B, K]` in its square.
    """
    mean = tf.einsum("bnk,n->bk", marginals, positions)
    return mean, _variance_about(mean, marginals, positions)


def confidence(detection: Detection) -> tf.Tensor:
    """How concentrated each heatmap is around its landmark, `[B, K]`; see `confidence_of`."""
    variances = [
        _variance_about(
            detection.landmarks[..., axis],
            tf.reduce_sum(detection.heatmaps, axis=2 - axis),
            _axis(detection.heatmaps.shape[1 + axis]),
        )
        for axis in (0, 1)
    ]
    return confidence_of(variances[0] + variances[1])


def confidence_of(variance: tf.Tensor) -> tf.Tensor:
    """`exp(-tr(Cov) / (2 s^2))`, s = CONFIDENCE_STD.

    Args:
        variance: `[B, K]` tr(Cov) of each heatmap, in squared coordinate units; the image is 2 units high.

    Returns:
        `[B, K]` float32 in (0, 1]; 1 for a single cell.
    """
    return tf.exp(-variance / (2.0 * CONFIDENCE_STD**2))


def gaussian_maps(
    landmarks: tf.Tensor, size: tuple[int, int], std: float, shape: MapShape = "gaussian"
) -> tf.Tensor:
    """Renders each landmark as a bump of fixed width.

    With d the distance to the landmark:
        gaussian                exp(-d^2 / (2 std^2))                  Jakab et al. 2018, section 3
        gaussian_without_half   exp(-d^2 / std^2)                      their released code's default
        flat                    exp(-(d^2 / std^2 + 1e-5)^(1/4))       heavy tails reach far
        flat_separable          exp(-sqrt(1e-4 + |dy| / std)) exp(-sqrt(1e-4 + |dx| / std))

    Args:
        landmarks: `[B, K, 2]` (y, x) in [-1, 1].
        size: (height, width) of the maps, in cells.
        std: Width of the bump in coordinate units; the image is 2 units high.
        shape: Which of the four.

    Returns:
        `[B, height, width, K]` float32 in (0, 1].

    Raises:
        ValueError: If the last dimension of `landmarks` is not 2, or `shape` is unknown.
    """
    if landmarks.shape[-1] != 2:
        raise ValueError(
            f"landmarks have the shape {landmarks.shape}; the last dimension must be 2"
        )
    landmarks = tf.cast(landmarks, tf.float32)
    dy = _axis(size[0])[tf.newaxis, :, tf.newaxis] - landmarks[:, tf.newaxis, :, 0]  # [B, h, K]
    dx = _axis(size[1])[tf.newaxis, :, tf.newaxis] - landmarks[:, tf.newaxis, :, 1]  # [B, w, K]
    if shape == "gaussian":
        return _outer(tf.exp(-(dy**2) / (2 * std**2)), tf.exp(-(dx**2) / (2 * std**2)))
    if shape == "gaussian_without_half":
        return _outer(tf.exp(-(dy**2) / std**2), tf.exp(-(dx**2) / std**2))
    if shape == "flat":
        squared = (dy**2)[:, :, tf.newaxis] + (dx**2)[:, tf.newaxis]
        return tf.exp(-((squared / std**2 + 1e-5) ** 0.25))
    if shape == "flat_separable":
        return _outer(
            tf.exp(-tf.sqrt(1e-4 + tf.abs(dy) / std)), tf.exp(-tf.sqrt(1e-4 + tf.abs(dx) / std))
        )
    raise ValueError(
        f"map shape {shape!r} is unknown; it is one of gaussian, gaussian_without_half, flat, "
        "flat_separable"
    )


def _axis(n: int) -> tf.Tensor:
    return tf.constant(np.linspace(-1.0, 1.0, n), tf.float32)


def _expectation(marginals: tf.Tensor) -> tf.Tensor:
    """The mean coordinate of `[B, n, K]` distributions, `[B, K]`."""
    return moments(marginals, _axis(marginals.shape[1]))[0]


def _variance_about(mean: tf.Tensor, marginals: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    offsets = positions[:, tf.newaxis] - mean[:, tf.newaxis]
    return tf.reduce_sum(marginals * offsets**2, axis=1)


def _outer(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    return rows[:, :, tf.newaxis] * columns[:, tf.newaxis]
