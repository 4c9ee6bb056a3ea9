"""The split of birds into training, validation and test images that Cheng et al. 2021 give by its counts alone.

They print how many images of each species (35 of CUB-200-2011, Passeroidea) each part holds, 1 241, 382 and 383 in
all, without the rule; the one below gives every count. It loses two images of each species.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np


class SpeciesSplit(NamedTuple):
    """Numbers of images, rising.

    Attributes:
        train: `[N]` int.
        validation: `[N]` int.
        test: `[N]` int.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_by_species(species: Sequence[Hashable], seed: int = 0) -> SpeciesSplit:
    """Splits the images of each species in a random order.

    Of its n images the first floor(0.6 n) are for training, the next is dropped, those before number floor(0.8 n) are for
    validation, the next is dropped and the rest are for tests: 36, 11 and 11 of 60 (CUB has at most 60 of a species).
    The authors' lists are not published with their seed; these are others.

    Args:
        species: Of each image, in the order of their files.
        seed: Of the orders. The order of a species does not depend on which others there are.

    Returns:
        Which images are in each part.
    """
    rows: dict[Hashable, list[int]] = {}
    for row, kind in enumerate(species):
        rows.setdefault(kind, []).append(row)
    parts: list[list[int]] = [[], [], []]
    for own in rows.values():
        order = np.random.default_rng(seed).permutation(own)
        count = len(own)
        ends = [0, 3 * count // 5, 4 * count // 5, count]
        for number, part in enumerate(parts):
            skipped = min(number, 1)  # what stands before validation and test images
            part.extend(order[ends[number] + skipped : ends[number + 1]])
    return SpeciesSplit(*(np.array(sorted(part), int) for part in parts))
