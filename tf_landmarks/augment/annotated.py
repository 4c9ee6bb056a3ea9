"""Annotated images warped at random, their annotations with them (docs/fse.md, "Annotated points").

Images are read through a warp, which maps output points to input points; annotations move the other
way, by its inverse.
"""

from typing import Literal

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import sampling, tps

#: The mild warps of Thewlis et al.'s later code, for what FSE leaves open.
MILD = tps.WarpStrength(2.0, 0.02, 0.02, 5e-4, 0.0)

# An inverse that is further off than this, in half the image's side, was not found.
_TOLERANCE = 1e-3


def warp_annotated(
    inputs: tf.Tensor,
    points: tf.Tensor,
    strength: tps.WarpStrength,
    seed: tf.Tensor,
    extra: Literal["add", "replace"] = "add",
) -> tuple[tf.Tensor, tf.Tensor]:
    """Warps images and moves their annotations along.

    Args:
        inputs: `[N, S, S, 3]` float32 in [0, 1].
        points: `[N, A, 2]` float32 (y, x) in the corner convention, NaN where missing.
        strength: Of the warps.
        seed: `[2]` integers, of which they are a pure function.
        extra: What the second draw of a coefficient does to the first, see `tps.draw_coefficients`; where it replaces
            it and has no strength, half of the coefficients are 0.

    Returns:
        As many images, beyond whose border the edge continues; and points, NaN where they were or
        where no point of the warped image shows them.
    """
    parameters = tps.draw_coefficients(strength, seed, 10, (tf.shape(inputs)[0],), extra)
    return warp_by(inputs, points, parameters, 10)


def warp_by(
    inputs: tf.Tensor, points: tf.Tensor, parameters: tf.Tensor, control_side: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Does the same by warps that are drawn already.

    Args:
        inputs: See `warp_annotated`.
        points: See there.
        parameters: `[N, P + 3, 2]` of the warps, see `tps.draw_coefficients`.
        control_side: Their control points along each side.
    """
    size = inputs.shape[1:3]
    warp = tps.Warp(tps.control_grid(control_side), parameters, "shifted")
    read = tf.reshape(warp(coordinates.corner_grid(size).reshape(-1, 2)), [-1, *size, 2])
    return sampling.sample(inputs, read, "edge"), moved_points(warp, points)


def moved_points(warp: tps.Warp, points: tf.Tensor) -> tf.Tensor:
    """Where an image that is read through a warp shows points `[N, A, 2]` of it; NaN where it shows them nowhere."""
    is_present = tf.math.is_finite(points)
    annotated = tf.where(is_present, points, 0.0)
    moved = tps.inverse_points(warp, annotated)
    error = tf.reduce_max(tf.abs(warp(moved) - annotated), axis=-1, keepdims=True)
    missing = tf.constant(np.nan, tf.float32)
    return tf.where(is_present & (error < _TOLERANCE), moved, missing)
