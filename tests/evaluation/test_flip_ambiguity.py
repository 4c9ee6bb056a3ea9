"""Left and right that cannot be told apart: drawn people, some seen from the back."""

import numpy as np
import pytest

from tf_landmarks.evaluation import flip_ambiguity
from tf_landmarks.metrics import landmark_errors

pytestmark = pytest.mark.core

# hip, left hand, right hand, left foot, right foot
PAIRS = [(1, 2), (3, 4)]


def people(count: int, turned: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features that are the points by their side in the picture, and annotations by their name.

    Returns:
        `[N, 10]` features, `[N, 5, 2]` annotations, of which the share `turned` is seen from the back.
    """
    random = np.random.default_rng(seed)
    base = np.array([[0.0, 0.0], [1.0, -0.3], [-1.0, -0.3], [0.5, 1.0], [-0.5, 1.0]])
    points = base + 0.1 * random.standard_normal((count, 5, 2))
    features = points.reshape(count, 10)
    back = random.random(count) < turned
    return features, np.where(back[:, None, None], flip_ambiguity.mirror(points, PAIRS), points)


def test_the_fit_finds_who_is_seen_from_the_back():
    x, y = people(200, 0.4)
    found = flip_ambiguity.fit(x, y, PAIRS)
    errors = flip_ambiguity.normalized_errors(found.regressor.predict(x), y, 1.0, PAIRS)
    assert landmark_errors.nme_percent(errors) < 1e-6
    plain = landmark_errors.normalized_errors(found.regressor.predict(x), y, 1.0)
    assert landmark_errors.nme_percent(plain) > 30  # it matters here which of the two is measured
    assert 0.3 < found.mirrored.mean() < 0.5


def test_errors_never_grow_over_the_turns():
    turns = []
    for seed in range(5):
        x, y = people(60, 0.5, seed)
        noise = np.random.default_rng(seed).standard_normal((2, *y.shape))
        # In so much noise the sides are not found at once.
        found = flip_ambiguity.fit(x + noise[0].reshape(x.shape), y + 0.5 * noise[1], PAIRS)
        turns.append(len(found.errors))
        assert all(b <= a + 1e-9 for a, b in zip(found.errors, found.errors[1:], strict=False))
    assert max(turns) > 2


def test_exchanging_all_left_and_right_leaves_the_score():
    _x, y = people(60, 0.3)
    predicted = y + 0.05 * np.random.default_rng(2).standard_normal(y.shape)
    lengths = np.linspace(1, 2, len(y))
    direct = flip_ambiguity.normalized_errors(predicted, y, lengths, PAIRS)
    exchanged = flip_ambiguity.normalized_errors(
        predicted, flip_ambiguity.mirror(y, PAIRS), lengths, PAIRS
    )
    assert landmark_errors.nme_percent(direct) == pytest.approx(
        landmark_errors.nme_percent(exchanged)
    )


def test_one_person_is_exchanged_as_a_whole():
    _, y = people(1, 0.0)
    half = y.copy()
    half[:, [1, 2]] = half[:, [2, 1]]  # hands exchanged, feet not: neither side fits
    assert landmark_errors.nme_percent(flip_ambiguity.normalized_errors(half, y, 1.0, PAIRS)) > 10


def test_frontal_is_more_than_two_thirds():
    points = np.zeros((3, 6, 2))
    pairs = [(0, 1), (2, 3), (4, 5)]
    points[0, [0, 2, 4], 0] = 1.0  # three of three
    points[1, [0, 2], 0] = 1.0  # two of three is not more
    points[2, [0, 2], 0] = 1.0
    points[2, 4] = np.nan  # two of two
    assert flip_ambiguity.is_frontal(points, pairs).tolist() == [True, False, True]


def test_pairs_the_wrong_way_round_are_called_so():
    x, y = people(10, 0.0)
    with pytest.raises(ValueError, match="wrong way round"):
        flip_ambiguity.fit(x, y, [(right, left) for left, right in PAIRS])
