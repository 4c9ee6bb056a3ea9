"""Descriptors of places, from levels of any size and scale."""

import numpy as np
import pytest

from tf_landmarks.metrics import descriptors

pytestmark = pytest.mark.core


def levels(seed=0):
    random = np.random.default_rng(seed)
    return {"fine": random.normal(size=(2, 8, 8, 5)), "coarse": random.normal(size=(2, 4, 4, 3))}


def test_the_product_of_two_descriptors_is_the_mean_of_the_cosines_of_their_slices():
    cells = descriptors.describe({name: v[:1, :1, :2] for name, v in levels().items()}, 2)[0]
    one, two = (cells[0, 0], cells[0, 1])
    slices = [slice(0, 5), slice(5, 8)]
    cosines = [one[s] @ two[s] / (np.linalg.norm(one[s]) * np.linalg.norm(two[s])) for s in slices]
    assert one @ two == pytest.approx(np.mean(cosines), abs=1e-6)
    assert one @ one == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("factor", [1000.0, 1e-25, 1e25])
def test_the_scale_of_a_level_changes_nothing(factor):
    given = levels()
    expected = descriptors.describe(given, 8)
    scaled = descriptors.describe({**given, "coarse": factor * given["coarse"]}, 8)
    np.testing.assert_allclose(scaled, expected, atol=1e-6)
    assert np.ptp(expected[..., 5:]) > 0.5


def test_slices_that_say_nothing_stay_zero():
    given = levels()
    given["coarse"][0, 0, 0] = np.nan
    given["coarse"][0, 3, 3] = 0
    cells = descriptors.describe(given, 4)[0]
    assert np.linalg.norm(cells[0, 0]) == pytest.approx(0.5**0.5, abs=1e-6)
    assert np.linalg.norm(cells[3, 3]) == pytest.approx(0.5**0.5, abs=1e-6)
    assert (cells[0, 0, 5:] == 0).all() and np.linalg.norm(cells[1, 1]) == pytest.approx(
        1, abs=1e-6
    )


def test_levels_meet_between_half_pixel_centres():
    # Four cells from two: 0, 1/4 and 3/4 of the way, 1.
    given = {"coarse": np.array([0.0, 1.0]).reshape(1, 1, 2, 1) * np.ones((1, 2, 1, 1))}
    np.testing.assert_allclose(descriptors.side_by_side(given, 4)[0, 0, :, 0], [0, 0.25, 0.75, 1])
    fine = {"fine": np.ones((1, 4, 4, 2)), **given}
    assert descriptors.side_by_side(fine, descriptors.grid_side(fine)).shape == (1, 4, 4, 3)
    assert descriptors.grid_side({"fine": np.ones((1, 96, 96, 1))}) == descriptors.MAX_GRID


def test_cells_tile_the_input():
    # Of 8 pixels, two cells have their centres between pixels 1 and 2, and 5 and 6: 1.5 and 5.5 of 0 to 7.
    centres = descriptors.cell_centres(2, 8)
    pixels = (centres + 1) * 3.5
    np.testing.assert_allclose(pixels, [(1.5, 1.5), (1.5, 5.5), (5.5, 1.5), (5.5, 5.5)])


def test_distinct_places_lie_on_what_differs_and_apart():
    cells = np.zeros((20, 20, 2), np.float32)
    cells[..., 0] = 1
    for row, column in ((5, 5), (5, 6), (14, 8)):
        cells[row, column] = (0, 1)
    cells[0, 10] = (0, 1)  # at the border
    chosen = descriptors.distinct_places(cells, 2)
    rows, columns = chosen // 20, chosen % 20
    assert np.hypot(rows - 5, columns - 5.5).min() < 2
    assert np.hypot(rows - 14, columns - 8).min() < 2
    many = descriptors.distinct_places(cells, 1000)
    apart = np.hypot(many // 20 - many[:, None] // 20, many % 20 - many[:, None] % 20)
    assert len(many) > 10 and apart[~np.eye(len(many), dtype=bool)].min() >= 20 / 6
    assert (many // 20).min() >= 2 and (many % 20).max() <= 17


def test_the_nearest_of_equals_is_the_first():
    cells = np.array([(0, 1), (1, 0), (1, 0)], np.float32)
    assert descriptors.nearest(np.array([(0.9, 0.1), (0, 1)], np.float32), cells).tolist() == [1, 0]
