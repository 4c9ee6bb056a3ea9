"""Which of many to look at, where all are too many."""

import numpy as np


def evenly(count: int, most: int) -> np.ndarray:
    """`[min(count, most)]` different numbers below `count`, in order and evenly spread, the first and the last among them."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(int)
