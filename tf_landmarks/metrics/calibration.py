"""What a confidence is worth: whether points that a model is surer of are nearer to where they should be."""

import dataclasses
import itertools

import numpy as np
from scipy import optimize, stats

BINS = 10


@dataclasses.dataclass(frozen=True)
class Curve:
    """Confidence as a probability: a line through knots that never falls, level beyond them.

    Attributes:
        confidence: `[M]` rising.
        probability: `[M]` in (0, 1).
    """

    confidence: tuple[float, ...]
    probability: tuple[float, ...]

    def __call__(self, confidence: np.ndarray) -> np.ndarray:
        """Returns probabilities of the same shape."""
        return np.interp(confidence, self.confidence, self.probability)


def fit_curve(confidence: np.ndarray, right: np.ndarray) -> Curve:
    """Fits the probability of being right by isotonic regression (Zadrozny and Elkan 2002).

    A level of the step function that results becomes a knot. Levels of few points would say 0 or 1 for sure; each is taken
    with a right and a wrong point more (Laplace's rule of succession).

    Args:
        confidence: `[n]`, at least one.
        right: `[n]` bool.
    """
    values, place, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    hits = np.bincount(place, right)
    blocks = optimize.isotonic_regression(hits / counts, weights=counts).blocks
    parts = list(itertools.pairwise(blocks))
    number, hits = (np.array([c[a:b].sum() for a, b in parts]) for c in (counts, hits))
    middle = [float(np.average(values[a:b], weights=counts[a:b])) for a, b in parts]
    level = optimize.isotonic_regression((hits + 1) / (number + 2), weights=number).x
    return Curve(tuple(middle), tuple(level.tolist()))


def expected_calibration_error(
    confidence: np.ndarray, right: np.ndarray, bins: int = BINS
) -> float:
    """How far confidence is from the share of points that are right: the mean over bins of as many points each.

    Args:
        confidence: `[n]`, at least one.
        right: `[n]` bool.
        bins: How many; fewer where there are fewer points.
    """
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    apart = [abs(confidence[part].mean() - right[part].mean()) for part in parts]
    return float(np.average(apart, weights=[len(part) for part in parts]))


def error_by_confidence(confidence: np.ndarray, errors: np.ndarray, bins: int = BINS) -> dict:
    """Sorts points by confidence, into bins of as many points each, and takes the errors of each bin.

    Args:
        confidence: `[N, A]`, larger where the model is surer.
        errors: `[N, A]` shares of a length, NaN where nothing could be measured.
        bins: How many; fewer where there are fewer points.

    Returns:
        `bins`, from the least sure on, a dict each with `confidence` and `error_percent` (means) and `num_points`; and
        `rank_correlation` (Spearman's) of confidence and error, from -1 (it tells exactly which points are further
        off) over 0 (it says nothing) to 1; None where one of the two is the same everywhere.
    """
    known = np.isfinite(errors)
    sure, off = confidence[known].astype(float), 100 * errors[known]
    order = np.argsort(sure, kind="stable")
    parts = np.array_split(order, max(1, min(bins, len(order))))
    varies = len(sure) > 1 and np.ptp(sure) > 0 and np.ptp(off) > 0
    return {
        "bins": [
            {
                "confidence": float(sure[part].mean()),
                "error_percent": float(off[part].mean()),
                "num_points": len(part),
            }
            for part in parts
            if len(part)
        ],
        "rank_correlation": float(stats.spearmanr(sure, off).statistic) if varies else None,
    }
