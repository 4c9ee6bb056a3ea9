"""The shares of discovered landmarks in annotated points, and which of them become arrows."""

import numpy as np
import pytest

from tf_landmarks.evaluation import attribution, regression

pytestmark = pytest.mark.core


def test_shares_of_a_point_sum_to_one():
    weights = np.random.default_rng(0).standard_normal((10, 3, 2))
    shares = attribution.strengths(weights)
    assert shares.shape == (3, 5)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    block = np.abs(weights[4:6, 1]).mean()
    assert shares[1, 2] == pytest.approx(block / np.abs(weights[:, 1]).reshape(5, -1).mean(1).sum())


def test_a_point_that_is_a_landmark_has_one_arrow():
    x = np.random.default_rng(1).uniform(-1, 1, (50, 8))
    fitted = regression.fit_linear(x, x[:, np.newaxis, 4:6], bias=False, ridge=0.0)
    assert attribution.arrows(attribution.strengths(fitted.weights)) == [(2, 0, pytest.approx(1.0))]


def test_what_depends_on_nothing_has_no_arrow():
    assert attribution.arrows(attribution.strengths(np.zeros((4, 2, 2)))) == []
