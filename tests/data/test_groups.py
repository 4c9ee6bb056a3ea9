"""Which images belong together."""

import numpy as np
import pytest

from tf_landmarks.data import groups
from tf_landmarks.data.sources import base

pytestmark = pytest.mark.core


def test_frames_of_a_video_are_together_by_their_numbers():
    names = [f"a.mp4#{k:06d}" for k in range(0, 500, 20)] + ["b.avi#000000", "b.avi#000399"]
    found = groups.group(names)
    assert found[:6].tolist() == [0, 0, 0, 1, 1, 2]  # 0, 20, 40; 60, 80; 100
    assert found[-2:].tolist() == [10, 11]
    assert groups.series(names).tolist() == [0] * 25 + [1, 1]


def test_pictures_are_together_by_tens_of_their_series():
    names = [f"fly{k}_f{n:04d}.jpg" for k in range(3) for n in range(25)]
    found = groups.group(names)
    assert np.bincount(found).tolist() == [10, 10, 5] * 3
    assert groups.series(names).tolist() == np.repeat([0, 1, 2], 25).tolist()
    assert groups.series(["006_neutral.jpg", "009_neutral.jpg"]).tolist() == [0, 1]


def test_too_few_groups_are_none():
    names = [f"m4s1_img{n:04d}.jpg" for n in range(29)]
    assert groups.group(names).tolist() == list(range(29))


def test_where_series_are_many_they_are_held_out_whole():
    names = [f"bee{k}_f{n:04d}.jpg" for k in range(12) for n in range(7)]
    training, held_out = base.split(names, 0.25, seed=1)
    numbers = groups.series(names)
    assert len(held_out) == 21 and not set(numbers[training]) & set(numbers[held_out])


def test_of_few_series_neighbours_are_held_out_and_no_block_lies_in_two():
    names = [f"bee{k}_f{n:04d}.jpg" for k in range(3) for n in range(25)]
    training, held_out = base.split(names, 0.3, seed=1)
    assert sorted([*training, *held_out]) == list(range(75))
    runs = np.split(held_out, np.flatnonzero(np.diff(held_out) > 1) + 1)
    assert all(len(run) >= 5 for run in runs)
