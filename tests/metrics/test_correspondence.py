"""Errors of matched points in the canonical frame."""

import math

import numpy as np
import pytest

from tf_landmarks.metrics import correspondence

pytestmark = pytest.mark.core


def test_from_one_corner_to_the_other_is_the_diagonal_of_69_steps():
    error = correspondence.canonical_errors([-1, -1], [1, 1])
    assert error == pytest.approx(69 * math.sqrt(2))
    assert error == pytest.approx(97.58, abs=0.005)


def test_a_cell_of_96_is_69_of_95_pixels():
    assert correspondence.canonical_errors([0, 2 / 95], [0, 0]) == pytest.approx(0.726316, abs=1e-6)


def test_dves_version_scales_pixels_by_70_of_96():
    # (3, 4) is 5 pixels long.
    assert correspondence.dve_errors([10, 20], [13, 24], 96) == pytest.approx(5 * 70 / 96)
    ratio = correspondence.dve_errors([0, 95], [0, 0], 96) / correspondence.canonical_errors(
        [0, 1], [0, -1]
    )
    assert ratio == pytest.approx(1.004, abs=5e-4)


def test_means_are_over_all_points_and_leave_missing_ones_out():
    errors = correspondence.MatchingErrors(
        np.array([[1.0, 3.0], [np.nan, 5.0]]), np.full((2, 2), np.nan)
    )
    assert errors.means["same"] == 3.0 and math.isnan(errors.means["different"])


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"predicted \(3, 2\) and truth \(2,\)"):
        correspondence.canonical_errors(np.zeros((3, 2)), np.zeros(2))
