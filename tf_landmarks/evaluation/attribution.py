"""Which discovered landmarks an annotated point is read off (FSE, figure 7)."""

import numpy as np

THRESHOLD = 0.2  # below it, a share is not drawn


def strengths(weights: np.ndarray) -> np.ndarray:
    """How much each annotated point depends on each discovered landmark.

    The mean absolute value of the 2 x 2 weights between the two, as a share of all landmarks.

    Args:
        weights: `[2K, A, 2]` of a linear map, the features (x, y) of each landmark in a row.

    Returns:
        `[A, K]`, rows that sum to 1; 0 where a point depends on nothing.
    """
    count = len(weights) // 2
    blocks = np.abs(weights.reshape(count, 2, -1, 2)).mean(axis=(1, 3)).T
    totals = blocks.sum(axis=1, keepdims=True)
    return np.divide(blocks, totals, out=np.zeros_like(blocks), where=totals > 0)


def arrows(shares: np.ndarray) -> list[tuple[int, int, float]]:
    """The shares worth drawing: (discovered landmark, annotated point, share)."""
    return [(int(k), int(a), float(shares[a, k])) for a, k in np.argwhere(shares >= THRESHOLD)]
