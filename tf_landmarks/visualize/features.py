"""Pictures of features: where their principal components are large and small.

What each place is described by, thousands of numbers, is projected to the few directions in which places differ
most (Cheng et al. 2021, figure 6): where parts of an object are told apart they have shades of their own, the same
in every image; a network without an idea of the object shows edges or nothing.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
import scipy.sparse.linalg

from tf_landmarks.visualize import overlays

# Up to so many numbers a sample, all eigenvectors are found; of more only those wanted, which is much sooner.
_MOST_DENSE = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Principal:
    """Directions of largest variance.

    Attributes:
        origin: `[D]` what is subtracted before projecting: the mean if centred, else 0.
        axes: `[D, C]` float64 of unit length, orthogonal, the one with the largest variance first.
        variances: `[C]` mean square of the projections on each.
    """

    origin: np.ndarray
    axes: np.ndarray
    variances: np.ndarray

    def project(self, features: np.ndarray) -> np.ndarray:
        """Projects `features [..., D]`, `[..., C]` float32."""
        return ((features - self.origin) @ self.axes).astype(np.float32)


def principal(batches: Iterable[np.ndarray], count: int = 4, centred: bool = False) -> Principal:
    """Finds the eigenvectors of F^T F / n with the largest eigenvalues, F holding a sample in each row.

    F^T F is summed batch after batch: all samples are never held at once.

    Args:
        batches: `[..., D]` float each, the samples of a batch.
        count: C, at most D.
        centred: Whether the mean is subtracted first. Uncentred, as in the paper's text (its code centres), the
            first component is close to the mean.

    Returns:
        The components. An axis points so that its largest entry is positive: signs mean nothing, and pictures of
        one network after another should not turn over.

    Raises:
        ValueError: If there is no sample.
    """
    products, total, num_samples = 0.0, 0.0, 0
    for batch in batches:
        rows = np.asarray(batch, np.float32).reshape(-1, batch.shape[-1])
        products = products + (rows.T @ rows).astype(np.float64)
        total = total + rows.sum(axis=0, dtype=np.float64)
        num_samples += len(rows)
    if not num_samples:
        raise ValueError("no sample to find components of")
    mean = total / num_samples
    moments = products / num_samples
    least = 1e-6 * np.trace(moments)  # what rounding may leave of directions that no sample has
    if centred:
        moments = moments - np.outer(mean, mean)
    values, axes = _largest(moments, count)
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    variances = np.where(values > least, values, 0.0)
    origin = mean if centred else np.zeros_like(mean)
    return Principal(origin, axes * np.sign(largest), variances)


def _largest(moments: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues `[C]` of a symmetric matrix, in falling order, and their vectors `[D, C]`."""
    if len(moments) > max(_MOST_DENSE, 4 * count) and moments.any():
        start = np.random.default_rng(0).normal(size=len(moments))
        values, vectors = scipy.sparse.linalg.eigsh(moments, count, v0=start)
    else:
        values, vectors = np.linalg.eigh(moments)
    order = np.argsort(values)[::-1][:count]
    return values[order], vectors[:, order]


def grey(projection: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    """Draws each component of an image in shades of grey, from its least value there (black) to its largest.

    Args:
        projection: `[h, w, C]`.
        size: (height, width) of a picture, pixels.

    Returns:
        C pictures `[height, width, 3]` uint8; a component that is the same everywhere is black.
    """
    low, high = projection.min(axis=(0, 1)), projection.max(axis=(0, 1))
    scaled = (projection - low) / np.maximum(high - low, 1e-12)
    return [
        _cells(np.repeat(scaled[..., k, np.newaxis], 3, axis=-1), size)
        for k in range(projection.shape[-1])
    ]


def colored(projections: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    """Draws three components as red, green and blue, on one scale for all images: what is alike has one colour.

    Args:
        projections: `[N, h, w, C]`, of which the first three count; missing ones are black.
        size: (height, width) of a picture, pixels.

    Returns:
        N pictures `[height, width, 3]` uint8.
    """
    shown = projections[..., :3]
    shown = np.pad(shown, [(0, 0)] * 3 + [(0, 3 - shown.shape[-1])])
    # A few extreme places, at the border often, would leave all others one colour.
    low, high = (np.percentile(shown, share, axis=(0, 1, 2)) for share in (1, 99))
    return [_cells(image, size) for image in (shown - low) / np.maximum(high - low, 1e-12)]


def _cells(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarges `[h, w, 3]` in [0, 1] without smoothing, so that a picture shows no more than there is."""
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, values.shape[:2], strict=True))
    return overlays.to_uint8(values[rows][:, columns])
