"""PCK of points that were carried from one image of a pair to the other, as counted on PF-PASCAL.

Two counts are in use, whose code is that of neighbourhood consensus (Rocco et al. 2018):

    scnet    both images are scaled to 224 x 224; right within 0.1 * 224 = 22.4 pixels of it
    pf       pixels of the images; right within 0.1 of the longer side of the box around the source's points

In both a point on the limit is right, the share is taken in each pair, and then the mean over pairs. Points are carried
from the target to the source. Annotations count pixels from 1, as MATLAB does.
"""

from typing import Literal, get_args

import numpy as np

from tf_landmarks import coordinates
from tf_landmarks.metrics import landmark_errors

Variant = Literal["scnet", "pf"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
SIDE = 224  # pixels, of "scnet"
ALPHA = 0.1


def in_frame(points, sizes, variant: Variant) -> tuple[np.ndarray, np.ndarray]:
    """Brings points to the pixels in which a variant measures.

    Args:
        points: `[P, A, 2]` (x, y) pixels of images, from 1.
        sizes: `[P, 2]` (height, width) of each.
        variant: Which.

    Returns:
        The points, and the sizes `[P, 2]` of the images there.

    Raises:
        ValueError: If the variant is unknown.
    """
    points, sizes = np.asarray(points, np.float64), np.asarray(sizes, np.float64)
    if variant not in VARIANTS:
        raise ValueError(f"variant={variant!r} is unknown; choose scnet or pf")
    if variant == "pf":
        return points, sizes
    return points * SIDE / sizes[:, np.newaxis, ::-1], np.full_like(sizes, SIDE)


def to_corner(points, sizes) -> np.ndarray:
    """`(x - 1 - (L - 1) / 2) * 2 / (L - 1)`: 1 to -1 and L to 1.

    Args:
        points: `[P, A, 2]` (x, y) pixels, from 1.
        sizes: `[P, 2]` (height, width).

    Returns:
        `[P, A, 2]` (y, x) in the corner convention.
    """
    pixels = coordinates.swap_xy(np.asarray(points, np.float64)) - 1
    return coordinates.corner_from_pixels(pixels, np.asarray(sizes)[:, np.newaxis])


def from_corner(points, sizes) -> np.ndarray:
    """Undoes `to_corner`."""
    sizes = np.asarray(sizes)[:, np.newaxis]
    pixels = coordinates.pixels_from_corner(np.asarray(points, np.float64), sizes)
    return coordinates.swap_xy(pixels + 1)


def pair_pck(carried, annotated, variant: Variant, alpha: float = ALPHA) -> float:
    """The percentage of correct keypoints.

    Args:
        carried: `[P, A, 2]` where points of the targets were found in the sources, as `in_frame`.
        annotated: `[P, A, 2]` where they are, likewise; NaN where a pair has fewer points.
        variant: Which; a pair whose box has no extent is left out of "pf".
        alpha: Share of the length.

    Returns:
        Percent, the mean over pairs; NaN without a point.
    """
    lengths = float(SIDE) if variant == "scnet" else landmark_errors.box_lengths(annotated)
    distances = landmark_errors.point_distances(carried, annotated)
    return float(landmark_errors.pck(distances, lengths, alpha))
