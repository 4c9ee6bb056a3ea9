"""Ridge regression from whole feature maps, in the dual form: images are far fewer than features.

Maps are averaged to a few cells, flattened, and each level is scaled to the same total variance. All that a
ridge then needs is how images resemble each other, `[N, N]`: it predicts from the rows' coordinates along
their principal directions, of which there are fewer than images, exactly as it would from all features.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tf_landmarks.evaluation import regression
from tf_landmarks.layers import heads, ridge_head
from tf_landmarks.layers.levels import Levels

CELLS = 8
_COLUMNS = 16_384  # features held in float64 at a time


def pool(levels: Levels, cells: int = CELLS) -> dict[str, np.ndarray]:
    """Averages each level to at most `cells` a side: `[B, h, w, D]` -> `[B, F]` float32, by name.

    For 1 036 images and a hypercolumn of 3 840 channels this is 430 MB instead of 1.1 GB.
    """
    pooled = {}
    for name, level in levels.items():
        pooled[name] = ridge_head.pooled(level, cells).numpy()
    return pooled


def principal_coordinates(
    train: Mapping[str, np.ndarray], test: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of rows along the principal directions of the training rows.

    With X the centred training rows of all levels (each divided by its total standard deviation) and X = U S V^T,
    returns X V and X_test V, from X X^T and X_test X^T alone. Predictions of a ridge on some of the rows are the
    same from these as from X. Directions whose singular value is below a millionth of the largest one are dropped:
    the squares in X X^T hold no digit of them.

    Args:
        train: `[N, F]` float by level.
        test: `[M, F]` float by level.

    Returns:
        `[N, r]` and `[M, r]` float64, r < N.

    Raises:
        ValueError: If there are no levels, or features are not finite.
    """
    if not train:
        raise ValueError("there are no levels to regress from")
    count = len(next(iter(train.values())))
    gram = np.zeros([count, count])
    cross = np.zeros([len(next(iter(test.values()))), count])
    for name in train:
        level_gram, level_cross, squares = _products(train[name], test[name])
        if not (np.isfinite(level_gram).all() and np.isfinite(level_cross).all()):
            raise ValueError(f"features of level {name} are not finite")
        variance = np.trace(level_gram)
        if variance > 1e-20 * squares:  # else it is the rounding of the mean of a constant
            gram += level_gram / variance
            cross += level_cross / variance
    values, vectors = np.linalg.eigh(gram)
    kept = values > 1e-12 * max(values[-1], 0.0)
    if not kept.any():  # all images are alike; a feature that never varies says so
        return np.zeros([count, 1]), np.zeros([len(cross), 1])
    s, u = np.sqrt(values[kept][::-1]), vectors[:, kept][:, ::-1]
    return u * s, cross @ u / s


def ridge_on_features(
    train: Mapping[str, np.ndarray], points: np.ndarray, test: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Fits a ridge with a bias from pooled features to points, its strength chosen by blocks of rows left out.

    Args:
        train: `[N, F]` by level, see `pool`; rows in the order of the files' names.
        points: `[N, A, 2]`, NaN where missing.
        test: `[M, F]` by level.

    Returns:
        `[M, A, 2]`, in the coordinates of `points`.

    Raises:
        ValueError: See `principal_coordinates` and `regression.fit_linear`.
    """
    x, x_test = principal_coordinates(train, test)
    return regression.fit_linear(x, points, bias=True, ridge="auto").predict(x_test)


def fit_head(
    levels: Mapping[str, np.ndarray],
    channels: Mapping[str, int],
    points: np.ndarray,
    names: Sequence[str],
) -> heads.RidgeHead:
    """The same ridge as a head, whose maps act on the features themselves.

    Args:
        levels: `[N, F]` by level, see `pool`; rows in the order of the files' names.
        channels: D of each level.
        points: `[N, A, 2]` (y, x) in the corner convention, NaN where missing; each landmark somewhere.
        names: Of the A landmarks.

    Raises:
        ValueError: See `ridge_on_features`.
    """
    x, _ = principal_coordinates(levels, {name: rows[:1] for name, rows in levels.items()})
    fitted = regression.fit_linear(x, points, bias=True, ridge="auto")
    # With X = U S V^T and x = U S, weights w of x are weights V w = X^T (x / S^2) w of X.
    squares = np.maximum(np.sum(x**2, axis=0), np.finfo(np.float64).tiny)
    dual = (x / squares) @ fitted.weights.reshape(x.shape[1], -1)  # [N, 2 A]
    sides = {n: round((v.shape[1] / channels[n]) ** 0.5) for n, v in levels.items()}
    head = heads.RidgeHead(names, {name: channels[name] for name in levels}, sides)
    intercept = fitted.intercept.ravel()
    for name, rows in levels.items():
        mean = rows.mean(axis=0, dtype=np.float64)
        maps = np.zeros([rows.shape[1], dual.shape[1]])
        variance = 0.0
        for start in range(0, rows.shape[1], _COLUMNS):
            part = slice(start, start + _COLUMNS)
            centred = rows[:, part] - mean[part]
            variance += np.sum(centred**2)
            maps[part] = centred.T @ dual
        maps /= max(variance, np.finfo(np.float64).tiny)
        intercept = intercept - mean @ maps
        head.weights[f"maps/{name}"].assign(maps)
    head.weights["intercept"].assign(intercept)
    return head


def _products(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """X X^T and X_test X^T of rows centred by the training rows' mean, in float64, and |X|^2 before centring."""
    gram = np.zeros([len(train), len(train)])
    cross = np.zeros([len(test), len(train)])
    squares = 0.0
    for start in range(0, train.shape[1], _COLUMNS):
        x, z = (rows[:, start : start + _COLUMNS].astype(np.float64) for rows in (train, test))
        squares += np.sum(x**2)
        mean = x.mean(axis=0)
        x -= mean
        gram += x @ x.T
        cross += (z - mean) @ x.T
    return gram, cross, squares
