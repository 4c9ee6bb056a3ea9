"""Draws of few labels, the same for all, and the error that a map fitted to them has."""

import numpy as np
import pytest

from tf_landmarks.data import labelled
from tf_landmarks.evaluation import few_labels, protocol_kinds, protocols, regression
from tf_landmarks.evaluation.yardstick import Yardstick
from tf_landmarks.metrics import landmark_errors

pytestmark = pytest.mark.core

NAN = np.nan
# Pixels are the coordinates of the fit.
PROTOCOL = protocols.resolve("linear", origin="top_left")


def data(n=12, features=6, landmarks=3, seed=0, noise=1.0):
    """Points that depend linearly on features of unequal size, with an offset and noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features)) * np.linspace(1, 9, features) + 40
    y = np.tensordot(x, rng.normal(size=(features, landmarks, 2)), 1) + 100
    return x, y + noise * rng.normal(size=y.shape)


def curve(x, y, x_test, y_test, **options):
    protocol = options.pop("protocol", PROTOCOL)
    train = protocol_kinds.Examples(x.reshape(len(x), -1, 2), y, 64)
    yardstick = Yardstick(protocol, y_test, np.full(len(y_test), 50.0))
    test = x_test.reshape(len(x_test), -1, 2)
    return few_labels.curve(protocol, train, test, yardstick, **{"seed": 5, **options})


def test_few_label_curve_ends_at_the_fit_on_all_labels():
    x, y = data(n=40, noise=5.0)
    x_test, y_test = data(n=30, seed=1, noise=5.0)
    scores = curve(x, y, x_test, y_test, counts=(5, 20, 1000, "all", 40))
    assert [score.n for score in scores] == [5, 20, 40]  # 1000 is more than there are.
    assert [len(score.draws) for score in scores] == [100, 10, 1]
    fit = regression.fit_linear(x, y, bias=True, ridge="auto")
    errors = landmark_errors.normalized_errors(fit.predict(x_test), y_test, 50.0)
    assert scores[-1].mean == pytest.approx(landmark_errors.nme_percent(errors))
    assert scores[-1].std == 0
    assert scores[0].mean == pytest.approx(np.mean(scores[0].draws))
    assert scores[0].std == pytest.approx(np.std(scores[0].draws, ddof=1))


def test_more_labels_help_where_there_is_something_to_learn():
    x, y = data(n=200, noise=5.0, features=8)
    scores = curve(x[:100], y[:100], x[100:], y[100:], counts=(1, 10, 50, "all"), repeats=10)
    means = [score.mean for score in scores]
    assert means == sorted(means, reverse=True)
    assert means[-1] < means[0] / 3


def test_draws_depend_on_nothing_but_seed_n_repeat_and_number_of_rows():
    # The same labels with other features, unlabelled rows between, other counts asked for.
    x, y = data(n=20)
    sparse_x, sparse_y = np.repeat(x, 2, axis=0), np.repeat(y, 2, axis=0)
    sparse_y[1::2] = NAN
    scores = curve(x, y, x, y, counts=(3,))
    assert curve(sparse_x, sparse_y, x, y, counts=(1, 3), repeats=100)[1].draws == pytest.approx(
        scores[0].draws
    )
    assert curve(x, y, x, y, counts=(3,), seed=6)[0].draws != scores[0].draws


def test_draws_are_without_replacement_and_independent_between_sizes():
    for n in (1, 7, 20):
        rows = labelled.draw_rows(20, n, 0, 0)
        assert len(set(rows.tolist())) == n
        assert set(rows.tolist()) <= set(range(20))
    assert not set(labelled.draw_rows(20, 5, 0, 0)) <= set(labelled.draw_rows(20, 10, 0, 0))
    # Every row is drawn about equally often: 2 000 draws of 5 out of 20 take each 500 times.
    counts = np.bincount(
        np.concatenate([labelled.draw_rows(20, 5, repeat, 0) for repeat in range(2000)])
    )
    assert (np.abs(counts - 500) < 100).all()


def test_draws_are_pinned_on_every_numpy():
    assert labelled.draw_rows(1000, 5, 2, 7).tolist() == [989, 326, 426, 959, 223]


def test_points_no_draw_could_predict_are_reported():
    # Landmark 1 is labelled on the first of 4 rows only: a draw of one row has it once in four.
    x, y = data(n=4, landmarks=2)
    y[1:, 1] = NAN
    y_test = data(n=4, landmarks=2)[1]
    score = curve(x, y, x, y_test, counts=(1,))[0]
    with_it = np.mean([labelled.draw_rows(4, 1, r, 5)[0] == 0 for r in range(100)])
    assert 0.1 < with_it < 0.4
    assert score.predicted == pytest.approx((1 + with_it) / 2)


def test_a_curve_without_labels_is_refused():
    x, y = data()
    with pytest.raises(ValueError, match="with 0 labelled rows"):
        curve(x, np.full_like(y, NAN), x, y)
    with pytest.raises(ValueError, match=r"counts=\(0, 3\)"):
        curve(x, y, x, y, counts=(0, 3))


def test_where_sides_are_ambiguous_the_curve_is_of_that_protocol():
    # Half of the objects are annotated from behind: left and right exchanged.
    x, y = data(n=60, noise=0.0)
    y[:, 0, 0] = y[:, 1, 0] + 30  # seen from the front, left lies to the right
    exchanged = y.copy()
    exchanged[::2, [0, 1]] = y[::2, [1, 0]]
    ambiguous = PROTOCOL.with_flip_pairs("a:b", ["a", "b", "c"])
    options = {"counts": (30, "all"), "repeats": 2}
    told_apart = curve(x, y, x, y, **options)
    scores = curve(x, exchanged, x, exchanged, protocol=ambiguous, **options)
    assert [s.mean for s in scores] == pytest.approx([s.mean for s in told_apart], abs=0.1)
    assert curve(x, exchanged, x, exchanged, **options)[0].mean > 10 * max(1, scores[0].mean)


def test_few_labels_seen_from_behind_alone_are_turned_round():
    x, y = data(n=20, noise=0.0)
    y[:, 0, 0] = y[:, 1, 0] - 30
    ambiguous = PROTOCOL.with_flip_pairs("a:b", ["a", "b", "c"])
    scores = curve(x, y, x, y, protocol=ambiguous, counts=(1, 15), repeats=2)
    assert scores[-1].mean < 0.1 and np.isfinite(scores[0].mean)


def test_a_curve_by_gradient_is_fitted_on_the_warped_images_of_each_draw():
    random = np.random.default_rng(0)
    landmarks = random.uniform(0, 63, (40, 2, 2))
    asked = []

    def warped(count, seed):
        asked.append(seed)
        moved = landmarks + np.random.default_rng(seed).normal(0, 2, landmarks.shape)
        return [(moved, moved[:, ::-1])] * count  # the points are the landmarks, exchanged

    nowhere = np.full_like(landmarks, np.nan)  # what is not warped is not looked at
    protocol = protocols.PROTOCOLS["fse_gradient"]
    train = protocol_kinds.Examples(nowhere, landmarks[:, ::-1], 64, warped)
    yardstick = Yardstick(protocol, landmarks[:, ::-1], np.full(40, 64.0))
    scores = few_labels.curve(protocol, train, landmarks, yardstick, (20,), repeats=2, seed=3)
    assert asked == [3, 3] and scores[0].mean < 3
