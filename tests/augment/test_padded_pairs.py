"""Canvases and their warps (LMDIS)."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import padded_pairs
from tf_landmarks.data.geometry import Geometry

pytestmark = pytest.mark.core

STILL = tf.constant([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])


def random_images(count=2, size=16, seed=0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).random((count, size, size, 3)), tf.float32)


def random_points(count=2, number=30, seed=1) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, (count, number, 2)), tf.float32)


def test_the_border_has_the_mean_colour_of_the_outermost_pixels():
    images = random_images()
    padded = padded_pairs.pad(images, 24).numpy()
    assert padded.shape == (2, 24, 24, 3)
    np.testing.assert_allclose(padded[:, 4:20, 4:20], images, atol=1e-6)
    for image, found in zip(images.numpy(), padded, strict=True):
        lines = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        np.testing.assert_allclose(found[0, 0], lines.mean(axis=0), rtol=1e-5)
        assert np.ptp(found[:4], axis=(0, 1)).max() < 1e-6


def test_no_warp_leaves_points_and_images_as_they_are():
    still = padded_pairs.grid_warp(tf.repeat(STILL, 2, axis=0), tf.zeros([2, 49, 2]))
    points, images = random_points(), random_images()
    np.testing.assert_array_equal(still(points), points)
    np.testing.assert_allclose(still.images(images), images, atol=1e-5)


def test_a_spline_moves_its_control_points_by_their_shifts():
    shifts = 0.1 * tf.random.stateless_normal([3, 49, 2], [0, 0])
    control = tf.constant(padded_pairs._CONTROL[None], tf.float32)
    moved = padded_pairs.grid_warp(tf.repeat(STILL, 3, axis=0), shifts)(control)
    np.testing.assert_allclose(moved, control + shifts, atol=1e-4)
    # The centres of a 7 x 7 grid's cells.
    np.testing.assert_allclose(
        np.unique(padded_pairs._CONTROL.round(6)), -1 + 1 / 7 + 2 / 7 * np.arange(7), atol=1e-5
    )


def test_a_spline_around_landmarks_moves_these():
    landmarks, shifts = 0.5 * random_points(number=8), 0.05 * random_points(number=8, seed=2)
    warp = padded_pairs.landmark_warp(tf.repeat(STILL, 2, axis=0), landmarks, shifts)
    np.testing.assert_allclose(warp(landmarks), landmarks + shifts, atol=2e-3)


def test_a_spline_around_landmarks_passes_no_gradient_to_them():
    landmarks = tf.Variable(0.5 * random_points(number=8))
    with tf.GradientTape() as tape:
        warp = padded_pairs.landmark_warp(
            tf.repeat(STILL, 2, axis=0), landmarks, 0.05 * random_points(number=8, seed=2)
        )
        total = tf.reduce_sum(warp(random_points()))
    assert tape.gradient(total, landmarks) is None


def test_splines_follow_the_similarity():
    angle, scale = 0.3, 1.2
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    similarity = tf.constant([[[0.1, -0.2], [cos, sin], [-sin, cos]]], tf.float32)
    points = random_points(1)
    expected = points[0].numpy() @ np.array([[cos, sin], [-sin, cos]]) + (0.1, -0.2)
    warp = padded_pairs.grid_warp(similarity, tf.zeros([1, 49, 2]))
    np.testing.assert_allclose(warp(points)[0], expected, atol=1e-5)


def test_points_and_images_are_warped_alike():
    # A blob at g(x) of the canvas appears at x of the warped one.
    size = 64
    # Half a pixel, that between the corner and the edge convention, must show: weak bends, a centre of mass.
    pair = padded_pairs.PaddedPair(
        size, padded_pairs.PaddedWarpStrength(displacement=0.01, translation=0.15), 0.05, 3
    )
    drawn = pair.draw(tf.constant([1, 2]), 8)
    warp = padded_pairs.grid_warp(drawn["similarity"], drawn["shifts"])
    place = 0.3 * random_points(8, 1)
    centre = coordinates.pixels_from_corner(
        coordinates.corner_from_edge(warp(place), (size, size)), (size, size)
    ).numpy()[:, 0]
    y, x = np.mgrid[:size, :size]
    blobs = [np.exp(-((y - v) ** 2 + (x - u) ** 2) / 8) for v, u in centre]
    seen = warp.images(tf.constant(np.stack(blobs)[..., None], tf.float32)).numpy()[..., 0]
    expected = coordinates.pixels_from_corner(
        coordinates.corner_from_edge(place, (size, size)), (size, size)
    ).numpy()[:, 0]
    assert np.abs(expected - (size - 1) / 2).max() < 24  # whole blobs
    for image, place in zip(seen, expected, strict=True):
        found = np.array([(image * y).sum(), (image * x).sum()]) / image.sum()
        np.testing.assert_allclose(found, place, atol=0.1)


def test_draws_have_the_published_distributions():
    drawn = padded_pairs.PaddedPair(24, padded_pairs.PaddedWarpStrength(), 0.05, 5).draw(
        tf.constant([0, 0]), 20_000
    )
    t, along_y, _ = tf.unstack(drawn["similarity"], axis=1)
    assert np.abs(t).max() == pytest.approx(0.3, abs=1e-3)
    assert np.std(t) == pytest.approx(0.3 / np.sqrt(3), rel=0.02)
    scale, angle = np.hypot(*along_y.numpy().T), np.arctan2(*along_y.numpy().T[::-1])
    assert np.std(np.log(scale)) == pytest.approx(np.log(1.25), rel=0.02)
    assert np.std(np.rad2deg(angle)) == pytest.approx(10, rel=0.02)
    assert np.std(drawn["shifts"]) == pytest.approx(0.1, rel=0.02)
    assert np.std(drawn["landmark_shifts"]) == pytest.approx(0.05, rel=0.02)
    assert np.abs(drawn["brightness"]).max() == pytest.approx(32 / 255, rel=1e-3)
    assert drawn["contrast"].numpy().min() == pytest.approx(0.5, abs=1e-3)


def test_a_batch_is_the_view_and_its_warped_canvas():
    geometry = Geometry(16, crop_fraction=0.8)
    frames = random_images(3, geometry.load_size)[:, None]
    pair = padded_pairs.PaddedPair(
        24, padded_pairs.PaddedWarpStrength(0, 0, 0, 0), 0.05, 5, color_jitter=False
    )
    made = pair(frames, tf.constant([0, 1]), geometry)
    np.testing.assert_allclose(made["target"], geometry.centre(frames[:, 0]), atol=1e-6)
    np.testing.assert_allclose(made["source"], padded_pairs.pad(made["target"], 24), atol=1e-4)
    jittered = padded_pairs.PaddedPair(24, padded_pairs.PaddedWarpStrength(0, 0, 0, 0), 0.05, 5)
    other = jittered(frames, tf.constant([0, 1]), geometry)["target"]
    assert np.abs(other - made["target"]).max() > 0.05
    assert other.numpy().min() >= 0 and other.numpy().max() <= 1
