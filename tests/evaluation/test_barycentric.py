"""Weighted means of landmarks, against their definition."""

import numpy as np
import pytest

from tf_landmarks.evaluation import barycentric, protocols, regression
from tf_landmarks.evaluation.protocol_kinds import Examples

pytestmark = pytest.mark.core

RNG = np.random.default_rng(0)
SHAPE = RNG.uniform(20, 80, (7, 2))
WEIGHTS = np.array(
    [[0.6, 0.3, 0.1, 0, 0, 0, 0], [0, 0, 0, 0.5, 0.9, -0.4, 0], [1, 0, 0, 0, 0, 0, 0]]
)


def moved(count: int, seed: int = 0, noise: float = 0.0) -> np.ndarray:
    """The shape under `count` affine maps, `[count, 7, 2]`."""
    rng = np.random.default_rng(seed)
    maps = np.eye(2) + rng.normal(0, 0.4, (count, 2, 2))
    shapes = SHAPE @ maps + rng.normal(0, 10, (count, 1, 2))
    return shapes + rng.normal(0, noise, shapes.shape)


def points_of(landmarks: np.ndarray) -> np.ndarray:
    return np.einsum("ak,nkd->nad", WEIGHTS, landmarks)


def flat(landmarks: np.ndarray) -> np.ndarray:
    return landmarks.reshape(len(landmarks), -1)


def test_one_labelled_image_is_enough_for_a_shape_that_moves_as_a_whole():
    landmarks = moved(1)
    fitted = barycentric.fit(landmarks, points_of(landmarks), strength=1e-9)
    others = moved(20, seed=1)
    np.testing.assert_allclose(fitted.predict(flat(others)), points_of(others), atol=1e-3)
    linear = regression.fit_linear(
        flat(landmarks), points_of(landmarks), bias=True, ridge="auto"
    ).predict(flat(others))
    assert np.abs(linear - points_of(others)).mean() > 5


def test_weights_sum_to_one_and_are_the_same_of_both_coordinates():
    landmarks = moved(6, noise=3.0)
    fitted = barycentric.fit(landmarks, points_of(landmarks))
    maps = fitted.weights.reshape(7, 2, 3, 2)
    np.testing.assert_allclose(maps[:, 0, :, 0], maps[:, 1, :, 1])
    assert not maps[:, 0, :, 1].any() and not maps[:, 1, :, 0].any()
    np.testing.assert_allclose(maps[:, 0, :, 0].sum(axis=0), 1.0, atol=1e-9)
    assert not fitted.intercept.any()


def test_weights_are_those_of_the_least_penalised_error():
    landmarks, strength = moved(4, noise=5.0), 0.3
    points = points_of(landmarks)[:, :1] + RNG.normal(0, 4, (4, 1, 2))
    found = barycentric.fit(landmarks, points, strength).weights.reshape(7, 2, 2)[:, 0, 0]
    distances = np.mean(np.sum((landmarks - points) ** 2, axis=-1), axis=0)
    costs = distances / distances.mean() + 0.01
    scale = np.sum((landmarks - landmarks.mean(axis=1, keepdims=True)) ** 2) / 7

    def cost(weights: np.ndarray) -> float:
        missed = np.einsum("k,nkd->nd", weights, landmarks) - points[:, 0]
        return np.sum(missed**2) + strength * scale * np.sum(costs * weights**2)

    least = cost(found)
    for _ in range(50):
        change = RNG.normal(0, 0.01, 7)
        assert cost(found + change - change.mean()) > least


def test_where_nothing_but_the_penalty_speaks_near_landmarks_do():
    landmarks = moved(1)
    point = landmarks[:, 2:3] + 0.5
    weights = barycentric.fit(landmarks, point, 1e9).weights.reshape(7, 2, 2)[:, 0, 0]
    squared = np.sum((landmarks[0] - point[0]) ** 2, axis=-1)
    expected = 1 / (squared / squared.mean() + 0.01)
    np.testing.assert_allclose(weights, expected / expected.sum(), rtol=1e-5)
    assert weights.argmax() == 2


@pytest.mark.parametrize("change", [lambda p: p + 100.0, lambda p: 3.0 * p, lambda p: p[..., ::-1]])
def test_units_origins_and_axes_do_not_matter(change):
    landmarks = moved(5, noise=4.0)
    points, others = points_of(landmarks), moved(3, seed=2)
    expected = change(barycentric.fit(landmarks, points).predict(flat(others)))
    found = barycentric.fit(change(landmarks), change(points)).predict(flat(change(others)))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_noise_asks_for_a_penalty_and_exact_shapes_for_none():
    strengths = []
    for noise in (0.0, 15.0):
        landmarks = moved(10, noise=0.0)
        seen = landmarks + np.random.default_rng(3).normal(0, noise, landmarks.shape)
        strengths.append(barycentric.fit(seen, points_of(landmarks)).ridge[0])
    assert strengths[0] < 1e-3 < 1e-2 < strengths[1]


def test_missing_labels_leave_the_others_as_they_are():
    landmarks = moved(6, noise=3.0)
    points = points_of(landmarks)
    points[2:, 1] = np.nan
    points[:, 2] = np.nan
    with pytest.raises(ValueError, match="Landmark 2 has no label"):
        barycentric.fit(landmarks, points)
    fitted = barycentric.fit(landmarks, points, 0.1, allow_missing=True)
    found = fitted.predict(flat(landmarks))
    assert np.isnan(found[:, 2]).all() and np.isnan(fitted.ridge[2])
    alone = barycentric.fit(landmarks[:2], points[:2, 1:2], 0.1).predict(flat(landmarks))
    np.testing.assert_allclose(found[:, 1], alone[:, 0], rtol=1e-6)


def test_landmarks_on_one_spot_are_that_spot():
    landmarks = np.tile(moved(3)[:, :1], (1, 7, 1))
    found = barycentric.fit(landmarks, landmarks[:, :2] + 5.0).predict(flat(landmarks))
    np.testing.assert_allclose(found, landmarks[:, :2], rtol=1e-6)


def test_a_single_landmark_is_the_point():
    landmarks = moved(3)[:, :1]
    found = barycentric.fit(landmarks, landmarks + 2.0).predict(flat(landmarks))
    np.testing.assert_allclose(found, landmarks, rtol=1e-6)


def test_no_strength_is_as_little_as_determines_the_weights():
    landmarks = moved(2)
    found = barycentric.fit(landmarks, points_of(landmarks), 0.0).predict(flat(landmarks))
    np.testing.assert_allclose(found, points_of(landmarks), atol=1e-3)


def test_protocols_take_the_nearer_map():
    def examples(count: int, linear: bool) -> Examples:
        landmarks = moved(count, noise=2.0)
        points = points_of(landmarks)
        return Examples(landmarks, points[..., ::-1] if linear else points, 100)

    nearer = protocols.resolve("nearer")
    assert nearer.choose(examples(9, True))[0].name == "barycentric"
    assert "9 labelled images are too few" in nearer.choose(examples(9, True))[1]
    chosen, reason = nearer.choose(examples(40, True))  # x and y change places: no weighted mean
    assert chosen.name == "linear" and "barycentric" in reason and "linear" in reason
    assert nearer.choose(examples(12, False))[0].name == "barycentric"
    others = moved(5, seed=4)
    for count, linear, error in ((40, True, 3.0), (9, False, 3.0)):
        fitted = nearer.fit(examples(count, linear))
        wanted = points_of(others)[..., ::-1] if linear else points_of(others)
        assert np.abs(fitted.predict(others) - wanted).mean() < error


def test_what_a_protocol_has_no_use_for_is_refused():
    with pytest.raises(ValueError, match="barycentric has none"):
        protocols.resolve("barycentric", bias=True)
    for given in ({"bias": True}, {"ridge": "3"}):
        with pytest.raises(ValueError, match="nearer has neither to give; name linear or"):
            protocols.resolve("nearer", **given)
    assert protocols.resolve("barycentric", ridge="3").ridge == 3


def test_where_sides_cannot_be_told_apart_a_linear_map_is_taken():
    names = ["left", "right", "nose"]
    assert protocols.resolve("nearer").with_flip_pairs("", names).name == "nearer"
    assert protocols.resolve("nearer").with_flip_pairs("left:right", names).name == "linear"
    with pytest.raises(ValueError, match="protocol barycentric is by weights that sum to 1"):
        protocols.resolve("barycentric").with_flip_pairs("left:right", names)
