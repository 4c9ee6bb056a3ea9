"""Regression where left and right cannot be told apart: people seen from the front or the back (LMDIS).

An annotation and its mirror, with all left points exchanged for all right ones, are then equally good.
The error of an image is the lesser one of the two, and the map is fitted to whichever of the two it
predicts better, in turns, starting from the images that show their object from the front
(docs/lmdis.md, "Measuring").
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import regression
from tf_landmarks.metrics import landmark_errors

MAX_TURNS = 50

# Seen from the front, a person's left is on the right of the picture.
_FRONTAL_SHARE = 2.0 / 3.0


@dataclasses.dataclass(frozen=True, eq=False)
class AmbiguousFit:
    """What `fit` found.

    Attributes:
        regressor: The map.
        mirrored: `[N]` bool: for which images it was fitted to the mirrored annotation.
        errors: The sum of squares after each turn; without a ridge, which looks at more than that, it
            never grows.
    """

    regressor: regression.LinearRegressor
    mirrored: np.ndarray
    errors: list[float]


def mirror(points: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Exchanges the left and right points of `[N, A, 2]`, by (left, right) indices."""
    order = np.arange(points.shape[1])
    for left, right in pairs:
        order[[left, right]] = right, left
    return points[:, order]


def is_frontal(points: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """`[N]` bool: more than 2/3 of the left points lie to the right of their partners.

    Args:
        points: `[N, A, 2]` (x, y), NaN where missing; pairs with a missing point are not counted.
        pairs: (left, right) indices.
    """
    left, right = (points[:, list(side), 0] for side in zip(*pairs, strict=True))
    known = np.isfinite(left) & np.isfinite(right)
    front = (known & (np.nan_to_num(left) > np.nan_to_num(right))).sum(axis=1)
    return front > _FRONTAL_SHARE * np.maximum(known.sum(axis=1), 1)


def fit(
    x,
    y,
    pairs: Sequence[tuple[int, int]],
    *,
    bias: bool = False,
    ridge: float | str = 0.0,
    allow_missing: bool = False,
) -> AmbiguousFit:
    """Fits a linear map and the side of each annotation in turns, until no side changes.

    Args:
        x: `[N, F]`.
        y: `[N, A, 2]` (x, y), NaN where missing.
        pairs: (left, right) indices.
        bias: See `regression.fit_linear`.
        ridge: See there.
        allow_missing: See there. Where no image is frontal, the mirrored annotations are: few images may
            all show their object from behind.

    Raises:
        UserError: If no image is frontal and none need be missing.
        ValueError: As `fit_linear`.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if allow_missing and not is_frontal(y, pairs).any():
        y = mirror(y, pairs)
    front = is_frontal(y, pairs)
    if allow_missing and not front.any():
        front[:] = True
    if not front.any():
        raise UserError(
            "no image shows its left points on the right: the pairs may be given the wrong way round"
        )
    how = {"bias": bias, "ridge": ridge, "allow_missing": allow_missing}
    regressor = regression.fit_linear(x[front], y[front], **how)
    sides = np.stack([y, mirror(y, pairs)])
    mirrored, errors = None, []
    for _ in range(MAX_TURNS):
        predicted = regressor.predict(x)
        squares = np.nansum((sides - predicted) ** 2, axis=(2, 3))  # [2, N]
        chosen = squares[1] < squares[0]
        errors.append(float(np.where(chosen, squares[1], squares[0]).sum()))
        if mirrored is not None and (chosen == mirrored).all():
            break
        mirrored = chosen
        targets = np.where(mirrored[:, np.newaxis, np.newaxis], sides[1], sides[0])
        regressor = regression.fit_linear(x, targets, **how)
    return AmbiguousFit(regressor, mirrored, errors)


def normalized_errors(
    predicted: np.ndarray,
    annotated: np.ndarray,
    lengths,
    pairs: Sequence[tuple[int, int]],
    allow_unpredicted: bool = False,
) -> np.ndarray:
    """`[N, A]` as `landmark_errors.normalized_errors`, against the annotation or its mirror, whichever is nearer."""
    both = [
        landmark_errors.normalized_errors(
            predicted, points, lengths, allow_unpredicted=allow_unpredicted
        )
        for points in (annotated, mirror(annotated, pairs))
    ]
    means = np.array([landmark_errors.image_errors(errors) for errors in both])
    nearer = np.nan_to_num(means, nan=np.inf).argmin(axis=0)
    return np.where(nearer[:, np.newaxis] == 1, both[1], both[0])
