"""Annotated points as weighted means of discovered landmarks: a map that moves with the object, from one labelled image on.

    predicted[n, a] = sum_k w[a, k] landmarks[n, k],    sum_k w[a, k] = 1    (generalised barycentric coordinates)

A linear map has 4K + 2 numbers for each annotated point, and knows nothing that labels do not tell it: of one image, only the
mean. Here they are K - 1, and whatever they are, the point moves, turns, grows and shears with the landmarks, as a part of
the object does: what the methods without labels ask of their landmarks, asked of what is read off them. Weights are

    min_w  sum_n |sum_k w_k x_nk - y_n|^2 + strength · s · sum_k d_k w_k^2,    s = sum_nk |x_nk - mean_k x_nk|^2 / K

with d_k the mean squared distance of landmark k to the point in the labelled images, divided by its mean over landmarks: near ones,
which are likelier to be of the same part, are cheaper. One strength serves all points of a set, the one with the least
error on blocks of neighbouring rows left out, as for `regression.fit_linear`.
"""

import numpy as np

from tf_landmarks.evaluation import regression

#: What strengths are chosen from: the ends are "no penalty to speak of" and "hardly anything but the penalty".
STRENGTHS = np.logspace(-5, 2, 15)
#: That of a single labelled image, of which none can be left out; a hundred times more or less is the same within a twentieth.
ALONE = 0.1
_LEAST = 1e-9  # strength where none is asked for: labels need not determine all weights
_NEAREST = 1e-2  # added to d: a landmark on the spot of the point still costs something


def fit(
    landmarks, points, strength: float | str = "auto", allow_missing: bool = False
) -> regression.LinearRegressor:
    """Fits the weights of each point to its labelled rows.

    Args:
        landmarks: `[N, K, 2]`, finite, rows in the order of the files' names; any unit and origin.
        points: `[N, A, 2]` in the same, NaN where missing.
        strength: Of the penalty; "auto" chooses.
        allow_missing: Predicts NaN for a point without any label, instead of an error.

    Returns:
        The map of `landmarks.reshape(N, 2K)` to points, its `ridge` being the strength.

    Raises:
        ValueError: Shapes do not fit, landmarks are not finite, or a point has no label.
    """
    landmarks, points = np.asarray(landmarks, np.float64), np.asarray(points, np.float64)
    regression.check(landmarks.reshape(len(landmarks), -1), points, strength)
    labelled = ~np.isnan(points).any(axis=-1)
    regression.check_labelled(~labelled.any(axis=0), len(points), allow_missing)
    if strength == "auto":
        strength = _choose(landmarks, points, labelled)
    weights = _weights(landmarks, points, labelled, np.array([strength]))[0]  # [A, K]
    maps = np.einsum("ak,ij->kiaj", weights, np.eye(2)).reshape(-1, len(weights), 2)
    never = np.isnan(weights).any(axis=1)
    intercept = np.where(never[:, np.newaxis], np.nan, np.zeros((len(weights), 2)))
    return regression.LinearRegressor(maps, intercept, np.where(never, np.nan, strength))


def _choose(landmarks: np.ndarray, points: np.ndarray, labelled: np.ndarray) -> float:
    """The strength with the least mean distance of left out rows to their predictions."""
    rows = np.arange(len(points))
    errors = []
    for block in np.array_split(rows, min(regression.NUM_BLOCKS, len(rows))):
        others = np.setdiff1d(rows, block)
        weights = _weights(landmarks[others], points[others], labelled[others], STRENGTHS)
        predicted = np.einsum("sak,nkd->snad", weights, landmarks[block])
        errors.append(np.linalg.norm(predicted - points[block], axis=-1))
    errors = np.concatenate(errors, axis=1)
    if np.isnan(errors).all():
        return ALONE
    return float(STRENGTHS[np.argmin(np.nanmean(errors, axis=(1, 2)))])


def _weights(
    landmarks: np.ndarray, points: np.ndarray, labelled: np.ndarray, strengths: np.ndarray
) -> np.ndarray:
    """`[S, A, K]` by strength; NaN where a point has no label in these rows."""
    count = landmarks.shape[1]
    weights = np.full((len(strengths), points.shape[1], count), np.nan)
    for number, rows in enumerate(labelled.T):
        if rows.any():
            weights[:, number] = _solve(landmarks[rows], points[rows, number], strengths)
    return weights


def _solve(landmarks: np.ndarray, points: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """`[S, K]` of one point, `[n, 2]`, by the equations of the minimum with a multiplier for the sum."""
    count = landmarks.shape[1]
    centres = landmarks.mean(axis=1, keepdims=True)
    around = (landmarks - centres).swapaxes(1, 2).reshape(-1, count)  # [2n, K]: weights sum to 1
    distances = np.mean(np.sum((landmarks - points[:, np.newaxis]) ** 2, axis=-1), axis=0)
    costs = distances / max(distances.mean(), np.finfo(np.float64).tiny) + _NEAREST
    # Landmarks on one spot determine nothing: then the penalty alone must.
    scale = max(np.sum(around**2) / count, 1e-12 * np.sum(centres**2), np.finfo(np.float64).tiny)
    system = np.ones((len(strengths), count + 1, count + 1))
    system[:, :count, :count] = around.T @ around
    system[:, range(count), range(count)] += np.outer(np.maximum(strengths, _LEAST), scale * costs)
    system[:, count, count] = 0.0
    # All in units of the scale, or the row of the sum would be of another size than the rest.
    system[:, :count, :count] /= scale
    wanted = np.append(around.T @ (points - centres[:, 0]).ravel() / scale, 1.0)
    return np.linalg.solve(system, wanted[np.newaxis, :, np.newaxis])[:, :count, 0]
