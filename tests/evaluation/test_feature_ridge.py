"""Ridges on feature maps: what the dual form gives is what all features give."""

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.evaluation import feature_ridge, regression

EAGER = True
RANDOM = np.random.default_rng(0)


def features(count: int, level: str, scale: float = 1.0) -> np.ndarray:
    width = {"fine": 90, "coarse": 40}[level]
    return (3.0 + scale * RANDOM.normal(size=[count, width])).astype(np.float32)


def test_maps_are_averaged_and_small_ones_stay():
    level = tf.constant(np.arange(16.0).reshape(1, 4, 4, 1), tf.float32)
    pooled = feature_ridge.pool({"a": level, "b": level[:, :1, :2]}, cells=2)
    np.testing.assert_allclose(pooled["a"], [[2.5, 4.5, 10.5, 12.5]])
    np.testing.assert_allclose(pooled["b"], [[0.0, 1.0]])


@pytest.mark.parametrize("ridge", [1e-3, 0.3])
def test_predictions_are_those_of_a_ridge_on_all_features(ridge):
    train = {"fine": features(30, "fine"), "coarse": features(30, "coarse", 50.0)}
    test = {"fine": features(7, "fine"), "coarse": features(7, "coarse", 50.0)}
    points = RANDOM.normal(size=[30, 3, 2])
    points[4, 1] = np.nan
    # By hand: each level over its total standard deviation, next to each other.
    totals = {
        n: np.sqrt(np.sum((v.astype(float) - v.astype(float).mean(0)) ** 2))
        for n, v in train.items()
    }
    x, x_test = (
        np.concatenate([rows[n].astype(float) / totals[n] for n in totals], axis=1)
        for rows in (train, test)
    )
    expected = regression.fit_linear(x, points, bias=True, ridge=ridge).predict(x_test)
    z, z_test = feature_ridge.principal_coordinates(train, test)
    assert z.shape == (30, 29) and z_test.shape == (7, 29)
    found = regression.fit_linear(z, points, bias=True, ridge=ridge).predict(z_test)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    # Some of the rows, in the coordinates of all.
    some = np.arange(0, 30, 3)
    expected = regression.fit_linear(x[some], points[some], bias=True, ridge=ridge).predict(x_test)
    found = regression.fit_linear(z[some], points[some], bias=True, ridge=ridge).predict(z_test)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_linear_truth_is_found_and_the_scale_of_a_level_does_not_matter(monkeypatch):
    hidden = RANDOM.normal(size=[80, 4])
    mix = RANDOM.normal(size=[4, 500])
    maps = (hidden @ mix + 0.01 * RANDOM.normal(size=[80, 500])).astype(np.float32)
    other = RANDOM.normal(size=[80, 20]).astype(np.float32)
    points = (hidden @ RANDOM.normal(size=[4, 6])).reshape(80, 3, 2)
    errors, predicted = [], []
    for scale in (1.0, 1000.0):
        for columns in (16_384, 37):
            monkeypatch.setattr(feature_ridge, "_COLUMNS", columns)
            train = {"maps": scale * maps[:60], "other": other[:60]}
            test = {"maps": scale * maps[60:], "other": other[60:]}
            predicted.append(feature_ridge.ridge_on_features(train, points[:60], test))
            errors.append(np.abs(predicted[-1] - points[60:]).mean())
    assert max(errors) < 0.1 * np.abs(points).mean()
    for found in predicted[1:]:
        np.testing.assert_allclose(found, predicted[0], atol=1e-4)


def test_features_that_never_vary_give_the_mean_and_broken_ones_are_refused():
    points = RANDOM.normal(size=[5, 2, 2])
    constant = {"a": np.full([5, 9], 0.1, np.float32)}
    found = feature_ridge.ridge_on_features(constant, points, {"a": np.full([2, 9], 0.1)})
    np.testing.assert_allclose(found, np.tile(points.mean(0), [2, 1, 1]), atol=1e-12)
    constant["a"][2, 3] = np.nan
    with pytest.raises(ValueError, match="level a are not finite"):
        feature_ridge.ridge_on_features(constant, points, {"a": np.full([2, 9], 0.1)})
    with pytest.raises(ValueError, match="no levels"):
        feature_ridge.ridge_on_features({}, points, {})


def test_the_head_predicts_what_the_ridge_does_from_maps_that_it_averages_itself():
    random = np.random.default_rng(4)
    levels = {
        "fine": random.normal(size=(40, 8, 8, 3)),
        "coarse": 30 * random.normal(size=(40, 2, 2, 5)),
    }
    levels = {name: level.astype(np.float32) for name, level in levels.items()}
    pooled = feature_ridge.pool(levels, cells=4)
    points = np.stack([pooled["fine"][:, :2], pooled["coarse"][:, :2] / 30], axis=1) + 0.25
    points[3, 1] = np.nan
    train = {name: rows[:30] for name, rows in pooled.items()}
    head = feature_ridge.fit_head(train, {"fine": 3, "coarse": 5}, points[:30], ["a", "b"])
    assert head.sides == {"fine": 4, "coarse": 2}
    expected = feature_ridge.ridge_on_features(
        train, points[:30], {name: rows[30:] for name, rows in pooled.items()}
    )
    found = head({name: level[30:] for name, level in levels.items()})
    np.testing.assert_allclose(found.points, expected, atol=1e-4)
    assert np.ptp(expected) > 0.5 and found.heatmaps is None
