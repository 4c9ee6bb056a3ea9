"""What a confidence is worth, on errors of which it is known."""

import numpy as np
import pytest

from tf_landmarks.metrics import calibration

pytestmark = pytest.mark.core


def test_bins_hold_as_many_points_from_the_least_sure_on():
    confidence = np.linspace(1, 0.1, 20).reshape(10, 2)
    errors = np.arange(20.0).reshape(10, 2) / 100
    found = calibration.error_by_confidence(confidence, errors)
    assert [one["num_points"] for one in found["bins"]] == 10 * [2]
    assert found["bins"][0]["error_percent"] == pytest.approx(18.5)
    assert found["bins"][-1] == pytest.approx(
        {"confidence": 1 - 0.45 / 19, "error_percent": 0.5, "num_points": 2}
    )
    assert found["rank_correlation"] == pytest.approx(-1)


def test_points_that_cannot_be_measured_are_left_out():
    confidence = np.array([[0.2, 0.9], [0.4, 0.8]])
    errors = np.array([[np.nan, 0.1], [0.3, np.nan]])
    found = calibration.error_by_confidence(confidence, errors)
    assert [one["error_percent"] for one in found["bins"]] == pytest.approx([30, 10])
    nothing = calibration.error_by_confidence(confidence, np.full((2, 2), np.nan))
    assert nothing == {"bins": [], "rank_correlation": None}


def test_confidence_that_says_nothing_correlates_with_nothing():
    rng = np.random.default_rng(0)
    confidence, errors = rng.random((400, 5)), rng.random((400, 5))
    assert abs(calibration.error_by_confidence(confidence, errors)["rank_correlation"]) < 0.06
    same = calibration.error_by_confidence(np.ones((400, 5)), errors)
    assert same["rank_correlation"] is None and len(same["bins"]) == 10
