"""Which of many to look at, where all are too many."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

_Thing = TypeVar("_Thing")


def evenly(count: int, most: int) -> np.ndarray:
    """`[min(count, most)]` different numbers below `count`, in order and evenly spread, the first and the last among them."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(int)


def some(things: Sequence[_Thing], most: int) -> list[_Thing]:
    """At most so many of some things, see `evenly`: neighbours are often alike."""
    return [things[index] for index in evenly(len(things), most)]
