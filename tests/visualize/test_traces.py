"""Landmarks over time, with jumps that are known."""

import numpy as np
import pytest

from tf_landmarks.visualize import traces

pytestmark = pytest.mark.core


def walk(frames=200, seed=0):
    """Three landmarks that walk in a circle, with a little noise; the last is noisier."""
    t = np.linspace(0, 6, frames)[:, np.newaxis]
    centre = 100 + 40 * np.stack([np.cos(t), np.sin(t)], -1)
    shape = np.array([[-10, 0], [10, 0], [0, 15]])
    noise = np.random.default_rng(seed).normal(0, 0.3, (frames, 3, 2))
    noise[:, 2] *= 8
    return centre + shape + noise


def test_frames_that_do_not_fit_their_neighbours_are_found():
    points = walk()
    points[50, 0] += [30, 0]
    points[120:122, 1] -= [0, 20]
    found = traces.outliers(points)
    assert np.argwhere(found).tolist() == [[50, 0], [120, 1], [121, 1]]


def test_a_turn_a_step_and_what_is_missing_are_no_jumps():
    points = walk()
    points[100:] += 25  # a cut of the film: what comes after fits what comes after
    points[30] = np.nan
    assert not traces.outliers(points).any()
    still = np.tile([[0.0, 0], [50, 20]], (40, 1, 1))
    still[11, 1] += 5
    assert np.argwhere(traces.outliers(still)).tolist() == [[11, 1]]
    assert not traces.outliers(walk(2)).any()
    assert not traces.outliers(np.full((4, 2, 2), np.nan)).any()


def test_a_row_for_each_landmark_and_one_for_confidence():
    points = walk()
    points[50, 0] += [30, 0]
    points[60] = np.nan
    figure = traces.draw(["nose", "ear", "tail"], np.arange(200), points, np.full((200, 3), 0.7))
    assert [axis.get_ylabel() for axis in figure.axes] == ["nose", "ear", "tail", "confidence"]
    x, x_jumps, _, y_jumps = figure.axes[0].lines
    np.testing.assert_array_equal(x.get_ydata(), points[:, 0, 0])
    assert x_jumps.get_xdata().tolist() == y_jumps.get_xdata().tolist() == [50]
    assert [text.get_text() for text in figure.axes[0].texts] == ["1 jump"]
    assert not figure.axes[1].texts
