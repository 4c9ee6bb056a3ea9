"""Each measure of health against values worked out by hand or by plain loops; detectors are in test_unsupervised.py."""

import math

import numpy as np
import pytest

from tests.metrics.healths import health
from tf_landmarks import coordinates
from tf_landmarks.augment import tps
from tf_landmarks.metrics import unsupervised

pytestmark = pytest.mark.core

NAN = np.nan
GREY = np.full((3, 8, 8, 3), 0.5, np.float32)


def test_still_is_less_than_a_hundredth_of_the_side_without_following():
    found = health(
        spread_percent=np.array([0.99, 1.0, 0.99, 0.99, NAN]),
        lag=np.array([0.5, 1.0, 0.49, NAN, 1.0]),
    )
    assert found.still.tolist() == [True, False, False, True, False]


def test_astray_is_nine_tenths_of_the_shift_or_more_of_points_that_are_not_still():
    found = health(
        spread_percent=np.array([7.0, 7.0, 7.0, 0.5]), lag=np.array([0.89, 0.9, NAN, 1.0])
    )
    assert found.astray.tolist() == [False, True, False, False]


def test_on_the_border_is_in_more_than_half_of_the_images_of_points_that_are_not_still():
    found = health(
        spread_percent=np.array([7.0, 7.0, 0.5]),
        lag=np.array([0.1, 0.1, 1.0]),
        border_share=np.array([0.5, 0.51, 1.0]),
    )
    assert found.on_border.tolist() == [False, True, False]


def test_background_is_plain_ground_under_points_astray_that_are_not_on_the_border():
    found = health(
        spread_percent=np.full(4, 7.0),
        lag=np.array([1.0, 1.0, 1.0, 0.1]),
        border_share=np.array([0.0, 0.0, 1.0, 0.0]),
        contrast=np.array([0.59, 0.6, 0.1, 0.1]),
    )
    assert found.on_background.tolist() == [True, False, False, False]


def test_one_of_each_group_of_duplicates_is_needed():
    assert health().num_duplicates == 0
    assert health(duplicates=((0, 1, 2), (3, 4))).num_duplicates == 3


def test_a_collapse_is_all_points_still_or_all_alike():
    lag = np.ones(3)
    assert health(spread_percent=np.zeros(3), lag=lag).collapsed
    assert not health(spread_percent=np.array([0.0, 0.0, 7.0]), lag=lag).collapsed
    assert health(all_alike=True).collapsed


def test_a_dictionary_holds_the_measures_the_kinds_and_a_row_for_each_point():
    found = health(
        spread_percent=np.array([7.0, 0.123456, 7.0]),
        lag=np.array([0.1, 1.0, NAN]),
        border_share=np.array([1.0, 0.0, 0.0]),
        duplicates=((0, 2),),
        shuffle_ratio=1.23456,
        swap_ratio=math.inf,
    )
    values = found.to_dict()
    points = values.pop("points")
    assert values == {
        "num_images": 8,
        "duplicates": [[0, 2]],
        "scatter_percent": 20.0,
        "all_alike": False,
        "reconstruction_percent": None,
        "shuffle_ratio": 1.2346,
        "swap_ratio": None,
        "color_follow": None,
        "still": [1],
        "on_border": [0],
        "on_background": [],
        "astray": [],
        "collapsed": False,
        "score": 1.5,  # an error of 1 % over two points of three
    }
    names = ("spread_percent", "equivariance_percent", "lag", "border_share", "contrast")
    rows = [(7.0, 1.0, 0.1, 1.0, 0.9), (0.1235, 1.0, 1.0, 0.0, 0.9), (7.0, 1.0, None, 0.0, 0.9)]
    assert points == [dict(zip(names, row, strict=True)) for row in rows]


def test_what_a_training_follows_are_means_counts_and_what_the_generator_has():
    found = health(
        spread_percent=np.array([0.5, 4.5, NAN]),
        equivariance_percent=np.array([1.0, 5.0, NAN]),
        lag=np.array([1.0, 0.5, NAN]),
        duplicates=((0, 1, 2),),
        reconstruction_percent=4.0,
        swap_ratio=NAN,
    )
    assert found.scalars() == {
        "score": 3 * 2 * 3 / 1,
        "lag": 0.75,
        "equivariance_percent": 3.0,
        "spread_percent": 2.5,
        "still_points": 1,
        "duplicate_points": 2,
        "reconstruction_percent": 4.0,
    }


def measured(*points, images=GREY, **arguments) -> unsupervised.Health:
    """Health of points that stand still, `[K, 2]`, or go their way, `[N, K, 2]`."""
    places = np.broadcast_to(np.array(points, np.float64), (len(images), len(points), 2))
    return unsupervised.measure(images, lambda images: places[: len(images)], **arguments)


def test_scatter_is_the_mean_distance_from_the_centre_in_percent_of_the_side():
    # Centre (0, 0): distances 0.5, 0.5 and 0 of a side of 2.
    found = measured((0.0, 0.5), (0.0, -0.5), (0.0, 0.0))
    assert found.scatter_percent == pytest.approx(100 / 6)
    assert found.num_images == 3


def test_points_are_alike_within_a_cell_of_each_other():
    # With a grid of 5, a cell is 0.5: all within 0.25 of their centre.
    assert measured((0.0, 0.24), (0.0, -0.24), grid=5).all_alike
    assert not measured((0.0, 0.25), (0.0, -0.25), grid=5).all_alike
    # The mean distance is 0.18, but one of them is 0.36 away.
    assert not measured((0.0, 0.36), *[(0.0, -0.12)] * 3, grid=5).all_alike
    assert not measured((0.0, 0.0), grid=5).all_alike  # one point has none to be alike to


def test_the_border_is_half_a_cell_of_a_grid_of_16():
    # 1 / 15 = 0.0667 wide; 1 / 14 = 0.0714 and 1 / 16 = 0.0625 would not part these two.
    found = measured((0.935, 0.0), (0.0, -0.93))
    assert found.border_share.tolist() == [1, 0]


def test_a_detector_sees_32_images_at_a_time_and_their_warps_after_them():
    images, seen = np.random.default_rng(0).uniform(size=(35, 8, 8, 3)).astype(np.float32), []

    def find(batch):
        seen.append(batch)
        return np.zeros((len(batch), 1, 2))

    unsupervised.measure(images, find)
    assert [len(batch) for batch in seen] == [32, 3, 32, 3]
    np.testing.assert_array_equal(np.concatenate(seen[:2]), images)
    warp = unsupervised.draw_warp(35, 0)
    warped = tps.warp_images(warp, images, "edge").numpy()
    np.testing.assert_allclose(np.concatenate(seen[2:]), warped, atol=1e-6)


def test_errors_are_in_percent_of_the_side_and_lag_in_shifts():
    found = measured((0.0, 0.1), (0.3, 0.0), seed=3)
    warp = unsupervised.draw_warp(3, 3)
    points = np.tile([(0.0, 0.1), (0.3, 0.0)], (3, 1, 1)).astype(np.float32)
    shift = np.linalg.norm(tps.warp_points(warp, points).numpy() - points, axis=-1).mean(axis=0)
    np.testing.assert_allclose(found.equivariance_percent, 50 * shift, rtol=1e-4)
    np.testing.assert_allclose(found.lag, 1, rtol=1e-6)


def test_spread_is_the_standard_deviation_of_an_axis():
    # From (0, 0) to (0.6, 0.8): deviations of 0.3 and 0.4, sqrt((0.09 + 0.16) / 2).
    places = np.array([[(0.0, 0.0), (0.5, 0.5)], [(0.6, 0.8), (0.5, 0.5)]])
    np.testing.assert_allclose(unsupervised.spread(places), [0.125**0.5, 0])
    assert np.isnan(unsupervised.spread(places[:1])).all()
    found = unsupervised.measure(GREY[:2], lambda _: places)
    np.testing.assert_allclose(found.spread_percent, [50 * 0.125**0.5, 0])


def test_warps_turn_by_10_degrees_scale_and_shift_by_a_tenth(monkeypatch):
    monkeypatch.setattr(unsupervised, "WARP_DISPLACEMENT", 0.0)
    warp = unsupervised.draw_warp(4000, seed=0)
    shift, by_y, _ = np.moveaxis(warp.parameters.numpy()[:, -3:], 1, 0)
    assert len(warp.control) == 16
    angle, scale = np.arctan2(by_y[:, 1], by_y[:, 0]), np.linalg.norm(by_y, axis=-1)
    # Of 4000 draws, a standard deviation is known to 1.1 %.
    assert np.degrees(angle.std()) == pytest.approx(10.0, rel=0.05)
    assert scale.std() == pytest.approx(0.1, rel=0.05) and scale.mean() == pytest.approx(
        1, abs=0.01
    )
    np.testing.assert_allclose(shift.std(axis=0), 0.1, rtol=0.05)


def test_warps_displace_their_control_points_by_3_percent_of_the_side(monkeypatch):
    monkeypatch.setattr(unsupervised, "WARP", tps.WarpStrength())
    warp = unsupervised.draw_warp(1000, seed=0)
    moved = tps.warp_points(warp, warp.control).numpy() - warp.control
    assert moved.std() == pytest.approx(0.06, rel=0.02)
    np.testing.assert_allclose(warp.control, coordinates.corner_grid((4, 4)).reshape(-1, 2))


def plain_contrast_rank(images, landmarks):
    """The rank by loops over a window of a quarter of the image."""
    (count, size), reach = images.shape[:2], images.shape[1] // 8
    ranks = np.zeros(landmarks.shape[:2])
    for n in range(count):
        along = np.gradient(images[n].astype(np.float64), axis=(0, 1))
        length = np.sqrt(sum((part**2).sum(axis=-1) for part in along))
        padded = np.pad(length, reach, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1,) * 2)
        contrast = windows.mean(axis=(2, 3))
        for k, (y, x) in enumerate(landmarks[n]):
            row, column = (
                min(max(round((value + 1) / 2 * (size - 1)), 0), size - 1) for value in (y, x)
            )
            here = contrast[row, column]
            ranks[n, k] = np.mean(contrast < here) + 0.5 * np.mean(contrast == here)
    return ranks.mean(axis=0)


def test_the_rank_of_contrast_is_that_of_plain_loops():
    random = np.random.default_rng(0)
    images = random.uniform(size=(3, 35, 35, 3)).astype(np.float32)
    landmarks = random.uniform(-1.1, 1.1, (3, 8, 2))  # some just outside
    landmarks[:, 0], landmarks[:, 1] = (1.2, 0.0), (0.0, -1.2)
    np.testing.assert_allclose(
        unsupervised.contrast_rank(images, landmarks),
        plain_contrast_rank(images, landmarks),
        atol=2e-3,  # float32 sums may exchange neighbours among 1225 places
    )


def test_duplicates_need_three_images_and_a_motion():
    places = np.random.default_rng(0).normal(size=(50, 1, 2)) * np.ones((50, 2, 1))
    places -= places.mean(axis=0)
    places /= places.std()  # 1 along each axis, on average
    assert unsupervised.duplicate_groups(0.1 * places[:2], 0.1) == ()
    assert unsupervised.duplicate_groups(0.1 * places[:3], 0.1) == ((0, 1),)
    # The rounding of points that stand still, below a millionth, moves them alike and says nothing.
    assert unsupervised.duplicate_groups(0.9e-6 * places, 0.1) == ()
    assert unsupervised.duplicate_groups(1.1e-6 * places, 0.1) == ((0, 1),)


def test_duplicates_are_less_than_a_cell_apart_on_average_and_correlate_by_more_than_0_99():
    one = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 1, 2))
    one -= one.mean(axis=0)

    def groups(other, cell=0.1):
        return unsupervised.duplicate_groups(np.concatenate([one, other], axis=1), cell)

    assert groups(one + np.array([0.0, 0.125]), 0.126) == ((0, 1),)
    assert groups(one + np.array([0.0, 0.125]), 0.124) == ()
    # c one + sqrt(1 - c^2) of an uncorrelated motion of the same length correlates by c.
    noise = np.random.default_rng(1).normal(size=one.shape)
    noise -= noise.mean(axis=0)
    noise -= one * (noise * one).sum() / (one**2).sum()
    noise *= np.linalg.norm(one) / np.linalg.norm(noise)
    for correlation, expected in ((0.9895, ()), (0.9905, ((0, 1),))):
        assert groups(correlation * one + (1 - correlation**2) ** 0.5 * noise) == expected


def test_groups_and_their_members_are_in_the_order_of_the_points():
    random = np.random.default_rng(0)
    one, other = random.uniform(-0.5, 0.5, (2, 30, 2))
    points = np.stack([one, other, other, other, one], axis=1)
    assert unsupervised.duplicate_groups(points, 0.1) == ((0, 4), (1, 2, 3))


def exchanged(images, warped, render, points=None):
    points = np.zeros((len(images), 1, 2)) if points is None else points
    return unsupervised.exchange_tests(images, warped, points, render, seed=0)


def greys(*values):
    """Images of one grey each, `[N, 4, 4, 3]`."""
    return np.broadcast_to(np.reshape(values, (-1, 1, 1, 1)), (len(values), 4, 4, 3))


def test_no_image_is_given_its_own_points_or_look():
    count, seen = 7, []

    def render(images, landmarks):
        seen.append((images[:, 0, 0, 0].astype(int), landmarks[:, 0, 0].astype(int)))
        return images

    numbers = np.arange(count)
    exchanged(greys(*numbers), greys(*numbers), render, np.tile(numbers[:, None, None], (1, 1, 2)))
    (looks, points), (kept_looks, other_points), (other_looks, kept_points) = seen
    for kept in (looks, points, kept_looks, kept_points):
        assert (kept == numbers).all()
    for other in (other_points, other_looks):
        assert sorted(other) == numbers.tolist() and (other != numbers).all()


def test_a_perfect_generator_has_finite_ratios():
    images = greys(0.0, 1.0)
    found = exchanged(images, images, lambda looks, _: looks)
    assert found["reconstruction_percent"] == 0 and found["shuffle_ratio"] == 0
    assert found["swap_ratio"] == pytest.approx(1e12)


def test_colours_tell_where_looks_differ_by_more_than_what_warps_change():
    def follow(difference, by_warp):
        images = greys(0.0, difference)
        return exchanged(images, images + by_warp, lambda looks, _: 0.25 * looks)["color_follow"]

    # Squares: 0.29^2 = 0.0841 and 0.28^2 = 0.0784 against 2 * 2^2 * 0.1^2 = 0.08.
    assert follow(0.29, 0.1) == pytest.approx(0.25)
    assert follow(0.28, 0.1) is None
    # And by more than half of one of 255 grey values.
    assert follow(0.51 / 255, 0.0) == pytest.approx(0.25)
    assert follow(0.49 / 255, 0.0) is None


def test_a_score_is_infinite_for_a_collapse():
    assert unsupervised.score(health(all_alike=True)) == math.inf
    assert "score" not in health(all_alike=True).scalars()
