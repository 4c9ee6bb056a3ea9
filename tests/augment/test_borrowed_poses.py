"""Poses borrowed from other images: what moves, how far, and that points stay on what they are on."""

import numpy as np
import pytest
import tensorflow as tf

from tests.augment.test_with_labels import SIZE, labelled_blobs
from tests.evaluation import colour_blobs
from tf_landmarks import coordinates
from tf_landmarks.augment import borrowed_poses

pytestmark = pytest.mark.core
EAGER = True

BLOBS = labelled_blobs(6)
IMAGES = tf.constant(BLOBS.images / np.float32(255))
POSES = np.roll(BLOBS.points, 1, axis=0)
SURE = np.ones((6, 3), np.float32)
STILL = np.tile(coordinates.corner_grid(SIZE)[np.newaxis], (6, 1, 1, 1)).astype(np.float32)


def borrowed(points=BLOBS.points, poses=POSES, weights=SURE, shares=(1.0,) * 6, places=STILL):
    found = borrowed_poses.borrow(
        IMAGES, *map(tf.constant, (places, points, poses, weights, shares))
    )
    return [value.numpy() for value in found]


def test_a_pose_that_is_moved_turned_and_scaled_is_no_other_pose():
    turn = np.exp(2.0j) * 0.7
    y, x = np.moveaxis(BLOBS.points, -1, 0)
    moved = turn * (y + 1j * x) + 0.2 - 0.1j
    poses = np.float32(np.stack([moved.real, moved.imag], axis=-1))
    found = borrowed_poses.fitted(tf.constant(poses), tf.constant(BLOBS.points), tf.constant(SURE))
    np.testing.assert_allclose(found, BLOBS.points, atol=1e-5)
    images, points = borrowed(poses=poses)
    np.testing.assert_allclose(images, IMAGES, atol=1e-3)
    np.testing.assert_allclose(points, BLOBS.points, atol=1e-3)


def test_points_that_are_not_believed_do_not_turn_the_pose():
    poses, weights = BLOBS.points.copy(), SURE.copy()
    poses[:, 1] += 0.5
    weights[:, 1] = 0.0
    fitted = borrowed_poses.fitted(*map(tf.constant, (poses, BLOBS.points, weights)))
    np.testing.assert_allclose(fitted.numpy()[:, [0, 2]], BLOBS.points[:, [0, 2]], atol=1e-5)


def test_points_take_the_pose_and_stay_on_what_they_are_on():
    images, points = borrowed()
    goals = borrowed_poses.fitted(tf.constant(POSES), tf.constant(BLOBS.points), tf.constant(SURE))
    before, after = (np.linalg.norm(goals - p, axis=-1) for p in (BLOBS.points, points))
    near = before.max(axis=1) <= borrowed_poses.FURTHEST
    assert near.any() and not near.all()
    # The spline is smoothed: it does not reach its goals to the last pixel.
    assert after[near].max() < 0.03 < before[near].max()
    moved = np.linalg.norm(points - BLOBS.points, axis=-1)
    assert moved.max() < borrowed_poses.FURTHEST * 1.01 and moved[~near].max() > 0.2
    for image, pixels in zip(images, coordinates.pixels_from_corner(points, SIZE), strict=True):
        for (y, x), colour in zip(pixels, colour_blobs.COLOURS, strict=True):
            shown = image[round(float(y)), round(float(x))]
            np.testing.assert_allclose(shown, colour_blobs.GREY + colour, atol=0.04)


def test_a_pose_is_borrowed_by_an_image_that_is_warped_already_and_read_once():
    """A shift by whole pixels is no second blur: what is shown is what borrowing makes of the shifted image."""
    shift = np.float32([6 * 2 / 63, -4 * 2 / 63])
    images, points = borrowed(points=BLOBS.points - shift, places=STILL + shift)
    shifted = np.pad(IMAGES, [(0, 0), (0, 6), (4, 0), (0, 0)], "edge")[:, 6:, :64]
    expected, moved = borrowed_poses.borrow(
        tf.constant(shifted),
        *map(tf.constant, (STILL, BLOBS.points - shift, POSES, SURE, [1.0] * 6)),
    )
    np.testing.assert_allclose(points, moved, atol=1e-5)
    inner = np.s_[:, 8:50, 14:]  # beyond the border of either the other's edge continues
    np.testing.assert_allclose(images[inner], expected.numpy()[inner], atol=1e-3)


def test_a_share_of_nothing_changes_nothing_and_half_goes_half_of_the_way():
    images, points = borrowed(shares=(0.0, 1.0, 0.5, 0.0, 1.0, 0.5))
    for row in (0, 3):
        np.testing.assert_allclose(images[row], IMAGES[row], atol=1e-5)
        np.testing.assert_array_equal(points[row], BLOBS.points[row])
    unsure = borrowed(weights=0.5 * SURE)[1]
    whole, half = (borrowed(shares=(share,) * 6)[1] for share in (1.0, 0.5))
    np.testing.assert_allclose(unsure, half, atol=1e-5)
    ways = np.linalg.norm(np.stack([half, whole]) - BLOBS.points, axis=-1).max(axis=2)
    goals = borrowed_poses.fitted(tf.constant(POSES), tf.constant(BLOBS.points), tf.constant(SURE))
    free = np.linalg.norm(goals - BLOBS.points, axis=-1).max(axis=1) <= borrowed_poses.FURTHEST
    np.testing.assert_allclose(ways[0, free], ways[1, free] / 2, rtol=0.1)


def test_missing_points_stay_missing_and_hold_nothing():
    points, poses = BLOBS.points.copy(), POSES.copy()
    points[:, 2] = np.nan
    poses[:, 2] = 0.9  # nobody knows where it should go
    images, moved = borrowed(points, poses)
    assert np.isnan(moved[:, 2]).all() and np.isfinite(moved[:, :2]).all()
    # Of two points a similarity fits any pose.
    np.testing.assert_allclose(moved[:, :2], points[:, :2], atol=1e-3)
    np.testing.assert_allclose(images, IMAGES, atol=2e-2)


def test_points_in_one_place_are_no_pose():
    images, points = borrowed(poses=np.zeros_like(POSES))
    assert np.isfinite(images).all() and np.isfinite(points).all()


def test_no_gradient_goes_through():
    poses = tf.Variable(POSES)
    with tf.GradientTape() as tape:
        images, points = borrowed_poses.borrow(
            IMAGES,
            tf.constant(STILL),
            tf.constant(BLOBS.points),
            poses,
            tf.constant(SURE),
            tf.ones([6]),
        )
        total = tf.reduce_sum(images) + tf.reduce_sum(points)
    assert tape.gradient(total, poses) is None
