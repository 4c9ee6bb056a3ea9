"""Bilinear sampling against a loop over pixels, finite differences and tensorflow-addons."""

import importlib.util
import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import known_warp_pairs, padded_pairs, sampling, tps, warped_pairs
from tf_landmarks.augment.sampling import BORDERS, sample, sample_by_dense_image_warp
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError

SIZE = (5, 8)

core = pytest.mark.core
each_border = pytest.mark.parametrize("border", BORDERS)


def random_images(batch=2, size=SIZE, channels=3) -> np.ndarray:
    return np.random.default_rng(1).uniform(0.1, 1, (batch, *size, channels)).astype(np.float32)


def corner(pixels, size=SIZE) -> np.ndarray:
    """`[..., 2]` (y, x) pixels as float32 points."""
    return coordinates.corner_from_pixels(np.asarray(pixels, np.float64), size).astype(np.float32)


def points_near_and_far(batch=2) -> np.ndarray:
    """`[batch, 20, 30, 2]` points up to two pixels outside; of each image, some very far."""
    pixels = np.random.default_rng(2).uniform([-2, -2], [6, 9], (batch, 20, 30, 2))
    pixels[:, 0, :4] = [[-300, 2], [2, 1e6], [-1e9, 1e9], [4.5, 1e12]]
    return corner(pixels)


def sample_by_loop(images, points, border) -> np.ndarray:
    """One point and one pixel at a time, in float64."""
    _, height, width, channels = images.shape
    result = np.zeros((*points.shape[:3], channels))
    pixels = (points.astype(np.float64) + 1) / 2 * (np.array([height, width]) - 1)
    for b, i, j in np.ndindex(points.shape[:3]):
        y, x = pixels[b, i, j]
        if border == "edge":
            y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        for row, column in itertools.product(range(height), range(width)):
            weight = max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
            result[b, i, j] += weight * images[b, row, column]
    return result


@core
@each_border
def test_pixel_centres_return_the_image(border):
    images = random_images()
    points = np.tile(coordinates.corner_grid(SIZE).astype(np.float32), (2, 1, 1, 1))
    np.testing.assert_allclose(sample(images, points, border), images, atol=1e-6)


@core
@each_border
def test_sampling_equals_a_loop_over_pixels(border):
    images, points = random_images(), points_near_and_far()
    expected = sample_by_loop(images, points, border)
    assert (expected == 0).any() == (border == "zeros")
    np.testing.assert_allclose(sample(images, points, border), expected, atol=1e-5)


@core
def test_between_two_pixels_lies_their_mean():
    images = np.zeros((1, *SIZE, 1), np.float32)
    images[0, 3, 6], images[0, 3, 7] = 0.2, 0.6
    value = sample(images, corner([[[[3, 6.5], [3, 6.25], [3.5, 6]]]]))
    np.testing.assert_allclose(value[0, 0, :, 0], [0.4, 0.3, 0.1], atol=1e-6)


@core
def test_half_a_pixel_outside_is_half_the_edge_pixel_or_all_of_it():
    images = random_images(batch=1)
    outside = [[-0.5, 6], [4.5, 6], [1, -0.5], [1, 7.5], [4.5, 7.5], [-1, 6], [-7, 90]]
    edge_pixels = images[0, [0, 4, 1, 1, 4, 0, 0], [6, 6, 0, 7, 7, 6, 7]]
    share = np.array([0.5, 0.5, 0.5, 0.5, 0.25, 0, 0])[:, np.newaxis]
    points = corner([[outside]])
    np.testing.assert_allclose(sample(images, points)[0, 0], share * edge_pixels, atol=1e-5)
    np.testing.assert_allclose(sample(images, points, "edge")[0, 0], edge_pixels, atol=1e-5)


@core
def test_every_image_of_a_batch_is_read_at_its_own_points():
    images = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1) + np.zeros((3, *SIZE, 1))
    points = corner(np.full((3, 1, 2, 2), 1.5))
    np.testing.assert_allclose(sample(images, points)[..., 0], [[[0, 0]], [[1, 1]], [[2, 2]]])


@core
def test_integers_are_sampled_as_they_are():
    images = np.array([[[[0], [255]], [[100], [200]]]], np.uint8)
    assert sample(images, corner([[[[0, 0.5]]]], (2, 2))).numpy().item() == pytest.approx(127.5)


@core
@each_border
def test_sampling_is_the_same_where_shapes_are_unknown(border):
    images, points = random_images(), points_near_and_far()
    signature = [tf.TensorSpec([None] * 4), tf.TensorSpec([None] * 4)]
    traced = tf.function(lambda *arguments: sample(*arguments, border), signature)
    np.testing.assert_allclose(
        traced(images, points), sample(images, points, border), rtol=0, atol=1e-6
    )


@core
@each_border
def test_gradients_agree_with_finite_differences(border):
    # No point within 0.1 pixels of a line where the bilinear surface bends.
    rng = np.random.default_rng(3)
    whole = [[[[-1, 1], [1, 2], [0, -1], [0, 0]], [[2, 3], [0, 3], [-3, 1], [1, 0]]]]
    pixels = whole + rng.uniform(0.1, 0.9, (1, 2, 4, 2))
    images = tf.constant(random_images(1, (3, 4), 1))
    points = tf.constant(corner(pixels, (3, 4)))
    for function, argument in (
        (lambda images: sample(images, points, border), images),
        (lambda points: sample(images, points, border), points),
    ):
        analytic, numeric = tf.test.compute_gradient(function, [argument], delta=2**-6)
        assert np.abs(numeric[0]).max() > 0.5
        np.testing.assert_allclose(analytic[0], numeric[0], atol=2e-3)


@core
@each_border
def test_gradient_at_a_pixel_centre_is_the_slope_to_the_next_pixel(border):
    # Values 10 y + x; from one pixel to the next the corner convention moves by 1/2 and 2/4 on 5 x 5.
    rows, columns = np.mgrid[:5, :5].astype(np.float32)
    images = tf.constant((10 * rows + columns)[np.newaxis, ..., np.newaxis])
    points = tf.constant(corner([[[[1, 2], [3, 0], [0, 3]]]], (5, 5)))
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = tf.reduce_sum(sample(images, points, border))
    np.testing.assert_allclose(tape.gradient(value, points), np.tile([20, 2], (1, 1, 3, 1)))


@core
def test_continued_edges_are_flat():
    images = tf.constant(random_images(1))
    points = tf.constant([[[[1.0, 1.0], [1.2, 1.0], [1.0, 3.0]]]])
    with tf.GradientTape() as tape:
        tape.watch(points)
        value = tf.reduce_sum(sample(images, points, "edge"))
    np.testing.assert_array_equal(tape.gradient(value, points), np.zeros((1, 1, 3, 2)))


@core
def test_an_unknown_border_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="border='wrap' is unknown; it is one of zeros, edge"):
        sample(random_images(), corner(np.zeros((2, *SIZE, 2))), "wrap")


@each_border
@pytest.mark.parametrize("size", [(20, 30), (7, 9), (41, 12)])
def test_sampling_equals_dense_image_warp(border, size):
    pytest.importorskip("tensorflow_addons")
    images = random_images(size=(20, 30))
    pixels = np.random.default_rng(4).uniform([-3, -3], [22, 32], (2, *size, 2))
    points = corner(pixels, (20, 30))
    assert math.isclose(np.mean((pixels < 0) | (pixels > [19, 29])), 0.2, abs_tol=0.1)
    np.testing.assert_allclose(
        sample(images, points, border),
        sample_by_dense_image_warp(images, points, border),
        atol=2e-5,
    )


@pytest.fixture
def selected():
    """Selects a sampler for one test."""
    yield sampling.select
    sampling.select("own")


def calls(monkeypatch) -> list[str]:
    """Notes each call of the reference."""
    seen, reference = [], sampling.sample_by_dense_image_warp

    def noted(*arguments):
        seen.append("dense_image_warp")
        return reference(*arguments)

    monkeypatch.setattr(sampling, "sample_by_dense_image_warp", noted)
    return seen


_STRENGTH = tps.WarpStrength(20.0, 0.1, 0.2, 0.01, 0.05)
AUGMENTATIONS = {
    "warped_pairs": warped_pairs.WarpedPair(_STRENGTH, _STRENGTH, border="zeros_mask"),
    "warped_pairs, margin": warped_pairs.WarpedPair(_STRENGTH, _STRENGTH, border="margin"),
    "known_warp_pairs": known_warp_pairs.KnownWarpPair(_STRENGTH, _STRENGTH, 10, np.zeros((1, 2))),
    "padded_pairs": padded_pairs.PaddedPair(51, padded_pairs.PaddedWarpStrength(), 0.05, 3),
}


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
def test_batches_are_the_same_with_either_sampler_and_the_selection_decides(
    name, selected, monkeypatch
):
    pytest.importorskip("tensorflow_addons")
    seen = calls(monkeypatch)
    frames = tf.constant(random_images(2, (37, 37), 3)[:, np.newaxis])

    def batch(sampler: str) -> dict[str, tf.Tensor]:
        selected(sampler)
        return AUGMENTATIONS[name](frames, tf.constant([3, 5]), Geometry(37))

    own = batch("own")
    assert seen == []
    reference = batch("dense_image_warp")
    assert seen
    assert set(own) == set(reference)
    for key, values in own.items():
        np.testing.assert_allclose(values, reference[key], atol=1e-4, err_msg=key)


def test_the_reference_can_be_compiled_with_the_warp(selected):
    # As warps of large images are in an input pipeline.
    pytest.importorskip("tensorflow_addons")
    images = tf.constant(random_images(2, (20, 30)))
    points = corner(np.random.default_rng(4).uniform([-3, -3], [22, 32], (2, 20, 30, 2)), (20, 30))
    selected("dense_image_warp")
    compiled = tf.function(sample, jit_compile=True)(images, tf.constant(points), "zeros")
    np.testing.assert_allclose(compiled, sampling.bilinear(images, points), atol=2e-5)


@core
def test_only_warps_of_images_go_by_the_selection(selected, monkeypatch):
    seen = calls(monkeypatch)
    monkeypatch.setattr(sampling, "check", lambda sampler: None)
    selected("dense_image_warp")
    sampling.bilinear(random_images(), corner(np.zeros((2, *SIZE, 2)), SIZE))
    assert seen == []


@core
def test_a_sampler_that_cannot_be_had_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    words = r"^--sampler=dense_image_warp needs tensorflow-addons, .* take --sampler=own"
    for refuse in (sampling.check, sampling.select):
        with pytest.raises(UserError, match=words):
            refuse("dense_image_warp")
        refuse("own")
