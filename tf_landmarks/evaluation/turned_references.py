"""References turned about their object: descriptors that know a place only as it lies in them find it turned so."""

import dataclasses

import cv2
import numpy as np

from tf_landmarks import coordinates
from tf_landmarks.evaluation.references import References

#: As a share of the picture, how far inside turned points are.
MARGIN = 0.05


def directions(turns: int) -> np.ndarray:
    """The `[turns]` degrees by which something is turned to be looked for in so many directions, the first of which is 0."""
    return 360.0 / turns * np.arange(turns)


def turned(references: References, degrees: float) -> References:
    """References that all lie as the first one does when it is turned.

    Args:
        references: Each is turned about the mean of its points, and shifted where some would leave the picture.
        degrees: Counterclockwise.

    Returns:
        The same with other images, beyond whose border the edge continues, and `points` there.
    """
    images, points = _all_turned(references.images, references.points, degrees)
    return dataclasses.replace(references, images=images, points=points)


def turned_inputs(
    inputs: np.ndarray, points: np.ndarray, degrees: float
) -> tuple[np.ndarray, np.ndarray]:
    """The same of what a network sees, `[N, S, S, 3]` uint8, and `[N, A, 2]` (y, x) in the corner convention."""
    size = inputs.shape[1:3]
    pixels = coordinates.swap_xy(coordinates.pixels_from_corner(points, size))
    images, pixels = _all_turned(list(inputs), pixels, degrees)
    corner = coordinates.corner_from_pixels(coordinates.swap_xy(pixels), size)
    return np.stack(images), np.asarray(corner, np.float32)


def _all_turned(
    images: list[np.ndarray], points: np.ndarray, degrees: float
) -> tuple[list[np.ndarray], np.ndarray]:
    pairs = [
        _turned(image, each, degrees + own)
        for image, each, own in zip(images, points, angles(points), strict=True)
    ]
    return [image for image, _ in pairs], np.stack([each for _, each in pairs])


def angles(points: np.ndarray) -> np.ndarray:
    """By how much each object has to be turned, counterclockwise, to lie as the first one does.

    It is the angle of the similarity that fits the points of both best (least squares).

    Args:
        points: `[R, K, 2]` (x, y) pixels, y down, NaN where missing.

    Returns:
        `[R]` degrees; 0 where fewer than two points are known of both.
    """
    places = points[..., 0] + 1j * points[..., 1]
    found = []
    for other in places:
        both = np.isfinite(places[0]) & np.isfinite(other)
        first, second = (
            x[both] - x[both].mean() if both.any() else x[both] for x in (places[0], other)
        )
        found.append(np.degrees(np.angle(np.vdot(first, second))) if both.sum() > 1 else 0.0)
    return np.array(found)


def _turned(image: np.ndarray, points: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    if not degrees % 360.0 or np.isnan(points).any(axis=-1).all():
        return image, points
    matrix = cv2.getRotationMatrix2D(np.nanmean(points, axis=0), degrees, 1.0)
    height, width = image.shape[:2]
    matrix[:, 2] += _shift(points @ matrix[:, :2].T + matrix[:, 2], np.array([width, height]))
    image = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    points = points @ matrix[:, :2].T + matrix[:, 2]
    shown = ((points >= -0.5) & (points <= np.array([width, height]) - 0.5)).all(axis=-1)
    return image, np.where(shown[:, np.newaxis], points, np.nan)


def _shift(points: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The least shift `[2]` that brings points `[K, 2]` well into a picture; into its middle, if they span more."""
    least, most = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    low, high = MARGIN * size - least, (1 - MARGIN) * size - 1 - most
    return np.where(low <= high, np.clip(0.0, low, high), (low + high) / 2)
