"""Which of some kinds of maps labelled images speak for: the one with less error on those that were left out of its fit."""

from collections.abc import Callable, Sequence

import numpy as np

#: The labelled images below which nothing is asked: what some say of few others is chance.
LEAST = 10
_BLOCKS = 5  # of neighbours, each left out in turn


def choose(
    kinds: Sequence[str], count: int, side: float, distances: Callable[[str, np.ndarray, np.ndarray], np.ndarray]
) -> tuple[str, str]:  # fmt: skip
    """The kind to take, and why, in words; the first one where images are too few to choose by.

    Args:
        kinds: What is chosen from.
        count: Of labelled images, whose rows are blocked in their order.
        side: Of the network's input, in the unit of distances.
        distances: Of a kind, the rows to fit it to and the rows left out: how far off points are in these, any shape, NaN where none
            is labelled.
    """
    if count < LEAST:
        return kinds[0], f"{count} labelled images are too few to choose by"
    rows, errors = np.arange(count), {kind: [] for kind in kinds}
    for block in np.array_split(rows, _BLOCKS):
        others = np.setdiff1d(rows, block)
        for kind in kinds:
            errors[kind].append(np.ravel(distances(kind, others, block)))
    means = {kind: 100 * float(np.nanmean(np.concatenate(e))) / side for kind, e in errors.items()}
    words = ", ".join(f"{kind} {mean:.2f}" for kind, mean in means.items())
    best = min(means, key=means.get)
    return best, f"error on labelled images left out, % of the side: {words}"
