"""The two frames of coordinates against pixels, by hand-computed values on images that are not square."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates

pytestmark = pytest.mark.core

SIZE = (5, 9)
# Rows of 5 pixels lie at -1, -0.5, 0, 0.5, 1; columns of 9 at -1, -0.75, ..., 1.
PIXELS = np.array([[0, 0], [4, 8], [1, 2], [3, 7], [-1, 8.5]], np.float64)
CORNER = np.array([[-1, -1], [1, 1], [-0.5, -0.5], [0.5, 0.75], [-1.5, 1.125]], np.float64)
# The outer edges lie at pixels -0.5 and n - 0.5: edge = (2 p + 1) / n - 1.
EDGE = np.array([[-4 / 5, -8 / 9], [4 / 5, 8 / 9], [-2 / 5, -4 / 9], [2 / 5, 6 / 9], [-6 / 5, 1]])

PAIRS = {
    "corner_from_pixels": (PIXELS, CORNER),
    "pixels_from_corner": (CORNER, PIXELS),
    "edge_from_corner": (CORNER, EDGE),
    "corner_from_edge": (EDGE, CORNER),
}


@pytest.mark.parametrize("name", PAIRS)
def test_conversions_give_the_hand_computed_points(name):
    given, expected = PAIRS[name]
    np.testing.assert_allclose(getattr(coordinates, name)(given, SIZE), expected, atol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_conversions_return_the_kind_and_type_they_take(name, dtype):
    convert, (given, expected) = getattr(coordinates, name), PAIRS[name]
    array = convert(given.astype(dtype), SIZE)
    assert isinstance(array, np.ndarray) and array.dtype == dtype
    tensor = convert(tf.constant(given, dtype), SIZE)
    assert tf.is_tensor(tensor) and tensor.dtype == dtype
    np.testing.assert_allclose(tensor, expected, atol=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_every_image_of_a_batch_may_have_its_own_size(name):
    given, expected = PAIRS[name]
    sizes = np.array([[SIZE], [SIZE[::-1]]])  # [2, 1, 2]
    points = np.stack([given, given[:, ::-1]])
    wanted = np.stack([expected, expected[:, ::-1]])
    convert = getattr(coordinates, name)
    np.testing.assert_allclose(convert(points, sizes), wanted, atol=1e-12)
    inside = tf.function(convert)(tf.constant(points), tf.constant(sizes))
    np.testing.assert_allclose(inside, wanted, atol=1e-12)


def test_whole_pixels_are_not_rounded():
    np.testing.assert_allclose(coordinates.corner_from_pixels(np.array([1, 7]), SIZE), [-0.5, 0.75])


def test_frames_round_trip():
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (3, 7, 2))
    pixels = coordinates.pixels_from_corner(points, (36, 53))
    np.testing.assert_allclose(coordinates.corner_from_pixels(pixels, (36, 53)), points)
    edge = coordinates.edge_from_corner(points, (36, 53))
    np.testing.assert_allclose(coordinates.corner_from_edge(edge, (36, 53)), points)


def test_points_become_a_tensor_where_the_size_is_one():
    found = coordinates.corner_from_pixels(PIXELS, tf.constant(SIZE))
    assert tf.is_tensor(found) and found.dtype == tf.float64
    np.testing.assert_allclose(found, CORNER, atol=1e-12)


def test_swap_xy_exchanges_the_last_axis():
    points = np.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(coordinates.swap_xy(points)[1, 2], [11, 10])
    np.testing.assert_array_equal(coordinates.swap_xy(tf.constant(points))[0, 1], [3, 2])


def test_corner_grid_holds_y_then_x_of_every_pixel():
    grid = coordinates.corner_grid(SIZE)
    assert grid.shape == (5, 9, 2) and grid.dtype == np.float64
    rows, columns = np.mgrid[:5, :9]
    pixels = coordinates.pixels_from_corner(grid, SIZE)
    np.testing.assert_allclose(pixels, np.stack([rows, columns], axis=-1), atol=1e-12)
