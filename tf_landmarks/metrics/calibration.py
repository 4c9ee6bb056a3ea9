"""What a confidence is worth: whether points that a model is surer of are nearer to where they should be."""

import numpy as np
from scipy import stats

BINS = 10


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
