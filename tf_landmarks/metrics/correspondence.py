"""Errors of matched points: where the same point of an object was found in another image.

Two columns are reported (Cheng et al. 2021, table 4; Thewlis et al. 2019, table 1): a warped image against
itself, the *same* identity, and against another object, a *different* one. Errors are pixels of a canonical
frame of 70 x 70, whatever the size of the network's input. Missing points are NaN and are not counted.
"""

from typing import NamedTuple

import numpy as np

CANONICAL_SIDE = 70  # pixels


class MatchingErrors(NamedTuple):
    """Errors of P pairs of images with A points each, NaN where a point is missing.

    Attributes:
        same: `[P, A]`, in another warp of the image that the points are from.
        different: `[P, A]`, in an image of another object.
    """

    same: np.ndarray
    different: np.ndarray

    @property
    def means(self) -> dict[str, float]:
        """The mean over all points of all pairs by column, NaN where there is none."""
        return {name: mean_error(errors) for name, errors in self._asdict().items()}


def canonical_errors(predicted, truth, side: int = CANONICAL_SIDE) -> np.ndarray:
    """Euclidean distances in the canonical frame, `p = (u + 1) / 2 * (side - 1)` (Cheng et al.).

    Args:
        predicted: `[..., 2]` in the corner convention of the network's input.
        truth: `[..., 2]`, likewise.
        side: Of the frame, pixels.

    Returns:
        `[...]` float64, pixels of the frame.
    """
    return _distances(predicted, truth) * (side - 1) / 2


def dve_errors(predicted, truth, size: int, side: int = CANONICAL_SIDE) -> np.ndarray:
    """The same as Thewlis et al.'s code computes it: pixels times `side / size`, 0.4 % apart at 96 pixels.

    Args:
        predicted: `[..., 2]` in pixels of the network's input.
        truth: `[..., 2]`, likewise.
        size: Side of the network's input, pixels.
        side: Of the frame, pixels.

    Returns:
        `[...]` float64.
    """
    return _distances(predicted, truth) * side / size


def mean_error(errors) -> float:
    """The mean of what is not NaN; NaN if nothing is left."""
    known = np.asarray(errors, np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else float("nan")


def _distances(predicted, truth) -> np.ndarray:
    """Distances of points `[..., 2]`.

    Raises:
        ValueError: If the two have different shapes, or no last axis of 2.
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or predicted.shape[-1:] != (2,):
        raise ValueError(
            f"predicted {predicted.shape} and truth {truth.shape} must both be [..., 2]."
        )
    return np.hypot(*np.moveaxis(predicted - truth, -1, 0))
