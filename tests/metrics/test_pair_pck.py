"""PCK of pairs of images: both counts, their limits, and what is averaged."""

import numpy as np
import pytest

from tf_landmarks.metrics import pair_pck

pytestmark = pytest.mark.core

SIZES = np.array([[100, 400], [300, 50]])


def test_one_is_the_first_place_and_the_length_the_last():
    ends = np.array([[[1.0, 1.0], [224.0, 224.0], [112.5, 1.0]]])
    corner = pair_pck.to_corner(ends, [[224, 224]])
    np.testing.assert_allclose(corner, [[[-1, -1], [1, 1], [-1, 0]]], atol=1e-12)  # (y, x)
    points = np.random.default_rng(0).uniform(1, 50, (2, 5, 2))
    again = pair_pck.from_corner(pair_pck.to_corner(points, SIZES), SIZES)
    np.testing.assert_allclose(again, points, atol=1e-9)


def test_scnet_scales_both_axes_to_224_and_pf_leaves_pixels():
    points = np.array([[[40.0, 50.0]], [[25.0, 30.0]]])
    scaled, sizes = pair_pck.in_frame(points, SIZES, "scnet")
    np.testing.assert_allclose(scaled, [[[22.4, 112.0]], [[112.0, 22.4]]])
    assert (sizes == 224).all()
    kept, sizes = pair_pck.in_frame(points, SIZES, "pf")
    np.testing.assert_array_equal(kept, points)
    np.testing.assert_array_equal(sizes, SIZES)
    with pytest.raises(ValueError, match="variant='voc'"):
        pair_pck.in_frame(points, SIZES, "voc")


@pytest.mark.parametrize(("distance", "percent"), [(0, 100), (22.4, 100), (22.5, 0)])
@pytest.mark.parametrize("direction", [(1, 0), (0, -1), (0.6, 0.8)])
def test_scnet_takes_up_to_a_tenth_of_224(distance, percent, direction):
    truth = np.full((1, 1, 2), 100.0)
    moved = truth + distance * np.array(direction)
    assert pair_pck.pair_pck(moved, truth, "scnet") == percent


@pytest.mark.parametrize(("distance", "percent"), [(6, 100), (6.01, 0)])
def test_pf_takes_up_to_a_tenth_of_the_longer_side_of_the_box_of_the_sources_points(
    distance, percent
):
    truth = np.array([[[10.0, 20.0], [40.0, 80.0], [30.0, 50.0]]])  # 30 x 60
    moved = truth + np.array([0.0, distance])
    assert pair_pck.pair_pck(moved, truth, "pf") == percent


def test_pairs_weigh_the_same_and_padding_is_ignored():
    truth = np.full((2, 4, 2), np.nan)
    truth[0, :1], truth[1] = 50.0, 70.0
    carried = np.zeros_like(truth)  # far off, where there is no point too
    carried[0, 0] = 50.0
    # 1 of 1, and 0 of 4: the mean over pairs is a half, over points it would be a fifth.
    assert pair_pck.pair_pck(carried, truth, "scnet") == 50
    assert np.isnan(pair_pck.pair_pck(carried, np.full_like(truth, np.nan), "scnet"))
