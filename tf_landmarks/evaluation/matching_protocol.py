"""How well descriptors find the same points again: the matching test of Thewlis et al. 2019 and Cheng et al. 2021.

Of two consecutive images A and B, A is warped twice (A2, and A1 which is a warp of A2) and B once (B2). The
descriptor at each landmark of A1 is looked for in A2, the *same* identity, and in B2, a *different* one; no
window, no place between cells, no check. MAFL's 1000 test images in the order of their names make 500 pairs.

    contrast    levels on the grid of the network's input, mean of their cosines; error u -> (u + 1) / 2 * 69
    dve         one level at its own resolution, inner products as they are; error pixels * 70 / size

Departures: points that a view does not show are left out, which the published codes take for granted; a warp is a
function of the seed and the number of the image.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import tps
from tf_landmarks.evaluation import descriptor_matching
from tf_landmarks.evaluation.descriptor_matching import Levels
from tf_landmarks.layers import maxima
from tf_landmarks.metrics import correspondence

#: Of both warps, in the released evaluation; the extra coefficients replace the others.
STRENGTH = tps.WarpStrength(
    rotation=2.5,
    scale=0.05,
    translation=0.05,
    coefficients=0.0005,
    extra_coefficients=0.005,
)
_CONTROL_SIDE = 10
_KERNEL: tps.Kernel = "shifted"
# An inverse that is further off than this, in half the image's side, was not found.
_TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class MatchingProtocol:
    """How matching is measured.

    Attributes:
        matching: "contrast" (Cheng et al.) or "dve" (Thewlis et al.), see above.
        strength: Of each warp.
        exact: Move landmarks by the inverse of the warp; else to the pixel that shows the nearest place, as published.
        grid: Cells along each axis for "contrast"; the side of the network's input if not given.
        pairs_at_once: How many pairs are warped together.
        seed: The warps are a pure function of it.
    """

    matching: Literal["contrast", "dve"] = "contrast"
    strength: tps.WarpStrength = STRENGTH
    exact: bool = False
    grid: int | None = None
    pairs_at_once: int = 8
    seed: int = 0


def measure(
    represent: Callable[[tf.Tensor], Levels],
    images: Sequence[np.ndarray],
    points: np.ndarray,
    margin: int = 0,
    protocol: MatchingProtocol | None = None,
) -> correspondence.MatchingErrors:
    """Measures matching in pairs of consecutive images.

    Args:
        represent: Levels `[B, h, w, D]` by name of images `[B, S, S, 3]` float32 in [0, 1].
        images: `[N, L, L, 3]` float32 in [0, 1], L = S + 2 margin, an array or read as slices are taken; a last
            one without partner is left out.
        points: `[N, A, 2]` (y, x) in the corner convention of these images, NaN where missing.
        margin: Pixels cut from each side once an image is warped.
        protocol: How; as published if not given.

    Returns:
        Errors of N // 2 pairs in canonical pixels, NaN where a view does not show the point.

    Raises:
        ValueError: If `matching` is unknown, or "dve" meets several levels.
    """
    protocol = protocol or MatchingProtocol()
    if protocol.matching not in ("contrast", "dve"):
        raise ValueError(f"matching={protocol.matching!r} is unknown; choose contrast or dve")
    num_pairs = len(images) // 2
    once, twice = (
        draw_warps(protocol, count, number)
        for number, count in enumerate((2 * num_pairs, num_pairs))
    )
    run = tf.function(
        lambda *batch: _match(represent, *batch, margin=margin, protocol=protocol),
        autograph=False,
        reduce_retracing=True,
    )
    places = [np.zeros((2, 2, 0, points.shape[1], 2))]
    for start in range(0, num_pairs, protocol.pairs_at_once):
        end = min(start + protocol.pairs_at_once, num_pairs)
        rows = slice(2 * start, 2 * end)
        batch = (np.asarray(images[rows], np.float32), points[rows].astype(np.float32))
        places.append(run(*map(tf.constant, batch), once[rows], twice[start:end]).numpy())
    found, truth = np.concatenate(places, axis=2)
    size = (images.shape[1] if num_pairs else 2) - 2 * margin
    if protocol.matching == "dve":
        errors = correspondence.dve_errors(found, truth, size)
    else:
        corners = (coordinates.corner_from_pixels(place, (size, size)) for place in (found, truth))
        errors = correspondence.canonical_errors(*corners)
    return correspondence.MatchingErrors(*errors)


def draw_warps(protocol: MatchingProtocol, count: int, number: int) -> tf.Tensor:
    """Parameters `[count, N + 3, 2]` of the first (0) or the second (1) warps; see `tps.draw_coefficients`."""
    seed = tf.constant([protocol.seed, number])
    return tps.draw_coefficients(protocol.strength, seed, _CONTROL_SIDE, (count,), "replace")


def move_points(warp: tps.Warp, points: tf.Tensor, size: int, exact: bool = False) -> tf.Tensor:
    """Finds where warped images show points.

    Args:
        warp: B warps, output -> input.
        points: `[B, A, 2]` (y, x) in the corner convention, NaN where missing.
        size: Side of the images, pixels.
        exact: Invert the warp; else take the pixel that is read nearest to the point (whose centre may be up to half
            a pixel off, and which is one at the border where the point is out of sight).

    Returns:
        `[B, A, 2]`; NaN where missing, and where an exact inverse does not exist.
    """
    is_there = tf.reduce_all(tf.math.is_finite(points), axis=-1, keepdims=True)
    known = tf.where(is_there, points, 0.0)
    if exact:
        moved = tps.inverse_points(warp, known)
        error = tf.reduce_max(tf.abs(warp(moved) - known), axis=-1, keepdims=True)
        is_there &= error < _TOLERANCE
    else:
        pixels = tf.map_fn(_nearest_of, (tps.warp_grid(warp, (size, size)), known), tf.int32)
        pixels = tf.cast(tf.stack([pixels // size, pixels % size], axis=-1), tf.float32)
        moved = coordinates.corner_from_pixels(pixels, (size, size))
    return tf.where(is_there, moved, np.nan)


def _nearest_of(grid_and_points: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """Of each of `[A, 2]` points the nearest pixel of a grid `[H, W, 2]`, by its number; the first of several."""
    grid, points = grid_and_points
    squared = tf.reduce_sum((tf.reshape(grid, [-1, 2]) - points[:, tf.newaxis]) ** 2, axis=-1)
    return tf.math.top_k(-squared).indices[:, 0]


def _match(
    represent: Callable[[tf.Tensor], Levels],
    images: tf.Tensor,
    points: tf.Tensor,
    once: tf.Tensor,
    twice: tf.Tensor,
    *,
    margin: int,
    protocol: MatchingProtocol,
) -> tf.Tensor:
    """Matches 2 P images by their points and the parameters of their warps.

    Returns:
        `[2, 2, P, A, 2]` (y, x) pixels of the network's input: what was found and what is true, in the same identity
        and in the different one; NaN where the query or its counterpart is not in sight.
    """
    side = images.shape[1]
    size = side - 2 * margin
    warped, moved = _warp(images, points, once, protocol)
    again, moved_again = _warp(warped[::2], moved[::2], twice, protocol)
    views = tf.concat([again, warped[::2], warped[1::2]], axis=0)
    views = views[:, margin : margin + size, margin : margin + size]
    places = tf.concat([moved_again, moved[::2], moved[1::2]], axis=0)
    pixels = coordinates.pixels_from_corner(places, (side, side)) - margin
    is_seen = tf.reduce_all((pixels >= -0.5) & (pixels <= size - 0.5), axis=-1, keepdims=True)
    query, *truth = tf.split(tf.where(is_seen, pixels, np.nan), 3)
    levels = represent(views)
    parts = [
        dict(zip(levels, part, strict=True))
        for part in zip(*(tf.split(level, 3) for level in levels.values()), strict=True)
    ]
    start = tf.where(tf.math.is_nan(query), 0.0, query)
    if protocol.matching == "dve":
        found = [_dve_match(parts[0], start, part, size) for part in parts[1:]]
    else:
        grid = protocol.grid or size
        found = [_contrast_match(parts[0], start, part, size, grid) for part in parts[1:]]
    truth = [tf.where(tf.math.is_nan(query), np.nan, place) for place in truth]
    return tf.stack([tf.stack(found), tf.stack(truth)])


def _warp(
    images: tf.Tensor, points: tf.Tensor, parameters: tf.Tensor, protocol: MatchingProtocol
) -> tuple[tf.Tensor, tf.Tensor]:
    """Images and their points after a warp; outside of an image lies nothing."""
    warp = tps.Warp(tps.control_grid(_CONTROL_SIDE), parameters, _KERNEL)
    warped = tps.warp_images(warp, images)
    return warped, move_points(warp, points, images.shape[1], protocol.exact)


def _contrast_match(
    queries: Levels, pixels: tf.Tensor, targets: Levels, size: int, grid: int
) -> tf.Tensor:
    """Where the descriptors of the cells nearest to pixels `[P, A, 2]` are found, likewise pixels."""
    cells = tf.clip_by_value(tf.floor((pixels + 0.5) * (grid / size)), 0.0, grid - 1.0)
    descriptors = descriptor_matching.read(queries, (2.0 * cells + 1.0) / grid - 1.0)
    found = descriptor_matching.find(targets, descriptors, grid, between_cells=False).points
    return (found + 1.0) * (size / 2) - 0.5


def _dve_match(queries: Levels, pixels: tf.Tensor, targets: Levels, size: int) -> tf.Tensor:
    """The same as in Thewlis et al.'s code: cell = round(pixel / stride), pixel = stride * cell."""
    if len(queries) != 1:
        raise ValueError(f"matching=dve takes one level; these are {', '.join(queries)}")
    (source,), (target,) = queries.values(), targets.values()
    _, height, width, channels = source.shape
    stride = size / height
    cells = tf.clip_by_value(tf.round(pixels / stride), 0.0, height - 1.0)
    descriptors = tf.gather_nd(source, tf.cast(cells, tf.int32), batch_dims=1)
    flat = tf.reshape(target, [-1, height * width, channels])
    products = tf.matmul(flat, descriptors, transpose_b=True)
    maps = tf.reshape(products, [-1, height, width, tf.shape(products)[-1]])
    return stride * tf.cast(maxima.first_maximum(maps)[0], tf.float32)
