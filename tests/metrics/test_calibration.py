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


def test_a_curve_is_the_share_that_is_right_at_each_confidence():
    rng = np.random.default_rng(0)
    sure = rng.random(20_000)
    curve = calibration.fit_curve(sure, rng.random(20_000) < sure**2)
    asked = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(curve(asked), asked**2, atol=0.06)
    assert (np.diff(curve.confidence) > 0).all() and (np.diff(curve.probability) >= 0).all()


def test_a_curve_never_falls_and_never_promises():
    curve = calibration.fit_curve(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1], bool))
    assert curve.confidence == pytest.approx((0.1, 0.25, 0.4))
    assert curve.probability == pytest.approx((1 / 3, 1 / 2, 2 / 3))  # (0 + 1) / (1 + 2), and on
    assert curve(np.array([0.0, 0.175, 1.0])) == pytest.approx([1 / 3, 5 / 12, 2 / 3])


def test_the_same_confidence_has_one_probability():
    curve = calibration.fit_curve(np.full(8, 0.5), np.arange(8) < 6)
    assert curve == calibration.Curve((0.5,), (0.7,))
    assert curve(np.array([[0.0, 1.0]])).tolist() == [[0.7, 0.7]]


def test_the_calibration_error_is_the_mean_distance_of_bins():
    sure = np.repeat([0.2, 0.9], 10)
    right = np.arange(20) % 10 < np.repeat([4, 7], 10)
    assert calibration.expected_calibration_error(sure, right, 2) == pytest.approx(0.2)
    assert calibration.expected_calibration_error(
        np.array([0.8]), np.array([True])
    ) == pytest.approx(0.2)
