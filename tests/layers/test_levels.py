"""Levels on a grid: sizes, projections, places."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.layers import levels as levels_

pytestmark = pytest.mark.core
EAGER = True

RANDOM = np.random.default_rng(0)


def random_levels(**sizes) -> dict[str, tf.Tensor]:
    return {
        name: tf.constant(RANDOM.normal(size=[2, *size]), tf.float32)
        for name, size in sizes.items()
    }


def test_the_grid_is_the_finest_level_s_or_the_one_asked_for():
    levels = random_levels(fine=(6, 8, 2), coarse=(3, 4, 5))
    assert levels_.grid_size(levels) == (6, 8)
    assert levels_.grid_size(levels, 48) == (48, 48)


def test_resizing_keeps_to_cells_that_tile_the_image():
    # 3 -> 48: the first 8 rows lie before the centre of cell 0; row 24 at (24.5 / 16 - 0.5) = 1.03125.
    level = tf.constant(np.array([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1), tf.float32)
    rows = levels_.resize(level, (48, 1)).numpy().ravel()
    np.testing.assert_array_equal(rows[:8], 1.0)
    assert rows[24] == pytest.approx(0.96875 * 10.0 + 0.03125 * 100.0, abs=1e-4)


@pytest.mark.parametrize("size", [(48, 48), (5, 7), (3, 3)])
def test_a_constant_level_stays_constant(size):
    values = np.array([0.3, -2.0, 1e4], np.float32)
    found = levels_.resize(tf.constant(np.tile(values, (1, 3, 3, 1))), size)
    assert found.shape == (1, *size, 3)
    np.testing.assert_allclose(found, np.broadcast_to(values, found.shape), rtol=1e-6)


@pytest.mark.parametrize("grid", [24, 12, 8])
def test_projecting_levels_first_changes_nothing(grid):
    levels = random_levels(conv2=(24, 24, 8), conv3=(12, 12, 16), conv4=(6, 6, 32))
    kernels = {
        name: tf.constant(RANDOM.normal(size=[1, 1, level.shape[-1], 5]), tf.float32)
        for name, level in levels.items()
    }
    columns = tf.concat([tf.image.resize(level, (grid, grid)) for level in levels.values()], -1)
    kernel = tf.concat(list(kernels.values()), axis=2)
    expected = tf.einsum("bhwd,df->bhwf", columns, kernel[0, 0])
    found = levels_.convolve(levels, kernels, (grid, grid))
    assert float(tf.reduce_max(tf.abs(expected))) > 5.0
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_larger_kernels_see_the_grid():
    level = tf.constant(np.arange(4.0).reshape(1, 2, 2, 1), tf.float32)
    kernel = np.zeros([3, 3, 1, 1], np.float32)
    kernel[1, 0] = 1.0  # the cell to the left
    found = levels_.convolve({"a": level}, {"a": tf.constant(kernel)}, (4, 4))[0, ..., 0].numpy()
    expected = tf.image.resize(level, (4, 4))[0, ..., 0].numpy()
    np.testing.assert_array_equal(found[:, 1:], expected[:, :-1])
    np.testing.assert_array_equal(found[:, 0], 0.0)


def test_a_level_that_is_missing_is_named_and_others_are_not_read():
    levels = random_levels(fine=(4, 4, 3), odd=(5, 5, 7))
    kernels = {"fine": tf.ones([1, 1, 3, 1])}
    levels_.convolve(levels, kernels, (4, 4))
    with pytest.raises(ValueError, match=r"levels \['coarse'\] are missing.*\['fine', 'odd'\]"):
        levels_.convolve(levels, {**kernels, "coarse": tf.ones([1, 1, 3, 1])}, (4, 4))


def test_descriptors_have_unit_length_and_nothing_stays_nothing():
    level = tf.constant([[[[3.0, 4.0], [0.0, 0.0]]]])
    np.testing.assert_allclose(levels_.unit(level, (1, 2)), [[[[0.6, 0.8], [0.0, 0.0]]]], atol=1e-7)
    found = levels_.unit_length(tf.constant([[3e-30, 4e-30], [3e30, 4e30], [np.nan, 1.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0.6, 0.8], [0.0, 0.0]], atol=1e-6)


def test_a_point_in_pixels_lies_at_p_plus_a_half_times_h_by_s_minus_a_half():
    pixels = np.array([[0.0, 95.0], [10.0, 40.5], [47.5, 1.5]])
    corner = coordinates.corner_from_pixels(pixels, (96, 96))
    cells = coordinates.pixels_from_corner(levels_.cells_from_input(corner, (24, 12), 96), (24, 12))
    np.testing.assert_allclose(cells, (pixels + 0.5) * [24 / 96, 12 / 96] - 0.5, atol=1e-12)
    back = levels_.input_from_cells(levels_.cells_from_input(corner, (24, 12), 96), (24, 12), 96)
    np.testing.assert_allclose(back, corner, atol=1e-12)
