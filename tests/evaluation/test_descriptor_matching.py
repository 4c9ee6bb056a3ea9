"""Matching by descriptors: similarities of several levels, maxima, places between cells."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.evaluation import descriptor_matching
from tf_landmarks.layers import maxima

pytestmark = pytest.mark.core
EAGER = True


def random_levels(seed: int, count: int = 2, sides=((12, 12, 5), (6, 6, 7), (3, 3, 9), (1, 1, 4))):
    draw = np.random.default_rng(seed)
    return {
        f"level{i}": tf.constant(draw.normal(size=(count, *shape)), tf.float32)
        for i, shape in enumerate(sides)
    }


def enlarged(levels, grid: int) -> dict[str, np.ndarray]:
    """Each level as TensorFlow enlarges it, its slices of unit length: what the section says, with all its memory."""
    found = {}
    for name, level in levels.items():
        large = tf.image.resize(level, [grid, grid]).numpy()
        found[name] = large / np.linalg.norm(large, axis=-1, keepdims=True)
    return found


def centres(cells, grid: int) -> np.ndarray:
    return (2 * np.asarray(cells, np.float32) + 1) / grid - 1


@pytest.mark.parametrize("grid", [12, 24, 31, 5])
def test_similarities_are_those_of_enlarged_levels(grid):
    levels, queries = random_levels(1), {}
    for name, level in levels.items():
        draw = np.random.default_rng(2).normal(size=(2, 3, level.shape[-1]))
        queries[name] = tf.constant(draw / np.linalg.norm(draw, axis=-1, keepdims=True), tf.float32)
    maps = descriptor_matching.similarity_maps(levels, queries, grid)
    assert maps.shape == (2, grid, grid, 3)
    expected = sum(
        np.einsum("nhwd,nkd->nhwk", large, queries[name])
        for name, large in enlarged(levels, grid).items()
    )
    np.testing.assert_allclose(maps, expected / len(levels), atol=2e-5)


def test_descriptors_are_read_as_levels_are_enlarged():
    levels = random_levels(3)
    cells = np.array([[[0, 0], [23, 7], [11, 16]]] * 2)
    found = descriptor_matching.read(levels, tf.constant(centres(cells, 24)))
    for name, large in enlarged(levels, 24).items():
        expected = [large[n][tuple(cells[n].T)] for n in range(2)]
        np.testing.assert_allclose(found[name], expected, atol=2e-6)


def test_a_level_and_a_thousand_times_that_level_match_alike():
    levels = random_levels(4)
    points = tf.constant(np.random.default_rng(5).uniform(-1, 1, (2, 6, 2)), tf.float32)
    large = {**levels, "level1": 1000 * levels["level1"]}
    found = [
        descriptor_matching.find(one, descriptor_matching.read(one, points), 24)
        for one in (levels, large)
    ]
    np.testing.assert_allclose(found[0].points, found[1].points, atol=1e-5)
    np.testing.assert_allclose(found[0].similarity, found[1].similarity, atol=1e-6)


def test_levels_of_nothing_and_of_huge_numbers_are_no_accident():
    levels = {**random_levels(6), "level1": tf.zeros([2, 6, 6, 7])}
    levels["level2"] *= 1e30
    found = descriptor_matching.find(
        levels, descriptor_matching.read(levels, tf.zeros([2, 1, 2])), 24
    )
    assert np.isfinite(found.points).all() and np.isfinite(found.similarity).all()
    assert found.similarity.numpy().max() <= 0.75 + 1e-6  # one of four levels says nothing


def test_cells_that_cancel_between_each_other_are_no_maximum():
    # Halfway between f and almost -f nothing is left but rounding: it is like neither.
    draw = np.random.default_rng(7).normal(size=(1, 1, 1, 64))
    level = tf.constant(np.concatenate([draw, -draw * (1 - 1e-7)], axis=2), tf.float32)
    query = {"only": tf.constant(draw[:, 0] / np.linalg.norm(draw), tf.float32)}
    maps = descriptor_matching.similarity_maps({"only": level}, query, 101)[0, 50, :, 0].numpy()
    assert maps.max() <= 1 and maps[:25].min() == pytest.approx(1, abs=1e-5)
    assert abs(maps[50]) < 0.1


def test_the_first_of_equal_maxima_is_taken_row_by_row():
    maps = np.zeros((1, 4, 5, 3), np.float32)
    for k, cells in enumerate([[(1, 3), (2, 0)], [(0, 4), (0, 1)], []]):
        for row, column in cells:
            maps[0, row, column, k] = 1
    cells, values = maxima.first_maximum(tf.constant(maps))
    np.testing.assert_array_equal(cells, [[[1, 3], [0, 1], [0, 0]]])
    np.testing.assert_array_equal(values, [[1, 1, 0]])


def test_the_ratio_is_that_of_distances_to_the_best_and_to_the_best_elsewhere():
    maps = np.full((1, 20, 20, 3), -2.0, np.float32)
    maps[0, 10, 4, :] = 0.98, 1.0, 1.0
    maps[0, 10, 6, :] = 0.97  # two cells of 20: not elsewhere
    maps[0, 12, 5, 0], maps[0, 10, 7, 1], maps[0, 0, 19, 2] = 0.92, 0.6, 1.0
    cells, values = maxima.first_maximum(tf.constant(maps))
    ratio = maxima.distance_ratio(tf.constant(maps), cells, values)
    # sqrt(0.02 / 0.08); nothing left; two places as alike as can be, of which the first in rows is taken.
    np.testing.assert_allclose(ratio, [[0.5, 0.0, 1.0]], atol=1e-5)


def blobs(centre, hessian, size=(9, 11), kind="quadratic") -> np.ndarray:
    """A map `[1, H, W, 1]` with its maximum at a centre between cells."""
    offsets = np.stack(np.mgrid[: size[0], : size[1]], axis=-1) - np.asarray(centre)
    drop = np.einsum("hwi,ij,hwj->hw", offsets, np.asarray(hessian), offsets)
    values = 1 - drop if kind == "quadratic" else np.exp(-drop)
    return values[np.newaxis, ..., np.newaxis].astype(np.float32)


def refined(maps) -> np.ndarray:
    cells, _ = maxima.first_maximum(tf.constant(maps))
    return (tf.cast(cells, tf.float32) + descriptor_matching.refinement(maps, cells))[0, 0].numpy()


@pytest.mark.parametrize("centre", [(4.3, 6.8), (3.5, 2.49), (7.0, 5.0)])
@pytest.mark.parametrize("hessian", [[[0.02, 0], [0, 0.05]], [[0.03, 0.015], [0.015, 0.02]]])
def test_between_cells_a_quadratic_maximum_is_found_exactly(centre, hessian):
    np.testing.assert_allclose(refined(blobs(centre, hessian)), centre, atol=2e-4)


def test_between_cells_a_gaussian_is_found_to_a_fiftieth_of_a_cell():
    for centre in [(4.3, 6.8), (3.5, 2.4), (5.25, 5.0)]:
        maps = blobs(centre, [[0.06, 0.02], [0.02, 0.08]], kind="gaussian")
        np.testing.assert_allclose(refined(maps), centre, atol=0.02)


def test_at_the_border_and_on_a_plain_nothing_moves_outwards():
    np.testing.assert_array_equal(refined(np.zeros((1, 5, 5, 1), np.float32)), [0, 0])
    # The true maximum of the first lies outside; along the border the place is found all the same.
    np.testing.assert_allclose(
        refined(blobs((-0.4, 3.3), [[0.02, 0], [0, 0.05]])), [0, 3.3], atol=1e-4
    )


def test_nothing_is_found_outside_of_a_box():
    levels = random_levels(8, 1, [(8, 8, 3)])
    queries = descriptor_matching.read(levels, tf.constant(centres([[[1, 1]]], 8)))
    box = tf.constant([[[-0.25, -0.5], [1.0, 0.25]]])
    found = descriptor_matching.find(levels, queries, 16, box)
    assert found.similarity.numpy() < 0.99
    assert (found.points[0, 0] >= box[0, 0]).numpy().all()
    assert (found.points[0, 0] <= box[0, 1]).numpy().all()
    thin = descriptor_matching.find(levels, queries, 16, tf.constant([[[0.01, -1.0], [0.02, 1.0]]]))
    assert 0.01 <= thin.points.numpy()[0, 0, 0] <= 0.02


def test_a_point_between_cells_is_found_where_it_was_read():
    # Smooth descriptors: cosines and sines of the place.
    y, x = np.meshgrid(*[centres(np.arange(16), 16)] * 2, indexing="ij")
    level = np.stack([f(2 * v) for v in (y, x) for f in (np.cos, np.sin)], -1)[np.newaxis]
    levels = {"only": tf.constant(level, tf.float32)}
    points = np.random.default_rng(9).uniform(-0.8, 0.8, (1, 20, 2)).astype(np.float32)
    found = descriptor_matching.find(levels, descriptor_matching.read(levels, points), 32)
    np.testing.assert_allclose(found.points, points, atol=0.02 * 2 / 16)  # a fiftieth of a cell
    # At the nearest place of the grid, 1/32 away along each axis at most: cos(2 / 32).
    np.testing.assert_allclose(found.similarity, 1, atol=1 - np.cos(2 / 32))


def test_several_images_give_the_mean_of_the_descriptors_that_are_known():
    queries = {"only": tf.constant([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])}
    found = descriptor_matching.average(queries, np.array([[True, True], [True, False]]))
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found["only"], [[[half, half], [0, 1]]], atol=1e-6)


def test_the_grid_has_half_cells_of_the_finest_level():
    assert descriptor_matching.default_grid(random_levels(0)) == 24
