"""What is said of landmarks whose state of health is known; more of it in test_unsupervised.py."""

import numpy as np
import pytest

from tests.metrics.healths import health
from tf_landmarks.methods.base import Remedies
from tf_landmarks.metrics import advice

pytestmark = pytest.mark.core


def test_the_remedy_of_the_method_is_offered_beside_the_common_one():
    lost = health(lag=np.array([0.1, 1.0, 0.1]))
    (warning,) = advice.warnings(lost, Remedies(warps="weaker warps"))
    assert warning.startswith("point 1: lost in a warped image, 90 % of its shift")
    assert warning.endswith("train longer, or weaker warps")
    assert advice.warnings(lost)[0].endswith("train longer")


def test_json_is_the_measures_and_the_warnings_with_the_long_table_last():
    found = health(duplicates=((0, 2),))
    written = advice.to_json(found, Remedies())
    assert list(written)[-4:] == ["score", "own", "warnings", "points"]
    assert written.pop("warnings") == advice.warnings(found)
    assert "points 0 and 2: one point several times" in advice.warnings(found)[0]
    assert written.pop("own") == {}
    assert written == found.to_dict()


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([4], "point 4"),
        ([7, 3], "points 3 and 7"),
        ([3, 7, 12], "points 3, 7 and 12"),
        ([0, 1, 2, 3, 7, 8], "points 0 to 3, 7 and 8"),
        ([2, 4, 5, 6], "points 2 and 4 to 6"),
        ([13, 11], "points 11 and 13"),
    ],
)
def test_points_are_named(numbers, words):
    assert advice._points(numbers) == words
    mask = np.isin(np.arange(15), numbers)
    assert advice._points(mask) == words


def test_each_point_is_named_once_and_the_words_follow_the_order_of_gravity():
    # Point 0 stands still, 1 is lost on the border, 2 on plain ground, 3 in full view; 4 is well.
    found = health(
        spread_percent=np.array([0.1, 7.0, 7.0, 7.0, 7.0]),
        lag=np.array([1.0, 1.0, 1.0, 1.0, 0.1]),
        border_share=np.array([0.0, 1.0, 0.0, 0.0, 0.0]),
        contrast=np.array([0.9, 0.1, 0.1, 0.9, 0.9]),
    )
    lines = advice.warnings(found)
    assert [line.split(":")[0] for line in lines] == ["point 0", "point 1", "point 2", "point 3"]
    for line, word in zip(
        lines, ("no motion", "on the border", "little to see", "lost"), strict=True
    ):
        assert word in line


def test_groups_of_duplicates_are_named_apart_with_the_correlation_that_made_them_so():
    (warning,) = advice.warnings(health(duplicates=((0, 2), (1, 3, 4, 5))))
    assert warning.startswith("points 0 and 2; points 1 and 3 to 5: one point several times")
    assert "(correlation above 0.99, less than a cell apart)" in warning


@pytest.mark.parametrize(("all_alike", "where"), [(False, ""), (True, "on one spot, ")])
def test_of_dead_points_nothing_else_is_said(all_alike, where):
    found = health(
        spread_percent=np.zeros(3), lag=np.ones(3), all_alike=all_alike, duplicates=((0, 1),)
    )
    (warning,) = advice.warnings(found)
    assert warning.startswith(f"all points are dead: points 0 to 2: {where}motionless")
    assert "After a few hundred steps they may only be late: train longer." in warning
    assert warning.endswith("train anew with a higher learning rate")
    (warning,) = advice.warnings(found, Remedies(dead="with a cold start"))
    assert warning.endswith("train anew with a cold start")


def test_points_on_one_moving_spot_are_alike_and_not_dead():
    (warning,) = advice.warnings(health(all_alike=True), Remedies(spread="more repulsion"))
    assert warning.startswith("all points are alike: points 0 to 2: on one spot of each image")
    assert warning.endswith("train longer, or more repulsion")


def test_a_small_object_is_to_be_cut_out():
    # Points span 12, 11 and, with one of them missing, 9 pixels; the median is 11.
    points = np.array([[[0, 0], [3, 12]], [[5, 5], [16, 6]], [[1, 1], [np.nan, 2]]], float)
    points = np.concatenate([points, points[:, :1] + [[[9.0, 0.0]]]], axis=1)
    assert "span 11 of the 64 pixels" in advice.of_small_object(points, 64)
    assert "--crop=auto finds what moves" in advice.of_small_object(points, 64)
    assert advice.of_small_object(points, 55) == ""
    assert advice.of_small_object(np.full((3, 2, 2), np.nan), 64) == ""
    assert advice.of_small_object(points[:, :1], 64) == ""  # one landmark spans nothing


def test_points_that_see_little_or_are_all_alike_may_be_of_a_small_object():
    (plain,) = advice.warnings(
        health(lag=np.array([1.0, 0.1, 0.1]), contrast=np.array([0.1, 0.9, 0.9]))
    )
    (alike,) = advice.warnings(health(all_alike=True))
    for words in (plain, alike):
        assert "--crop=auto" in words


def test_the_remedy_of_the_method_comes_first_against_points_on_the_border():
    outside = health(border_share=np.array([0.0, 0.0, 1.0]))
    (warning,) = advice.warnings(outside, Remedies(border="a margin"))
    common = "show more around the object (a larger --crop_fraction)"
    assert warning.endswith(f": a margin, or {common}")
    assert advice.warnings(outside)[0].endswith(f": {common}")


def test_points_are_used_where_those_of_others_cost_a_fifth_more():
    assert advice.warnings(health(shuffle_ratio=1.2)) == []
    assert advice.warnings(health(shuffle_ratio=5.0)) == []
    (warning,) = advice.warnings(health(shuffle_ratio=1.19), Remedies(warps="weaker warps"))
    assert "hardly uses the points" in warning and "only 1.19 times as large" in warning
    assert warning.endswith("Train longer, or weaker warps")


def test_a_source_is_used_where_its_look_costs_a_fifth_more_or_a_tenth_of_its_colours_shows():
    def said(color_follow, swap_ratio):
        return advice.warnings(
            health(color_follow=color_follow, swap_ratio=swap_ratio), Remedies(capacity="width")
        )

    assert said(0.1, 1.0) == said(0.9, 1.0) == said(None, 1.0) == []
    assert said(0.0, 1.2) == said(0.0, 5.0) == []
    (warning,) = said(0.099, 1.19)
    assert "hardly uses its source" in warning and "1.19 times as large" in warning
    assert warning.endswith("where they do not, train longer, or width")
