import itertools

import numpy as np
import pytest

from tf_landmarks.metrics import assignment

NAN = np.nan


@pytest.mark.core
def test_a_permuted_copy_gives_back_the_permutation():
    annotated = np.random.default_rng(0).uniform(0, 100, (20, 6, 2))
    order = np.array([3, 0, 5, 1, 4, 2])
    landmarks, distances = assignment.assign(annotated, annotated[:, order])
    # Discovered k is annotated order[k], so annotated a is at the place of a in `order`.
    assert landmarks.tolist() == np.argsort(order).tolist()
    np.testing.assert_allclose(distances, 0)


@pytest.mark.core
def test_costs_are_mean_distances_over_the_labelled_images():
    # Point 0 against landmark (0, 0): 5 in the first image, 13 in the second: mean 9.
    annotated = np.array([[[3, 4], [1, 0]], [[5, 12], [NAN, 0]]], np.float64)
    costs = assignment.mean_distances(annotated, np.zeros((2, 1, 2)))
    np.testing.assert_allclose(costs, [[9], [1]])


@pytest.mark.core
def test_the_total_cost_is_minimal_even_where_the_nearest_is_wrong():
    # Against the cheapest of all 24 permutations; greedy matching fails in some of these.
    rng = np.random.default_rng(1)
    for _ in range(20):
        annotated, discovered = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 4, 2))
        costs = assignment.mean_distances(annotated, discovered)
        best = min(
            sum(costs[a, k] for a, k in enumerate(order))
            for order in itertools.permutations(range(4))
        )
        assert assignment.assign(annotated, discovered).distances.sum() == pytest.approx(best)


@pytest.mark.core
def test_spare_landmarks_stay_unused_and_none_is_used_twice():
    annotated = np.random.default_rng(2).normal(size=(5, 3, 2))
    discovered = np.concatenate([annotated + 9, annotated[:, ::-1]], axis=1)
    landmarks, distances = assignment.assign(annotated, discovered)
    assert landmarks.tolist() == [5, 4, 3]
    np.testing.assert_allclose(distances, 0)
    landmarks, _ = assignment.assign(np.zeros((5, 3, 2)), discovered)
    assert len(set(landmarks.tolist())) == 3


@pytest.mark.core
def test_points_beyond_the_landmarks_have_none():
    annotated = np.array([[[0, 0], [50, 0], [9, 0]]], np.float64)
    landmarks, distances = assignment.assign(annotated, np.array([[[10.0, 0], [1, 0]]]))
    assert landmarks.tolist() == [1, -1, 0]
    np.testing.assert_allclose(distances, [1, NAN, 1])


@pytest.mark.core
def test_a_point_that_nobody_labelled_has_no_landmark():
    annotated = np.array([[[NAN, NAN], [7, 0]]])
    landmarks, distances = assignment.assign(annotated, np.array([[[0.0, 0], [8, 0]]]))
    assert landmarks.tolist() == [-1, 1]
    np.testing.assert_allclose(distances, [NAN, 1])
    nothing = assignment.assign(np.full((2, 3, 2), NAN), np.zeros((2, 4, 2)))
    assert nothing.landmarks.tolist() == [-1, -1, -1]


@pytest.mark.core
def test_bad_input_is_named():
    with pytest.raises(ValueError, match="2 annotated but 3 discovered images"):
        assignment.assign(np.zeros((2, 1, 2)), np.zeros((3, 1, 2)))
    with pytest.raises(ValueError, match="3 annotated but 2 discovered images"):
        assignment.assign(np.zeros((3, 1, 2)), np.zeros((2, 1, 2)))
    discovered = np.zeros((3, 3, 2))
    discovered[1, 2, 0] = discovered[2, 1, 1] = NAN
    with pytest.raises(ValueError, match="Landmark 2 of image 1 is not finite"):  # the first
        assignment.assign(np.zeros((3, 1, 2)), discovered)
