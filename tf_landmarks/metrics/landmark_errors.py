"""Errors and scores of predicted points against annotated ones.

Points are (x, y); any unit, as long as predictions, annotations and lengths share it and it is
the same along x and y. A missing annotation is NaN in x or y. The chain of every score is

    point_distances [N, A]  ->  divided by normalizer_lengths [N]  ->  a mean, share or area

N images, A annotated points. Scores are pooled over labelled points: an image with more labels
weighs more. Where nothing is missing this is the papers' mean over images and points.
"""

from collections.abc import Sequence

import numpy as np

# Distances computed from pixels carry rounding: 122.4 - 100 is a little more than 22.4. A point
# on the limit counts as within it, so limits are widened by this factor.
_ON_THE_LIMIT = 1 + 1e-9

Points = int | Sequence[int]


def point_distances(predicted, annotated, allow_unpredicted: bool = False) -> np.ndarray:
    """Euclidean distance of each prediction to its annotation.

    Args:
        predicted: `[N, A, 2]`.
        annotated: `[N, A, 2]`, NaN where missing.
        allow_unpredicted: Counts a NaN prediction as missing. Leaving it out of the score
            flatters it, so that by default it is an error.

    Returns:
        `[N, A]` float64 in the unit of the points, NaN where missing.

    Raises:
        ValueError: Shapes differ, or a labelled point has no finite prediction.
    """
    predicted, annotated = np.asarray(predicted, np.float64), np.asarray(annotated, np.float64)
    if predicted.shape != annotated.shape or predicted.shape[-1:] != (2,) or predicted.ndim != 3:
        raise ValueError(
            f"predicted {predicted.shape} and annotated {annotated.shape} must both be [N, A, 2]."
        )
    distances = np.hypot(*np.moveaxis(predicted - annotated, -1, 0))
    labelled = ~np.isnan(annotated).any(axis=-1)
    bad = labelled & ~np.isfinite(predicted).all(axis=-1)
    if bad.any() and not allow_unpredicted:
        image, point = np.argwhere(bad)[0]
        raise ValueError(
            f"Point {point} of image {image} is labelled but predicted as "
            f"{predicted[image, point]}; {bad.sum()} such points in all."
        )
    return np.where(labelled & ~bad, distances, np.nan)


def normalizer_lengths(annotated, normalizer, image_sizes=None) -> np.ndarray:
    """The length by which the errors of each image are divided.

    Either |p_a - p_b| between two annotated points (inter-ocular distance: the two eyes), where
    a and b may also be groups whose mean is taken (300-W pupils: means of points 36-41 and 42-47),
    or the image edge sqrt(height * width) (LMDIS on Human3.6M).

    Args:
        annotated: `[N, A, 2]`, NaN where missing.
        normalizer: `(a, b)`, landmark indices or groups of them, or `"edge"`.
        image_sizes: `[N, 2]` or `[2]` (height, width), needed for `"edge"`.

    Returns:
        `[N]` float64 in the unit of the points, NaN where a point of the pair is missing.
    """
    annotated = np.asarray(annotated, np.float64)
    if isinstance(normalizer, str):
        if normalizer != "edge" or image_sizes is None:
            raise ValueError(
                f"normalizer={normalizer!r}: give two landmark indices, or 'edge' and image_sizes."
            )
        sizes = np.broadcast_to(np.asarray(image_sizes, np.float64), (len(annotated), 2))
        return np.sqrt(sizes.prod(axis=1))
    first, second = (np.atleast_1d(group) for group in normalizer)
    ends = [annotated[:, group].mean(axis=1) for group in (first, second)]
    return np.hypot(*(ends[0] - ends[1]).T)


def box_lengths(annotated) -> np.ndarray:
    """`[N]` the longer side of the box around the labelled points of `[N, A, 2]`; 0 for one point, NaN for none."""
    annotated = np.asarray(annotated, np.float64)
    known = ~np.isnan(annotated).any(axis=-1, keepdims=True)
    low = np.where(known, annotated, np.inf).min(axis=1)
    high = np.where(known, annotated, -np.inf).max(axis=1)
    return np.where(known.any(axis=(1, 2)), (high - low).max(axis=-1), np.nan)


def labelled_images(annotated) -> np.ndarray:
    """`[N]` bool: images with at least one labelled point of `[N, A, 2]`."""
    return (~np.isnan(annotated).any(axis=-1)).any(axis=-1)


def skipped_images(annotated, lengths) -> np.ndarray:
    """`[N]` bool: labelled images whose length is zero or missing, which no score counts."""
    return labelled_images(annotated) & ~(np.asarray(lengths) > 0)


def normalized_errors(
    predicted, annotated, lengths, strict: bool = False, allow_unpredicted: bool = False
) -> np.ndarray:
    """Distances divided by the length of their image: |p' - p| / length.

    Images whose length is zero or missing are left out (NaN), as in the LMDIS release; count
    them with `skipped_images`.

    Args:
        predicted: `[N, A, 2]`.
        annotated: `[N, A, 2]`, NaN where missing.
        lengths: `[N]` or one number, see `normalizer_lengths`.
        strict: Makes an image without a usable length an error.
        allow_unpredicted: See `point_distances`.

    Returns:
        `[N, A]` float64 fractions (0.1 is a tenth of the length), NaN where missing.
    """
    distances = point_distances(predicted, annotated, allow_unpredicted)
    lengths = np.broadcast_to(np.asarray(lengths, np.float64), len(distances))
    skipped = skipped_images(annotated, lengths)
    if strict and skipped.any():
        image = np.flatnonzero(skipped)[0]
        raise ValueError(
            f"{skipped.sum()} labelled images have no usable normaliser; the first is image "
            f"{image} with length {lengths[image]}. Choose other points or the image edge."
        )
    return distances / np.where(lengths > 0, lengths, np.nan)[:, None]


def divide_by_size(points, image_sizes) -> np.ndarray:
    """x / width and y / height: the coordinates in which the LMDIS release measures its error.

    Use it on predictions and annotations before `normalizer_lengths` and `normalized_errors`. On
    square images the score is that of pixels; on others the axes weigh differently.

    Args:
        points: `[N, A, 2]` (x, y) pixels.
        image_sizes: `[N, 2]` or `[2]` (height, width).
    """
    sizes = np.asarray(image_sizes, np.float64)[..., ::-1]
    return np.asarray(points, np.float64) / (sizes if sizes.ndim == 1 else sizes[:, None])


def nme_percent(errors, axis: int | None = None):
    """Normalised mean error, 100 / (labelled points) * sum |p' - p| / length, in percent.

    A mean of ratios; papers also call it mean error or "MSE", but it is
    never squared.

    Args:
        errors: `[N, A]` of `normalized_errors`.
        axis: None pools all points; 0 gives `[A]`, one score per landmark.

    Returns:
        Percent; NaN where no point is labelled.
    """
    return 100 * _mean(errors, axis)


def bootstrap_interval(
    errors, level: float = 0.95, draws: int = 1000, seed: int = 0, groups=None
) -> tuple[float, float]:
    """Percentile bootstrap interval of `nme_percent` over the choice of test images.

    Images are resampled with replacement, all points of an image together, as they are not
    independent (Efron 1979); and all images of a group, as neighbouring frames of a video are not
    either. The interval says nothing about training noise: that takes seeds.

    Args:
        errors: `[N, A]` of `normalized_errors`; images without labels are dropped first.
        groups: `[N]` int, the group of each image; each its own if not given.
        level: Coverage, 0.95 for 95 %.
        draws: Number of resamples.
        seed: Seed of the resampling.

    Returns:
        (low, high) in percent; equal for one group, NaN for none.
    """
    errors = np.asarray(errors, np.float64)
    counts, sums = np.isfinite(errors).sum(axis=1), np.nansum(errors, axis=1)
    if groups is not None:
        _, groups = np.unique(groups, return_inverse=True)
        counts, sums = (np.bincount(groups.reshape(-1), values) for values in (counts, sums))
    sums, counts = sums[counts > 0], counts[counts > 0]
    if not len(counts):
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    scores = []
    for block in np.array_split(np.arange(draws), -(-draws * len(counts) // 2_000_000)):
        picked = rng.integers(len(counts), size=(len(block), len(counts)))
        scores.append(100 * sums[picked].sum(axis=1) / counts[picked].sum(axis=1))
    low, high = np.quantile(np.concatenate(scores), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def accuracy_at(distances, limit: float, axis: int | None = None):
    """Percent of labelled points with |p' - p| <= limit (IMM on BBC-Pose: 6 pixels).

    Args:
        distances: `[N, A]` of `point_distances`, NaN where missing.
        limit: In the unit of the distances; a point on the limit counts.
        axis: None pools all points; 0 gives `[A]`, one share per landmark.
    """
    return 100 * _mean(_within(distances, limit), axis)


def pck(distances, lengths, alpha: float = 0.1, average: str = "images"):
    """Percentage of correct keypoints: labelled points with |p' - p| <= alpha * length.

    Args:
        distances: `[N, A]` of `point_distances`, NaN where missing.
        lengths: `[N]` or one number, the L of each image; images without L > 0 are left out.
        alpha: Fraction of L, 0.1 in C3 (with L = 224 for images scaled to 224 x 224).
        average: `"images"` takes the share per image, then the mean over images (C3 and
            PF-PASCAL: per pair); `"points"` pools all points.
    """
    if average not in ("images", "points"):
        raise ValueError(f"average={average!r} is unknown; choose images or points.")
    lengths = np.broadcast_to(np.asarray(lengths, np.float64), len(distances))
    hits = _within(distances, alpha * np.where(lengths > 0, lengths, np.nan)[:, None])
    return 100 * _mean(_mean(hits, 1) if average == "images" else hits, None)


def image_errors(errors) -> np.ndarray:
    """`[N]` mean of each image's normalised errors (a fraction), NaN for images without labels."""
    return _mean(errors, 1)


def reversed_images(predicted, annotated) -> np.ndarray:
    """`[N]` bool: images in which the object looks reversed, head for tail or left for right.

    That is where the prediction lies less than half as far from the annotation turned by 180 degrees, or
    mirrored along or across its longest axis, about its centre, than from the annotation itself. With under
    three labelled points, only the turn is tried, for a mirror along their line is no other place.

    Args:
        predicted: `[N, A, 2]`.
        annotated: `[N, A, 2]`, NaN where missing.
    """
    predicted, annotated = np.asarray(predicted, np.float64), np.asarray(annotated, np.float64)
    found = np.zeros(len(annotated), bool)
    for row, (guess, truth) in enumerate(zip(predicted, annotated, strict=True)):
        known = np.isfinite(truth).all(axis=-1) & np.isfinite(guess).all(axis=-1)
        if known.sum() < 2:
            continue
        guess, truth = guess[known], truth[known]
        spread = truth - truth.mean(axis=0)
        axes = np.linalg.svd(spread, full_matrices=False)[2]  # rows, the longest first
        signs = [(-1, -1)] if len(truth) < 3 else [(-1, -1), (-1, 1), (1, -1)]
        turned = [truth.mean(axis=0) + (spread @ axes.T * np.array(s)) @ axes for s in signs]
        distances = [np.hypot(*(guess - points).T).mean() for points in (truth, *turned)]
        found[row] = min(distances[1:]) < 0.5 * distances[0]
    return found


def cumulative_errors(per_image, limits) -> np.ndarray:
    """Cumulative error distribution CED(l): share in [0, 1] of images with an error <= l.

    Args:
        per_image: `[N]` of `image_errors`.
        limits: `[T]`, fractions.
    """
    return np.array([_mean(_within(per_image, limit), None) for limit in np.atleast_1d(limits)])


def error_auc(per_image, threshold: float = 0.08) -> float:
    """Area under the CED up to the threshold, in [0, 1]; 1 is perfect.

    AUC = (1/t) * integral of CED over [0, t] = mean(max(0, t - e)) / t, exact, without bins. None
    of the five papers uses it; users of 300-W expect it at t = 0.08.
    """
    return float(_mean(np.maximum(threshold - np.asarray(per_image), 0), None) / threshold)


def failure_rate(per_image, threshold: float = 0.08) -> float:
    """Share in [0, 1] of images whose error is above the threshold; 0 is perfect."""
    return float(1 - cumulative_errors(per_image, threshold)[0])


def _within(distances, limits) -> np.ndarray:
    """1.0 or 0.0, and NaN where the distance or its limit is missing."""
    distances, limits = np.broadcast_arrays(np.asarray(distances, np.float64), limits)
    hits = (distances <= limits * _ON_THE_LIMIT).astype(np.float64)
    return np.where(np.isnan(distances) | np.isnan(limits), np.nan, hits)


def _mean(values, axis: int | None):
    """`np.nanmean`, silently NaN where there is nothing."""
    values = np.asarray(values, np.float64)
    counts = np.isfinite(values).sum(axis=axis)
    mean = np.nansum(values, axis=axis) / np.where(counts > 0, counts, np.nan)
    return float(mean) if axis is None else mean
