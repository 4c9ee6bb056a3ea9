"""Linear maps from what a network discovered to what people annotated.

    predicted[n, a] = x[n] @ weights[:, a] + intercept[a]

Closed form in float64, or by gradient where a paper fits on warped images (FSE). Each annotated point
is fitted on the images that label it; in closed form, points with the same missing images share one
singular value decomposition. Coordinates, bias and ridge of the papers are in protocols.py.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

# What ridge="auto" chooses from, as multiples of rows * (mean variance of a feature): the ends are
# "no ridge to speak of" and "nothing but the mean".
RIDGE_GRID = np.logspace(-7, 3, 41)
NUM_BLOCKS = 5
MAX_STEPS = 50_000
# Enough for the rate of a map by gradient to fall twice, however many images there are.
MAX_PASSES = 30
# Up to so many directions, solving for each ridge by itself is as quick, and more exact.
_FEW_DIRECTIONS = 200


@dataclasses.dataclass(frozen=True, eq=False)
class LinearRegressor:
    """A fitted map.

    Attributes:
        weights: `[F, A, 2]` float64.
        intercept: `[A, 2]` float64, zero without a bias.
        ridge: `[A]` float64, the penalty each landmark was fitted with.
    """

    weights: np.ndarray
    intercept: np.ndarray
    ridge: np.ndarray

    def predict(self, x) -> np.ndarray:
        """`[N, F]` -> `[N, A, 2]`, NaN for landmarks that had no label to fit."""
        return np.tensordot(np.asarray(x, np.float64), self.weights, 1) + self.intercept


def fit_linear(x, y, *, bias: bool, ridge: float | str, allow_missing=False) -> LinearRegressor:
    """Fits min |x W + b - y|^2 + ridge |W|^2 for each landmark on its labelled rows.

    ridge = 0 gives least squares, of minimum norm if the rows do not determine W
    (IMM's; docs/imm.md, "Measuring").
    The bias is not penalised: x and y are centred for it, so a feature that never varies (or a
    single row) yields the mean of y. ridge = "auto" chooses from `RIDGE_GRID` by the exact error on
    `NUM_BLOCKS` blocks of neighbouring rows, each left out in turn: neighbours are often frames of one
    video, and a row left out alone would be predicted from its twins, whatever the ridge. It is one
    ridge for all landmarks that are labelled on the same rows: a ridge of each landmark's own is a
    noisier choice, worse with few labels and no better with many.

    Args:
        x: `[N, F]`, finite, rows in the order of the files' names.
        y: `[N, A, 2]`, NaN where missing.
        bias: Whether to fit an intercept.
        ridge: Penalty in units of x squared, summed over rows, or "auto".
        allow_missing: Predicts NaN for a landmark without any label, instead of an error.

    Raises:
        ValueError: Shapes do not fit, x is not finite, or a landmark has no label.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    check(x, y, ridge)
    present = ~np.isnan(y).any(axis=-1)
    check_labelled(~present.any(axis=0), len(x), allow_missing)
    weights = np.full((x.shape[1], *y.shape[1:]), np.nan)
    intercept = np.full(y.shape[1:], np.nan)
    ridges = np.full(y.shape[1], np.nan)
    masks, mask_of = np.unique(present, axis=1, return_inverse=True)
    for index, rows in enumerate(masks.T):
        group = np.flatnonzero(mask_of.reshape(-1) == index)
        if rows.any():
            fitted = _fit_complete(x[rows], y[np.ix_(rows, group)], bias, ridge)
            weights[:, group], intercept[group], ridges[group] = fitted
    return LinearRegressor(weights, intercept, ridges)


def fit_by_gradient(
    rounds: Sequence[tuple[np.ndarray, np.ndarray]],
    *, bias: bool = False, weight_decay: float = 5e-4, learning_rate: float = 1e-3,
    batch_size: int = 32, max_steps: int = MAX_STEPS, patience: int = 5, seed: int = 0,
    allow_missing: bool = False,
) -> LinearRegressor:  # fmt: skip
    """Fits the map as FSE trains it: Adam on squared distances, over images warped anew each epoch.

    Minimises `mean_n sum_a |x_n W_a + b_a - y_na|^2 + 1/2 weight_decay |W|^2`. The paper says "L2 loss"; the
    sum over an image's points is assumed, for it decays the map of a point alike whatever others there are,
    where a mean over 68 points would decay it 68 times as much. Where the error over all rounds does not fall
    by 0.1 % for `patience` times, the rate falls to a tenth; after the third time training ends.

    Args:
        rounds: (x `[N, F]`, y `[N, A, 2]` with NaN where missing), one for each drawing of warps, which
            epochs go through in turn; in coordinates around the centre, of order 1.
        bias: Whether to fit an intercept.
        weight_decay: On the weights, not on the intercept.
        learning_rate: Adam's, at the start.
        batch_size: Images per step.
        max_steps: It ends after about so many steps at the latest, or after `MAX_PASSES` through all rounds
            where these are more.
        patience: See above.
        seed: Of the order of images.
        allow_missing: Predicts NaN for a landmark without any label, instead of an error.

    Returns:
        The map; its `ridge` is NaN, for none was chosen.

    Raises:
        ValueError: As for `fit_linear`.
    """
    rounds = [tuple(np.asarray(values, np.float64) for values in pair) for pair in rounds]
    for x, y in rounds:
        check(x, y, 0.0)
    count, (landmarks, _) = len(rounds[0][0]), rounds[0][1].shape[1:]
    never = np.all([np.isnan(y).any(-1).all(0) for _, y in rounds], axis=0)
    check_labelled(never, count, allow_missing)
    if bias:
        rounds = [(np.concatenate([x, np.ones((count, 1))], axis=1), y) for x, y in rounds]
    decays = np.full((rounds[0][0].shape[1], 1), weight_decay)
    if bias:
        decays[-1] = 0.0
    adam = _Adam(np.zeros((len(decays), 2 * landmarks)))
    best, stalls, falls = np.inf, 0, 0
    max_steps = max(max_steps, MAX_PASSES * len(rounds) * -(-count // batch_size))
    random = np.random.RandomState(seed)
    while adam.step < max_steps and falls < 3:
        total = sum(
            _fit_epoch(adam, x, y, random.permutation(count), batch_size, decays, learning_rate)
            for x, y in rounds
        )
        stalls = 0 if total < 0.999 * best else stalls + 1
        best = min(best, total)
        if stalls >= patience:
            learning_rate, stalls, falls = 0.1 * learning_rate, 0, falls + 1
    weights = adam.weights.reshape(-1, landmarks, 2)
    weights[:, never] = np.nan
    intercept = weights[-1] if bias else np.zeros((landmarks, 2))
    return LinearRegressor(weights[:-1] if bias else weights, intercept, np.full(landmarks, np.nan))


class _Adam:
    """Adam with its usual moments, on one array of weights."""

    def __init__(self, weights: np.ndarray):
        self.weights, self.step = weights, 0
        self._first, self._second = np.zeros_like(weights), np.zeros_like(weights)

    def apply(self, gradient: np.ndarray, learning_rate: float) -> None:
        """Makes one step."""
        self.step += 1
        self._first += 0.1 * (gradient - self._first)
        self._second += 0.001 * (gradient**2 - self._second)
        deviation = np.sqrt(self._second / (1 - 0.999**self.step)) + 1e-8
        self.weights -= learning_rate * (self._first / (1 - 0.9**self.step) / deviation)


def _fit_epoch(
    adam: _Adam,
    x: np.ndarray,
    y: np.ndarray,
    order: np.ndarray,
    batch_size: int,
    decays: np.ndarray,
    learning_rate: float,
) -> float:
    """Goes through all rows once and returns the sum of squared errors met on the way."""
    total = 0.0
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        error = x[rows] @ adam.weights - y[rows].reshape(len(rows), -1)
        error = np.where(np.isnan(error), 0.0, error)
        total += np.sum(error**2)
        gradient = 2.0 * x[rows].T @ error / len(rows) + decays * adam.weights
        adam.apply(gradient, learning_rate)
    return total


def mean_shape(y) -> np.ndarray:
    """`[N, A, 2]` -> `[A, 2]`, the mean of each landmark's labels: the baseline that ignores x."""
    y = np.asarray(y, np.float64)
    labelled = ~np.isnan(y).any(axis=-1, keepdims=True)
    counts = labelled.sum(axis=0)
    return np.where(labelled, y, 0).sum(axis=0) / np.where(counts > 0, counts, np.nan)


def _fit_complete(x: np.ndarray, y: np.ndarray, bias: bool, ridge: float | str):
    """Weights `[F, a, 2]`, intercept `[a, 2]` and ridge for `y [n, a, 2]` without gaps."""
    n, landmarks = y.shape[:2]
    targets = y.reshape(n, -1)
    x_mean = x.mean(axis=0) if bias else np.zeros(x.shape[1])
    y_mean = targets.mean(axis=0) if bias else np.zeros(targets.shape[1])
    u, s, vt = np.linalg.svd(x - x_mean, full_matrices=False)
    # Directions in which x does not vary beyond the rounding of x itself are not fitted. Measured
    # against x before centring, or the rounding of a constant feature's mean would count as data.
    varies = s > np.finfo(np.float64).eps * max(x.shape) * np.linalg.norm(x)
    u, s, vt = u[:, varies], s[varies], vt[varies]
    if ridge == "auto":
        ridge = _choose_ridge(u, s, targets - y_mean, bias, np.sum(s**2) / x.shape[1])
    shrunk = s / (s**2 + ridge)
    weights = vt.T @ (shrunk[:, None] * (u.T @ (targets - y_mean)))
    intercept = y_mean - x_mean @ weights
    return weights.reshape(-1, landmarks, 2), intercept.reshape(landmarks, 2), ridge


def _choose_ridge(u, s, targets, bias: bool, scale: float) -> float:
    """The ridge of `RIDGE_GRID * scale` with the least error on blocks of rows left out."""
    if len(u) - bias <= 1:  # They are all the same: without one row, nothing is left to fit.
        return scale * (RIDGE_GRID[-1] if bias else RIDGE_GRID[0])
    ridges = RIDGE_GRID * scale
    measure = _left_out_errors if len(s) <= _FEW_DIRECTIONS else _left_out_errors_of_many
    return ridges[np.argmin(measure(u, s, targets, bias, ridges, NUM_BLOCKS))]


def _left_out_errors(u, s, targets, bias: bool, ridges, num_blocks: int) -> np.ndarray:
    """`[R]`, the mean distance of each row to its prediction by a fit on the other blocks, per ridge.

    Let V be u, with a column 1 / sqrt(n) for the bias: an orthonormal basis, in which a fit on all rows
    has the coefficients p = V^T y without a ridge and leaves o = y - V p. A fit on the rows outside
    block B with a ridge solves (G + P) c = V_others^T y_others, where G is the sum of V_b^T V_b over the
    other blocks b, and P = diag(ridge / s^2), 0 for the bias. Its errors on B are, exactly,

        y_B - V_B c = o_B + V_B (G + P)^-1 (P p + V_B^T o_B),

    and all that grows with the rows is products with V: the systems are r x r. No difference of nearly
    equal numbers is taken: G is summed and is not I - V_B^T V_B, and errors are built up from what the
    fit leaves over, which keeps their digits where a fit is nearly perfect or a block holds a direction
    almost alone. Equations are multiplied by s^2 / (s^2 + ridge), as P has no bound where s is small.

    Args:
        u: `[n, r]` left singular vectors of the (centred) features.
        s: `[r]` singular values, positive.
        targets: `[n, 2a]`, centred if there is a bias.
        bias: Whether there is one.
        ridges: `[R]`, positive.
        num_blocks: Into how many blocks of neighbours the rows are cut; as many as rows, at most.
    """
    n, ridges = len(u), np.asarray(ridges)[:, np.newaxis]
    kept, left_over = s**2 / (s**2 + ridges), ridges / (s**2 + ridges)  # [R, r]
    basis = u
    if bias:
        basis = np.column_stack([np.full(n, n**-0.5), u])
        kept, left_over = np.insert(kept, 0, 1.0, axis=1), np.insert(left_over, 0, 0.0, axis=1)
    projected = basis.T @ targets
    outside = targets - basis @ projected
    blocks = np.array_split(np.arange(n), min(num_blocks, n))
    grams = np.stack([basis[rows].T @ basis[rows] for rows in blocks])
    totals = np.zeros(len(ridges))
    for number, rows in enumerate(blocks):
        others = np.delete(grams, number, axis=0).sum(axis=0)
        systems = kept[..., np.newaxis] * others + _diagonals(left_over)  # [R, r, r]
        drives = left_over[..., np.newaxis] * projected
        drives += kept[..., np.newaxis] * (basis[rows].T @ outside[rows])
        try:
            changes = np.linalg.solve(systems, drives)
        except np.linalg.LinAlgError:  # the other blocks do not determine a fit
            return np.full(len(ridges), np.inf)
        for ridge, change in enumerate(changes):
            errors = outside[rows] + basis[rows] @ change
            totals[ridge] += np.linalg.norm(errors.reshape(len(rows), -1, 2), axis=-1).sum()
    return totals / (targets.size / 2)


def _left_out_errors_of_many(u, s, targets, bias: bool, ridges, num_blocks: int) -> np.ndarray:
    """The same where directions are many: one decomposition a block serves all ridges.

    With Z = u diag(s), M the mean of a block's other rows (0 without a bias) and Q diag(l) Q^T the
    eigendecomposition of their scatter about it, a fit on them predicts
    y_mean + (Z_B - M) Q diag(1 / (l + ridge)) Q^T (Z - M)^T (y - y_mean). Squaring the singular values costs
    digits that only matter far below the least ridge of the grid.
    """
    n, rows_of = len(u), np.array_split(np.arange(len(u)), min(num_blocks, len(u)))
    z = u * s
    grams = np.stack([z[rows].T @ z[rows] for rows in rows_of])
    totals = np.zeros(len(ridges))
    for number, rows in enumerate(rows_of):
        others = np.delete(np.arange(n), rows)
        mean, y_mean = np.zeros(len(s)), np.zeros(targets.shape[1])
        if bias:
            mean, y_mean = z[others].mean(axis=0), targets[others].mean(axis=0)
        scatter = np.delete(grams, number, axis=0).sum(axis=0) - len(others) * np.outer(mean, mean)
        values, vectors = np.linalg.eigh(scatter)
        values = np.maximum(values, 0.0)
        drive = vectors.T @ ((z[others] - mean).T @ (targets[others] - y_mean))
        turned = (z[rows] - mean) @ vectors
        for index, ridge in enumerate(ridges):
            errors = targets[rows] - y_mean - turned @ (drive / (values + ridge)[:, np.newaxis])
            totals[index] += np.linalg.norm(errors.reshape(len(rows), -1, 2), axis=-1).sum()
    return totals / (targets.size / 2)


def _diagonals(values: np.ndarray) -> np.ndarray:
    """`[R, r]` -> `[R, r, r]`, diagonal matrices."""
    return values[..., np.newaxis] * np.eye(values.shape[-1])


def check_labelled(never: np.ndarray, count: int, allow_missing: bool) -> None:
    """Raises ValueError if a landmark is never labelled, `never [A]`, unless that is allowed."""
    if never.any() and not allow_missing:
        raise ValueError(
            f"Landmark {np.flatnonzero(never)[0]} has no label in any of the {count} rows."
        )


def check(x: np.ndarray, y: np.ndarray, ridge: float | str) -> None:
    """Raises ValueError if features `x`, labels `y` or `ridge` are not what `fit_linear` takes."""
    if x.ndim != 2 or y.ndim != 3 or y.shape[2] != 2 or len(x) != len(y):
        raise ValueError(f"x {x.shape} and y {y.shape} must be [N, F] and [N, A, 2].")
    if not np.isfinite(x).all():
        raise ValueError(f"Row {np.argwhere(~np.isfinite(x))[0][0]} of the features is not finite.")
    if np.isinf(y).any():
        raise ValueError(f"Row {np.argwhere(np.isinf(y))[0][0]} of the labels is infinite.")
    if ridge != "auto" and not (isinstance(ridge, int | float) and 0 <= ridge < np.inf):
        raise ValueError(f"ridge={ridge!r} must be 'auto' or a number from 0 up.")
