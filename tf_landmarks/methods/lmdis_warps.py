"""Warps around the landmarks that a detector finds, in place of warps of a grid
(docs/lmdis.md, "Warps of the canvas")."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import padded_pairs
from tf_landmarks.augment.augmentation import Batch

_MIN_SPREAD = 0.15  # of landmarks, below which a spline around them explodes


def warped_source(
    canvas: tf.Tensor,
    batch: Batch,
    share: tf.Tensor,
    detect: Callable[[tf.Tensor], tf.Tensor],
    always_detect: bool = False,
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Replaces some of a batch's sources by warps of the canvas around its landmarks.

    Args:
        canvas: `[B, P, P, 3]`, of the target.
        batch: See `padded_pairs.PaddedPair`.
        share: The probability that a warp is around landmarks.
        detect: Finds landmarks `[B, K, 2]` (edge convention) on a canvas.
        always_detect: Do so even where no warp of the batch is around landmarks: replicas that normalise together
            have to, since another one's batch may have such a warp.

    Returns:
        The source `[B, P, P, 3]`, without gradient, and the warp that moves points `[B, P, 2]` of the source
        to where they lie in the target, with gradient.
    """
    by_grid = padded_pairs.grid_warp(batch["similarity"], batch["shifts"])
    is_drawn = batch["chance"] < share

    def around_landmarks():
        landmarks_edge = tf.stop_gradient(detect(canvas))
        centre = tf.reduce_mean(landmarks_edge, axis=1, keepdims=True)
        spread = tf.sqrt(tf.reduce_mean((landmarks_edge - centre) ** 2, axis=[1, 2]))
        is_warped = is_drawn & (spread >= _MIN_SPREAD)
        warp = padded_pairs.landmark_warp(
            batch["similarity"], landmarks_edge, batch["landmark_shifts"]
        )
        is_warped_pixel = is_warped[:, tf.newaxis, tf.newaxis, tf.newaxis]
        source = tf.where(is_warped_pixel, warp.images(canvas), batch["source"])
        return source, landmarks_edge, is_warped

    def of_grid():
        return batch["source"], tf.zeros_like(batch["landmark_shifts"]), tf.zeros_like(is_drawn)

    source, landmarks_edge, is_warped = (
        around_landmarks()
        if always_detect
        else tf.cond(tf.reduce_any(is_drawn), around_landmarks, of_grid)
    )
    # Coinciding landmarks, as those of the other branch, make no spline worth solving.
    count = batch["landmark_shifts"].shape[1]
    is_warped_point = is_warped[:, tf.newaxis, tf.newaxis]
    control = tf.where(is_warped_point, landmarks_edge, tf.constant(lattice(count), tf.float32))
    by_landmarks = padded_pairs.landmark_warp(
        batch["similarity"], control, batch["landmark_shifts"]
    )

    def to_target(points: tf.Tensor) -> tf.Tensor:
        return tf.where(is_warped_point, by_landmarks(points), by_grid(points))

    return tf.stop_gradient(source), to_target


def ramp(step: tf.Tensor, first: int, last: int) -> tf.Tensor:
    """A number that rises from 0 at the step `first` to 1 at the step `last`."""
    return tf.clip_by_value(tf.cast(step - first, tf.float32) / max(1, last - first), 0.0, 1.0)


def lattice(count: int) -> np.ndarray:
    """Some points apart from each other, `[count, 2]`."""
    side = math.ceil(math.sqrt(count))
    return 0.5 * coordinates.corner_grid((max(side, 2),) * 2).reshape(-1, 2)[:count]
