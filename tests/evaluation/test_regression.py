import time

import numpy as np
import pytest

from tf_landmarks.evaluation import regression

NAN = np.nan


def data(n=12, features=5, landmarks=3, seed=0, noise=1.0):
    """Points that depend linearly on features of unequal size, with an offset and noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features)) * np.linspace(1, 9, features) + 40
    y = np.tensordot(x, rng.normal(size=(features, landmarks, 2)), 1) + 100
    return x, y + noise * rng.normal(size=y.shape)


@pytest.mark.core
@pytest.mark.parametrize("ridge", [0, "auto"])
def test_affine_data_are_fitted_exactly_with_a_bias(ridge):
    x, y = data(noise=0)
    fit = regression.fit_linear(x, y, bias=True, ridge=ridge)
    np.testing.assert_allclose(fit.predict(x), y, rtol=0, atol=1e-4)
    assert fit.weights.shape == (5, 3, 2)
    assert fit.intercept.shape == (3, 2)
    assert fit.ridge.shape == (3,)


@pytest.mark.core
def test_an_offset_is_not_absorbed_without_a_bias():
    x, y = data(noise=0)
    fit = regression.fit_linear(x - x.mean(axis=0), y, bias=False, ridge=0)
    # Centred features sum to zero over the rows, so the mean residual is the mean of y.
    residual = (y - fit.predict(x - x.mean(axis=0))).mean(axis=0)
    np.testing.assert_allclose(residual, y.mean(axis=0))
    np.testing.assert_array_equal(fit.intercept, 0)


@pytest.mark.core
def test_a_constant_feature_acts_as_a_bias_and_a_zero_predicts_zero():
    y = np.array([[[1, 5]], [[3, 9]]], np.float64)  # Mean (2, 7).
    fit = regression.fit_linear(np.ones((2, 1)), y, bias=False, ridge=0)
    np.testing.assert_allclose(fit.predict([[1]]), [[[2, 7]]])
    fit = regression.fit_linear(np.zeros((2, 1)), y, bias=False, ridge=0)
    np.testing.assert_array_equal(fit.predict([[0]]), [[[0, 0]]])


@pytest.mark.core
@pytest.mark.parametrize("ridge", [0, 2.0, "auto"])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 / 3])
def test_constant_features_predict_the_mean_with_a_bias(ridge, constant):
    _, y = data(n=7)
    fit = regression.fit_linear(np.full((7, 4), constant), y, bias=True, ridge=ridge)
    np.testing.assert_array_equal(fit.weights, 0)
    np.testing.assert_allclose(fit.predict(np.full((1, 4), 5.0))[0], y.mean(axis=0))


@pytest.mark.core
@pytest.mark.parametrize("n", [1, 3, 8])
def test_fewer_rows_than_features_give_the_pseudo_inverse(n):
    x, y = data(n=n, features=10)
    fit = regression.fit_linear(x, y, bias=False, ridge=0)
    expected = np.linalg.pinv(x) @ y.reshape(n, -1)
    np.testing.assert_allclose(fit.weights.reshape(10, -1), expected, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(fit.predict(x), y)


@pytest.mark.core
def test_a_repeated_landmark_gives_the_minimum_norm():
    # Two equal columns share the weight 6 of one: 3 each.
    x = np.array([[1.0, 1], [2, 2]])
    fit = regression.fit_linear(x, 6 * x[:, None], bias=False, ridge=0)
    np.testing.assert_allclose(fit.weights[:, 0], 3)


@pytest.mark.core
@pytest.mark.parametrize("ridge", [0, 3.0, "auto"])
def test_one_label_with_a_bias_predicts_that_label(ridge):
    x, y = data(n=1, features=100)
    fit = regression.fit_linear(x, y, bias=True, ridge=ridge)
    np.testing.assert_allclose(fit.predict(x + 5), y)


@pytest.mark.core
def test_one_label_without_a_bias_is_reproduced_by_auto():
    x, y = data(n=1)
    fit = regression.fit_linear(x, y, bias=False, ridge="auto")
    np.testing.assert_allclose(fit.predict(x), y, rtol=1e-5)


@pytest.mark.core
def test_ridge_solves_the_penalised_normal_equations():
    x, y = data()
    fit = regression.fit_linear(x, y, bias=False, ridge=7.0)
    expected = np.linalg.solve(x.T @ x + 7 * np.eye(5), x.T @ y.reshape(12, -1))
    np.testing.assert_allclose(fit.weights.reshape(5, -1), expected)
    # With a bias: a column of ones that the penalty leaves out.
    ones = np.column_stack([x, np.ones(12)])
    penalty = 7 * np.diag([1, 1, 1, 1, 1, 0])
    expected = np.linalg.solve(ones.T @ ones + penalty, ones.T @ y.reshape(12, -1))
    fit = regression.fit_linear(x, y, bias=True, ridge=7.0)
    np.testing.assert_allclose(fit.weights.reshape(5, -1), expected[:5])
    np.testing.assert_allclose(fit.intercept.reshape(-1), expected[5])


@pytest.mark.core
def test_an_endless_ridge_predicts_zero_or_the_mean():
    x, y = data()
    fit = regression.fit_linear(x, y, bias=False, ridge=1e15)
    np.testing.assert_allclose(fit.predict(x), 0, atol=1e-6)
    fit = regression.fit_linear(x, y, bias=True, ridge=1e15)
    np.testing.assert_allclose(fit.predict(x), np.broadcast_to(y.mean(axis=0), y.shape))


def brute_force_left_out(x, y, bias, ridge, blocks):
    """Mean distance of each row to its prediction by a fit on all other blocks of neighbours."""
    distances = []
    for block in np.array_split(np.arange(len(x)), min(blocks, len(x))):
        others = np.setdiff1d(np.arange(len(x)), block)
        fit = regression.fit_linear(x[others], y[others], bias=bias, ridge=ridge)
        distances.append(np.linalg.norm(fit.predict(x[block]) - y[block], axis=-1))
    return np.mean(np.concatenate(distances))


@pytest.mark.core
@pytest.mark.parametrize("measure", ["_left_out_errors", "_left_out_errors_of_many"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("blocks", [5, 100])
@pytest.mark.parametrize(("n", "features"), [(12, 5), (3, 2), (6, 5), (6, 6), (7, 6), (5, 20)])
def test_left_out_errors_are_those_of_refitting_without_each_block(
    measure, bias, blocks, n, features
):
    x, y = data(n=n, features=features, seed=n, noise=9.0)
    targets = y.reshape(n, -1)
    if bias:
        targets = targets - targets.mean(axis=0)
    varying = x - x.mean(axis=0) if bias else x
    rank = min(n - bias, features)
    u, s, _ = np.linalg.svd(varying, full_matrices=False)
    grid = regression.RIDGE_GRID[::5] * np.sum(varying**2) / features
    measure = getattr(regression, measure)
    errors = measure(u[:, :rank], s[:rank], targets, bias, grid, blocks)
    expected = [brute_force_left_out(x, y, bias, ridge, blocks) for ridge in grid]
    np.testing.assert_allclose(errors, expected, rtol=1e-6)


def left_out_errors_by_press(u, s, targets, bias, ridges, num_blocks):
    """The same by Allen's formula (1974), (I - H_BB)^-1 (y_B - y'_B), cubic in the rows of a block."""
    n, projected = len(u), u.T @ targets
    outside = targets - u @ projected
    blocks = np.array_split(np.arange(n), min(num_blocks, n))
    errors = []
    for ridge in ridges:
        left_over = ridge / (s**2 + ridge)
        residuals = outside + u @ (left_over[:, None] * projected)
        for rows in blocks:
            share = np.eye(len(rows)) - bias / n - u[rows] @ u[rows].T
            share += (u[rows] * left_over) @ u[rows].T
            residuals[rows] = np.linalg.solve(share, residuals[rows])
        errors.append(np.linalg.norm(residuals.reshape(n, -1, 2), axis=-1).mean())
    return np.array(errors)


@pytest.mark.core
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["plain", "near twins", "in one block", "wide"])
@pytest.mark.parametrize("noise", [0.0, 1.0, 1000.0])
def test_auto_chooses_and_fits_as_by_the_formula_of_press(bias, kind, noise, monkeypatch):
    random = np.random.default_rng(7)
    n, features = (40, 60) if kind == "wide" else (500, 20)
    x = random.normal(size=(n, features)) * np.linspace(1, 30, features) + 64
    if kind == "near twins":
        x[:, 1] = x[:, 0] + 1e-9 * random.normal(size=n)
    if kind == "in one block":  # without the first block, nothing is known of this feature
        x[:, 3] = np.where(np.arange(n) < 90, x[:, 3], 0.0)
    y = np.tensordot(x, random.normal(size=(features, 4, 2)), 1)
    y += noise * random.normal(size=y.shape)
    y[random.random((n, 4)) < 0.02] = NAN
    fitted = regression.fit_linear(x, y, bias=bias, ridge="auto")
    monkeypatch.setattr(regression, "_left_out_errors", left_out_errors_by_press)
    expected = regression.fit_linear(x, y, bias=bias, ridge="auto")
    np.testing.assert_allclose(fitted.ridge, expected.ridge, rtol=1e-9)
    np.testing.assert_allclose(fitted.weights, expected.weights, rtol=1e-9, atol=1e-12)
    if noise:  # without it, errors are rounding alone
        u, s, _ = np.linalg.svd(x - x.mean(axis=0) * bias, full_matrices=False)
        u, s = u[:, s > 1e-9 * s[0]], s[s > 1e-9 * s[0]]
        targets = random.normal(size=(n, 8))
        targets -= targets.mean(axis=0) * bias
        grid = regression.RIDGE_GRID * np.sum(s**2) / features
        arguments = (u, s, targets, bias, grid, 5)
        monkeypatch.undo()
        np.testing.assert_allclose(
            regression._left_out_errors(*arguments), left_out_errors_by_press(*arguments), rtol=1e-7
        )


@pytest.mark.core
def test_the_choice_of_a_ridge_is_linear_in_the_rows():
    x, y = data(n=19_000, features=60, landmarks=5)
    start = time.process_time()
    regression.fit_linear(x, y, bias=True, ridge="auto")
    assert time.process_time() - start < 3  # 0.9 s; with systems as large as a block, minutes


@pytest.mark.core
def test_one_block_leaves_nothing_to_fit_a_bias_to():
    u, s, targets = np.array([[0.6], [0.8], [0.0]]), np.array([2.0]), np.ones((3, 2))
    ridges = np.array([1.0, 4.0])
    assert np.isinf(regression._left_out_errors(u, s, targets, True, ridges, 1)).all()
    # Without a bias nothing is predicted as 0, which is sqrt(2) off.
    errors = regression._left_out_errors(u, s, targets, False, ridges, 1)
    np.testing.assert_allclose(errors, 2**0.5)


@pytest.mark.core
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("noise", [0.1, 30.0, 300.0])
def test_auto_is_the_grid_ridge_of_least_error_on_five_blocks_left_out_in_turn(bias, noise):
    x, y = data(n=12, seed=4, noise=noise)
    varying = x - x.mean(axis=0) if bias else x
    grid = regression.RIDGE_GRID * np.sum(varying**2) / 5
    best = np.argmin([brute_force_left_out(x, y, bias, ridge, 5) for ridge in grid])
    np.testing.assert_allclose(
        regression.fit_linear(x, y, bias=bias, ridge="auto").ridge, grid[best]
    )


@pytest.mark.core
def test_many_directions_have_the_same_ridge_as_few(monkeypatch):
    x, y = data(n=20, features=30, noise=30.0)
    few = regression.fit_linear(x, y, bias=True, ridge="auto")
    monkeypatch.setattr(regression, "_FEW_DIRECTIONS", 18)  # of 19
    monkeypatch.setattr(regression, "_left_out_errors", None)
    np.testing.assert_allclose(
        regression.fit_linear(x, y, bias=True, ridge="auto").ridge, few.ridge
    )


@pytest.mark.core
def test_where_no_row_can_be_left_out_the_ridge_is_an_end_of_the_grid():
    x, y = data(n=2)
    # Two rows and a bias: the scatter about their mean is that of half their difference, twice.
    scale = np.sum((x[1] - x[0]) ** 2) / 2 / 5
    found = regression.fit_linear(x, y, bias=True, ridge="auto").ridge
    np.testing.assert_allclose(found, 1e3 * scale)
    found = regression.fit_linear(x[:1], y[:1], bias=False, ridge="auto").ridge
    np.testing.assert_allclose(found, 1e-7 * np.sum(x[0] ** 2) / 5)
    # Two rows without a bias, or three with one, have something to leave out.
    x, y = data(n=3, noise=0)
    for bias, rows in ((False, 2), (True, 3)):
        found = regression.fit_linear(x[:rows], y[:rows], bias=bias, ridge="auto").ridge
        varying = x[:rows] - x[:rows].mean(axis=0) * bias
        steps = 4 * np.log10(found / (np.sum(varying**2) / 5))
        best = np.argmin(
            [brute_force_left_out(x[:rows], y[:rows], bias, ridge, 5)
             for ridge in 10.0 ** (np.arange(-28, 13) / 4) * np.sum(varying**2) / 5]
        )  # fmt: skip
        np.testing.assert_allclose(steps, best - 28, atol=1e-6)


@pytest.mark.core
def test_twins_of_a_row_do_not_make_auto_trust_features_that_only_name_it():
    # 20 objects, five frames each: features that tell objects apart, and say nothing of the labels.
    random = np.random.default_rng(3)
    objects, labels = random.normal(size=(20, 15)), random.normal(size=(20, 1, 2))
    x = np.repeat(objects, 5, axis=0) + 1e-3 * random.normal(size=(100, 15))
    y = np.repeat(labels, 5, axis=0)
    fitted = regression.fit_linear(x, y, bias=True, ridge="auto")
    unseen = regression.fit_linear(x[:75], y[:75], bias=True, ridge="auto").predict(x[75:])
    assert np.abs(unseen - y[:75].mean(axis=0)).max() < 0.5 * np.abs(y[75:]).max()
    assert fitted.ridge[0] > 0.1 * np.sum((x - x.mean(axis=0)) ** 2) / 15


@pytest.mark.core
def test_auto_takes_little_ridge_for_clean_data_and_much_for_noise():
    x, y = data(n=60, noise=1e-3)
    clean = regression.fit_linear(x, y, bias=True, ridge="auto").ridge
    useless = np.random.default_rng(9).normal(size=y.shape)
    noisy = regression.fit_linear(x, useless, bias=True, ridge="auto").ridge
    assert (noisy > 1e4 * clean).all()


@pytest.mark.core
def test_auto_does_not_depend_on_the_unit_of_the_features():
    x, y = data(noise=20.0)
    x_new, _ = data(seed=1)
    fits = [regression.fit_linear(x * unit, y, bias=True, ridge="auto") for unit in (1, 1e-3, 1e4)]
    for fit, unit in zip(fits, (1, 1e-3, 1e4), strict=True):
        np.testing.assert_allclose(fit.predict(x_new * unit), fits[0].predict(x_new))
        np.testing.assert_allclose(fit.ridge, fits[0].ridge * unit**2)


@pytest.mark.core
def test_each_landmark_is_fitted_on_its_own_labelled_rows():
    x, y = data(n=15, landmarks=4)
    y[3:6, 1] = NAN
    y[8, 2] = (NAN, 5.0)  # Half a point is no point.
    y[3:6, 3] = NAN  # The same rows as landmark 1.
    for ridge in (0, 5.0, "auto"):
        fit = regression.fit_linear(x, y, bias=True, ridge=ridge)
        for group in ([0], [1, 3], [2]):
            rows = ~np.isnan(y[:, group[0]]).any(axis=-1)
            alone = regression.fit_linear(x[rows], y[rows][:, group], bias=True, ridge=ridge)
            np.testing.assert_allclose(fit.weights[:, group], alone.weights)
            np.testing.assert_allclose(fit.intercept[group], alone.intercept)
            np.testing.assert_allclose(fit.ridge[group], alone.ridge)


@pytest.mark.core
def test_rows_without_labels_change_nothing():
    x, y = data()
    more_x = np.concatenate([x, x + 3])
    more_y = np.concatenate([y, np.full_like(y, NAN)])
    fit = regression.fit_linear(more_x, more_y, bias=False, ridge=0)
    alone = regression.fit_linear(x, y, bias=False, ridge=0)
    np.testing.assert_allclose(fit.weights, alone.weights)
    as_zero = regression.fit_linear(more_x, np.nan_to_num(more_y), bias=False, ridge=0)
    assert np.abs(as_zero.weights - alone.weights).max() > 0.1


@pytest.mark.core
def test_a_landmark_without_labels_is_an_error_or_nan():
    x, y = data()
    y[:, 1] = NAN
    with pytest.raises(ValueError, match="Landmark 1 has no label in any of the 12 rows"):
        regression.fit_linear(x, y, bias=True, ridge=0)
    fit = regression.fit_linear(x, y, bias=True, ridge=0, allow_missing=True)
    missing = np.isnan(fit.predict(x)).all(axis=(0, 2))
    assert missing.tolist() == [False, True, False]
    assert np.isnan(fit.ridge).tolist() == [False, True, False]


@pytest.mark.core
def test_float32_features_with_near_duplicate_columns_lose_nothing():
    # Multiples of 1/64 are exact in float32; solving in float32 would get the weights of the
    # two columns wrong by about 1e-3, that is by pixels where the columns differ.
    rng = np.random.default_rng(2)
    x = rng.integers(0, 128 * 64, (200, 10)) / 64
    x[:, 1] = x[:, 0] + rng.integers(0, 2, 200) / 64
    weights = rng.normal(size=(10, 2, 2))
    y = np.tensordot(x, weights, 1)
    single = regression.fit_linear(x.astype(np.float32), y, bias=True, ridge=0)
    np.testing.assert_allclose(single.weights, weights, atol=1e-8)
    np.testing.assert_allclose(single.predict(x.astype(np.float32)), y, atol=1e-4)


@pytest.mark.core
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:3], y, 0), r"x \(3, 5\) and y \(12, 3, 2\) must be"),
        (lambda x, y: (x, y[:3], 0), r"x \(12, 5\) and y \(3, 3, 2\) must be"),
        (lambda x, y: (x, y[..., 0], 0), "must be"),
        (lambda x, y: (np.where(np.arange(12)[:, None] == 4, NAN, x), y, 0), "Row 4 of the feat"),
        (lambda x, y: (x, np.where(np.arange(12)[:, None, None] == 2, np.inf, y), 0), "Row 2 of"),
        (lambda x, y: (x, y, "cv"), "ridge='cv' must be 'auto' or a number"),
        (lambda x, y: (x, y, -1), "ridge=-1"),
        (lambda x, y: (x, y, np.inf), "ridge=inf must be 'auto' or a number from 0 up"),
        (lambda x, y: (x, y[..., :1], 0), "must be"),
        (lambda x, y: (x[..., None], y, 0), "must be"),
    ],
)
def test_bad_input_is_named(change, message):
    x, y, ridge = change(*data())
    with pytest.raises(ValueError, match=message):
        regression.fit_linear(x, y, bias=True, ridge=ridge)


@pytest.mark.core
def test_mean_shape_is_the_mean_of_the_labels(recwarn):
    y = np.array([[[1, 2], [NAN, NAN], [4, 4]], [[3, 6], [NAN, NAN], [NAN, 9]]])
    np.testing.assert_array_equal(regression.mean_shape(y), [[2, 4], [NAN, NAN], [4, 4]])
    assert not recwarn.list
