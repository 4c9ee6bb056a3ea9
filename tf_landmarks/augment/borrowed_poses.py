"""Annotated images in the poses of others: warped until their points lie as those of another image do.

Random bends move what is near in one direction, whatever it is. Legs move against each other, lips open: poses that few
annotated images do not show, and others do. Where their points lie may be known badly. Then the pose is a wrong one, but the
points of the annotated image stay on what they are on: they move with the image.
"""

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import annotated, sampling, tps

#: No point is moved further than this; the image is 2 units wide. Further off, what lies between is torn.
FURTHEST = 0.3
# Around the image nothing moves, so that splines do not run away from points on a line: 16 places.
_FRAME = np.array(
    [(y, x) for y in np.linspace(-1.2, 1.2, 5) for x in np.linspace(-1.2, 1.2, 5)], np.float32
)
_FRAME = _FRAME[np.abs(_FRAME).max(axis=1) > 1.0]
_RIDGE = 3e-2  # smooths where points that are near move apart


def borrow(
    images: tf.Tensor,
    places: tf.Tensor,
    points: tf.Tensor,
    poses: tf.Tensor,
    weights: tf.Tensor,
    shares: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Warps images, which another warp reads already, towards the poses of others; each is read once.

    Of a pose its shape is taken, moved, turned and scaled to where the image's points are.

    Args:
        images: `[N, S, S, 3]` float32.
        places: `[N, S, S, 2]` where the other warp reads them.
        points: `[N, A, 2]` (y, x) in the corner convention, of the images as that shows them; NaN where missing.
        poses: `[N, A, 2]` the same points in other images.
        weights: `[N, A]` in [0, 1], how far each point of a pose is believed.
        shares: `[N]` in [0, 1], how much of the way to the pose each image goes; 0 changes nothing.

    Returns:
        As many images, beyond whose border the edge continues; and their points, NaN where they were, or where the
        warped image shows them nowhere. No gradient goes through either.
    """
    is_known = tf.reduce_all(tf.math.is_finite(points), axis=-1)
    known = tf.where(is_known[..., tf.newaxis], points, 0.0)
    weights = tf.where(is_known, weights, 0.0)
    way = shares[:, tf.newaxis, tf.newaxis] * weights[..., tf.newaxis]
    way *= fitted(poses, known, weights) - known
    longest = tf.reduce_max(tf.norm(way, axis=-1, keepdims=True), axis=1, keepdims=True)
    way *= tf.minimum(1.0, FURTHEST / tf.maximum(longest, 1e-6))
    # A point that is missing holds a corner of the frame, which does not move.
    start = tf.where(is_known[..., tf.newaxis], known, _FRAME[0])
    frame = tf.tile(_FRAME[np.newaxis], [tf.shape(points)[0], 1, 1])
    control, targets = (tf.concat([p, frame], axis=1) for p in (start + way, start))
    warp = tps.fit_each(control, targets, ridge=_RIDGE)
    # A map of places is smooth: between cells it loses nothing, as an image would.
    both = sampling.bilinear(places, _grid(warp, images.shape[1]), "edge")
    moved = annotated.moved_points(warp, points)
    still = (shares == 0.0)[:, tf.newaxis, tf.newaxis]
    warped = sampling.sample(images, tf.where(still[..., tf.newaxis], places, both), "edge")
    moved = tf.where(still, points, moved)
    return tf.stop_gradient(warped), tf.stop_gradient(moved)


def _grid(warp: tps.Warp, size: int) -> tf.Tensor:
    """Where each pixel is read, `[N, size, size, 2]`; computed at every third along each side, for it is smooth between."""
    side = size // 3 + 1
    read = warp(coordinates.corner_grid((side, side)).reshape(-1, 2))
    read = tf.reshape(read, [-1, side, side, 2])
    return tf.raw_ops.ResizeBilinear(images=read, size=[size, size], align_corners=True)


def fitted(poses: tf.Tensor, points: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Moves, turns and scales poses `[N, A, 2]` onto points: the similarity of least weighted squares (Umeyama 1991).

    In the plane it is a factor of complex numbers. Points in one place have no direction: they stay in their mean.
    """
    weights = weights[..., tf.newaxis] / tf.maximum(
        tf.reduce_sum(weights, axis=1)[:, tf.newaxis, tf.newaxis], 1e-6
    )
    middle, goal = (tf.reduce_sum(weights * p, axis=1, keepdims=True) for p in (poses, points))
    y, x = tf.unstack(poses - middle, axis=-1)
    goal_y, goal_x = tf.unstack(points - goal, axis=-1)
    weights = weights[..., 0]
    spread = tf.reduce_sum(weights * (y**2 + x**2), axis=1, keepdims=True) + 1e-6
    cos = tf.reduce_sum(weights * (y * goal_y + x * goal_x), axis=1, keepdims=True) / spread
    sin = tf.reduce_sum(weights * (y * goal_x - x * goal_y), axis=1, keepdims=True) / spread
    return goal + tf.stack([cos * y - sin * x, sin * y + cos * x], axis=-1)
