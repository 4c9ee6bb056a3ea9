"""Maps fitted by gradient: what they find, and each part of the training against its definition."""

import numpy as np
import pytest

from tf_landmarks.evaluation import regression

NAN = np.nan


def linear_rounds(count: int = 3, noise: float = 0.0):
    """Rounds of exact linear data around the centre, and the map."""
    random = np.random.default_rng(0)
    weights = random.standard_normal((6, 2, 2)) / 3
    rounds = []
    for _ in range(count):
        x = random.uniform(-1, 1, (200, 6))
        y = np.tensordot(x, weights, 1)
        rounds.append((x, y + noise * random.standard_normal(y.shape)))
    return rounds, weights


def test_the_gradient_finds_an_exact_map():
    rounds, weights = linear_rounds()
    fitted = regression.fit_by_gradient(rounds, weight_decay=0.0, learning_rate=0.01)
    np.testing.assert_allclose(fitted.weights, weights, atol=1e-3)
    assert (fitted.intercept == 0).all() and np.isnan(fitted.ridge).all()


def test_weight_decay_is_the_ridge_of_the_closed_form():
    rounds, _ = linear_rounds(1, noise=0.1)
    x, y = rounds[0]
    fitted = regression.fit_by_gradient(
        rounds, weight_decay=0.1, learning_rate=0.01, batch_size=200, patience=40
    )
    # A mean over images against a sum over images: N c / 2, whatever the number of points.
    closed = regression.fit_linear(x, y, bias=False, ridge=200 * 0.1 / 2)
    np.testing.assert_allclose(fitted.weights, closed.weights, atol=5e-3)


def test_the_gradient_passes_over_missing_points_and_fits_a_bias():
    rounds, weights = linear_rounds()
    rounds = [(x, np.add(y, [0.3, -0.2])) for x, y in rounds]
    rounds[0][1][::2, 1] = np.nan
    fitted = regression.fit_by_gradient(rounds, bias=True, weight_decay=0.0, learning_rate=0.01)
    np.testing.assert_allclose(fitted.weights, weights, atol=2e-3)
    np.testing.assert_allclose(fitted.intercept, [[0.3, -0.2]] * 2, atol=2e-3)


@pytest.mark.parametrize("fit", ["closed", "gradient"])
def test_exchanging_landmarks_exchanges_columns_and_predicts_alike(fit):
    rounds, _ = linear_rounds(1, noise=0.1)
    order = [4, 5, 0, 1, 2, 3]

    def fitted(rounds):
        if fit == "gradient":
            return regression.fit_by_gradient(rounds)
        return regression.fit_linear(*rounds[0], bias=False, ridge="auto")

    plain, exchanged = fitted(rounds), fitted([(x[:, order], y) for x, y in rounds])
    np.testing.assert_allclose(exchanged.weights, plain.weights[order], atol=1e-9)
    x = rounds[0][0]
    np.testing.assert_allclose(exchanged.predict(x[:, order]), plain.predict(x), atol=1e-9)


def test_adam_is_that_of_its_paper():
    random = np.random.default_rng(0)
    weights = random.normal(size=(3, 2))
    adam = regression._Adam(weights.copy())
    first = second = np.zeros_like(weights)
    for step in range(1, 6):  # Kingma and Ba 2015, algorithm 1
        gradient = random.normal(size=(3, 2))
        rate = 0.1 / step
        adam.apply(gradient, rate)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        weights = weights - rate * (first / (1 - 0.9**step)) / (
            np.sqrt(second / (1 - 0.999**step)) + 1e-8
        )
        np.testing.assert_allclose(adam.weights, weights, rtol=1e-12)
    assert adam.step == 5
    tiny = regression._Adam(np.zeros((1, 1)))
    tiny.apply(np.array([[1e-8]]), 1.0)  # as large as what is added to the deviation: half a step
    np.testing.assert_allclose(tiny.weights, -0.5)


class Recorder:
    """Stands for Adam: notes gradients and rates, and adds 1 to each weight."""

    def __init__(self, weights):
        self.weights, self.calls = weights, []

    def apply(self, gradient, learning_rate):
        self.calls.append((gradient, learning_rate))
        self.weights = self.weights + 1


def test_an_epoch_goes_through_the_order_in_batches_and_sums_the_errors_on_its_way():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(5, 3)), random.normal(size=(5, 2, 2))
    y[1, 0] = NAN
    start, decays = random.normal(size=(3, 4)), np.array([[0.1], [0.2], [0.0]])
    adam, order = Recorder(start), np.array([4, 1, 0, 3, 2])
    total = regression._fit_epoch(adam, x, y, order, 2, decays, 0.25)
    assert len(adam.calls) == 3
    expected = 0.0
    for number, rows in enumerate([(4, 1), (0, 3), (2,)]):
        weights, gradient = start + number, np.zeros((3, 4))
        for row in rows:
            for column in range(4):
                target = y[row].reshape(-1)[column]
                if np.isnan(target):
                    continue
                error = x[row] @ weights[:, column] - target
                expected += error**2
                gradient[:, column] += 2 * error * x[row] / len(rows)
        found, rate = adam.calls[number]
        np.testing.assert_allclose(found, gradient + decays * weights)
        assert rate == 0.25
    assert total == pytest.approx(expected)


def epochs(monkeypatch, errors, count=10, num_rounds=1, **arguments):
    """The rates of all epochs of a training whose errors are as given, a pass after the other."""
    rates, orders = [], []

    def epoch(adam, x, y, order, batch_size, decays, learning_rate):
        orders.append(order)
        rates.append(learning_rate)
        adam.step += -(-len(order) // batch_size)
        return errors((len(rates) - 1) // num_rounds)

    monkeypatch.setattr(regression, "_fit_epoch", epoch)
    rounds = [(np.zeros((count, 3)), np.zeros((count, 2, 2)))] * num_rounds
    regression.fit_by_gradient(rounds, **arguments)
    assert all(sorted(order) == list(range(count)) for order in orders)
    return rates, orders


def test_the_rate_falls_after_five_passes_without_progress_and_training_ends_at_the_third(
    monkeypatch,
):
    rates, _ = epochs(monkeypatch, lambda _: 1.0)
    np.testing.assert_allclose(rates, [1e-3] * 6 + [1e-4] * 5 + [1e-5] * 5)
    rates, _ = epochs(monkeypatch, lambda _: 1.0, patience=2, learning_rate=1.0, num_rounds=2)
    np.testing.assert_allclose(rates, [1.0] * 6 + [0.1] * 4 + [0.01] * 4)


def test_progress_is_a_thousandth_below_the_best(monkeypatch):
    # An error that jumps up and down is no progress; one that falls by 0.05 % is none either.
    assert len(epochs(monkeypatch, lambda n: 1.0 + n % 2)[0]) == 16
    assert len(epochs(monkeypatch, lambda n: 0.9995**n)[0]) < 100
    # One that falls by 0.2 % at every fifth pass at the latest never stops before its time.
    rates, _ = epochs(monkeypatch, lambda n: 0.998 ** (n // 5), max_steps=1000)
    assert len(rates) == 1000 and set(rates) == {1e-3}


def test_training_ends_after_its_steps_or_thirty_passes(monkeypatch):
    def passes(**arguments):
        return len(epochs(monkeypatch, lambda n: 0.5**n, num_rounds=2, **arguments)[0]) / 2

    # Of 10 images in batches of 4, three steps; a pass through two rounds is 6.
    assert passes(batch_size=4, max_steps=10) == 30
    assert passes(batch_size=4, max_steps=180) == 30
    assert passes(batch_size=4, max_steps=199) == 34  # 204 steps
    assert passes(max_steps=100) == 50  # batches of 32: one step


def test_orders_are_drawn_anew_and_by_the_seed(monkeypatch):
    def orders(**arguments):
        return np.array(epochs(monkeypatch, lambda n: 0.5**n, max_steps=30, **arguments)[1])

    assert (orders() == orders(seed=0)).all() and (orders() != orders(seed=1)).any()
    assert len(np.unique(orders(), axis=0)) == 30


def test_the_intercept_is_not_decayed_and_weights_are():
    # No features to speak of: the intercept is the mean, whatever the decay, up to half a step of 0.01.
    x, y = np.zeros((8, 1)), np.full((8, 1, 2), (0.3, -0.2))
    fitted = regression.fit_by_gradient([(x, y)], bias=True, weight_decay=10.0, learning_rate=0.01)
    np.testing.assert_allclose(fitted.intercept, [[0.3, -0.2]], atol=5e-3)
    assert fitted.weights.shape == (1, 1, 2) and (fitted.weights == 0).all()
    fitted = regression.fit_by_gradient(
        [(x + 1.0, y)], weight_decay=2.0, learning_rate=0.01, patience=100
    )
    # min (w - y)^2 + w^2: half of it.
    np.testing.assert_allclose(fitted.weights[0], [[0.15, -0.1]], atol=5e-3)


def test_a_landmark_that_no_round_labels_is_an_error_or_nan():
    rounds, _ = linear_rounds(2)
    for _, y in rounds:
        y[:, 1] = NAN
    rounds[0][1][:, 0] = NAN  # labelled in the other round
    with pytest.raises(ValueError, match="Landmark 1 has no label in any of the 200 rows"):
        regression.fit_by_gradient(rounds)
    fitted = regression.fit_by_gradient(rounds, max_steps=1, allow_missing=True)
    assert np.isnan(fitted.predict(rounds[0][0])).all(axis=(0, 2)).tolist() == [False, True]
    with pytest.raises(ValueError, match="must be"):
        regression.fit_by_gradient([(rounds[0][0][:3], rounds[0][1])])
