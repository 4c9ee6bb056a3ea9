"""Which discovered landmark corresponds to which annotated point, without a regressor."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment


class Assignment(NamedTuple):
    """`landmarks [A]` int64, -1 where none is left; `distances [A]` float64, NaN there."""

    landmarks: np.ndarray
    distances: np.ndarray


def mean_distances(annotated, discovered) -> np.ndarray:
    """cost[a, k] = mean over the images that label a of |annotated_a - discovered_k|.

    Args:
        annotated: `[N, A, 2]` (x, y), NaN where missing.
        discovered: `[N, K, 2]` (x, y), same unit and frame.

    Returns:
        `[A, K]` float64, NaN for a point that no image labels.

    Raises:
        ValueError: The numbers of images differ, or a discovered point is not finite.
    """
    annotated = np.asarray(annotated, np.float64)
    discovered = np.asarray(discovered, np.float64)
    if len(annotated) != len(discovered):
        raise ValueError(f"{len(annotated)} annotated but {len(discovered)} discovered images.")
    if not np.isfinite(discovered).all():
        image, landmark = np.argwhere(~np.isfinite(discovered))[0][:2]
        raise ValueError(f"Landmark {landmark} of image {image} is not finite.")
    costs = np.full((annotated.shape[1], discovered.shape[1]), np.nan)
    for point in range(annotated.shape[1]):  # A loop, as [N, A, K, 2] is large on large sets.
        rows = ~np.isnan(annotated[:, point]).any(axis=-1)
        if rows.any():
            offsets = discovered[rows] - annotated[rows, point, None]
            costs[point] = np.hypot(offsets[..., 0], offsets[..., 1]).mean(axis=0)
    return costs


def assign(annotated, discovered) -> Assignment:
    """One-to-one matching of annotated points and discovered landmarks with the least total cost.

    The cost is `mean_distances` over the set, so that one matching holds for all images
    (IMM on BBC-Pose; docs/imm.md, "Measuring"), solved exactly (Hungarian algorithm). With fewer landmarks
    than points, the points whose matching would cost most stay without one.

    Args:
        annotated: `[N, A, 2]` (x, y), NaN where missing.
        discovered: `[N, K, 2]` (x, y), same unit and frame.

    Returns:
        For each annotated point its landmark, and their mean distance over the set.
    """
    costs = mean_distances(annotated, discovered)
    landmarks = np.full(len(costs), -1, np.int64)
    distances = np.full(len(costs), np.nan)
    labelled = np.flatnonzero(~np.isnan(costs).any(axis=1))
    rows, columns = linear_sum_assignment(costs[labelled])
    landmarks[labelled[rows]] = columns
    distances[labelled[rows]] = costs[labelled[rows], columns]
    return Assignment(landmarks, distances)
