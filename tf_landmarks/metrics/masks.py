"""Masks of a foreground: how far two of them agree, and what is known without looking at an image.

Cheng et al. 2021 print the "mean IoU" of birds: with 0.00 in some rows it can only be that of the foreground, for the
background of a picture never vanishes altogether.
"""

from collections.abc import Sequence

import numpy as np


def foreground_ious(predicted: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> np.ndarray:
    """Intersection over union of the foreground, |A and B| / |A or B|, of each image.

    An image without foreground in which none is found has 1: nothing in it is wrong. One pixel found there makes it 0,
    as does a foreground of which nothing is found.

    Args:
        predicted: `[H, W]` each, foreground where not 0; sizes may differ between images.
        truth: The same.

    Returns:
        `[N]` float64 in [0, 1]; a score is their mean, in which each image weighs the same.

    Raises:
        ValueError: If two masks of an image differ in shape.
    """
    found = np.empty(len(truth))
    for row, (one, other) in enumerate(zip(predicted, truth, strict=True)):
        one, other = np.asarray(one) != 0, np.asarray(other) != 0
        if one.shape != other.shape or one.ndim != 2:
            raise ValueError(f"masks {row} are of {one.shape} and {other.shape}, not both [H, W]")
        union = np.count_nonzero(one | other)
        found[row] = np.count_nonzero(one & other) / union if union else 1.0
    return found


def mean_mask(labels: Sequence[np.ndarray], size: tuple[int, int], num_classes: int = 2):
    """The class that most of some images have at each place: what one says who has not seen an image.

    Of two classes it is the mean of the masks, foreground where that is above a half. A network that has learned
    nothing but its labels can say as much: an object's average place.

    Args:
        labels: `[H, W]` classes each, counted from 0; at least one.
        size: (height, width) that images are stretched to, pixels.
        num_classes: C.

    Returns:
        `[height, width]` int32; the first of classes that are as frequent.
    """
    counts = np.zeros([num_classes, *size], int)
    for classes in labels:
        stretched = stretch(classes, size)
        for kind in range(num_classes):
            counts[kind] += stretched == kind
    return counts.argmax(axis=0).astype(np.int32)


def stretch(classes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Brings `[H, W]` classes to another size: each pixel has the class at its centre."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, classes.shape, strict=True)
    )
    return classes[rows[:, np.newaxis], columns]
