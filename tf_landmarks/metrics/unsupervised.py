"""The health of landmarks, without labels: do they move, follow, differ, and does the generator need them?

A bottleneck may die (all points on one spot), points may stand still, follow one another, sit on the
border or on plain background; a generator may leave its points or its source unused (Jakab et al. 2018,
and what goes wrong with their release). What is measured here needs images and two functions:

    find(images [B, S, S, 3]) -> landmarks [B, K, 2]
    render(images [B, S, S, 3], landmarks [B, K, 2]) -> images [B, S, S, 3]

Images are what the network sees, float32 in [0, 1]; landmarks are (y, x) in the corner convention. Lengths
leave this module in percent of the input's side, which is 2 units long. What follows from them, in words, is in
advice.py.
"""

import dataclasses
import math
from collections.abc import Callable

import cv2
import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import tps

Find = Callable[[np.ndarray], np.ndarray]
Render = Callable[[np.ndarray, np.ndarray], np.ndarray]

# A standard deviation of 0.02 in [-1, 1], below which a point of the IMM release is dead.
STILL_PERCENT = 1.0
# Of a warp's shift, what a point may miss: 0 follows exactly, 1 stays where it was.
STILL_LAG, ASTRAY_LAG = 0.5, 0.9
SAME_CORRELATION = 0.99
BORDER_SHARE = 0.5
# Half of an image's places have more contrast than 0.5, by definition.
PLAIN_CONTRAST = 0.6
ALIKE = 2.0

# What may be wrong with a point, the gravest first: properties of `Health`.
KINDS = ("still", "on_border", "on_background", "astray")

# Moves points by about 8 % of the input: as much as training does, so that a good detector can follow.
WARP = tps.WarpStrength(rotation=10.0, scale=0.1, translation=0.1)
WARP_DISPLACEMENT, WARP_SIDE = 0.06, 4

BATCH = 32
PERCENT = 100.0 / 2.0  # of the input's side, from coordinates


@dataclasses.dataclass(frozen=True, eq=False)
class Health:
    """What `measure` found on N images; NaN or None where it cannot be told.

    Attributes:
        num_images: N.
        spread_percent: `[K]` how far each point moves from image to image (standard deviation).
        equivariance_percent: `[K]` mean distance between where a point is and where it is found after
            a known warp.
        lag: `[K]` the same over the distance that the warp moved it: 0 for a point that follows
            exactly, 1 for one that stays, more for one that jumps.
        border_share: `[K]` share of images in which the point lies within half a cell of the border.
        contrast: `[K]` mean rank, 0 to 1, of the contrast around the point among all places of the
            image: 0.5 for points put anywhere, less on plain background.
        duplicates: Groups of points that are one and the same.
        scatter_percent: Mean distance of the points of an image from their centre.
        all_alike: Whether all points lie within a cell of each other in the mean image.
        reconstruction_percent: Root mean squared error of redrawn images, in percent of white.
        shuffle_ratio: How many times larger the squared error is with the points of other images.
        swap_ratio: How many times larger it is with the look of other images.
        color_follow: How much of a change of the source's mean colour the output shows: 0 where it
            ignores its source, 1 where it takes over its colours; None where all look alike.
    """

    num_images: int
    spread_percent: np.ndarray
    equivariance_percent: np.ndarray
    lag: np.ndarray
    border_share: np.ndarray
    contrast: np.ndarray
    duplicates: tuple[tuple[int, ...], ...]
    scatter_percent: float
    all_alike: bool
    reconstruction_percent: float | None = None
    shuffle_ratio: float | None = None
    swap_ratio: float | None = None
    color_follow: float | None = None

    @property
    def still(self) -> np.ndarray:
        """`[K]` bool: points that neither move over the images nor follow a warp: dead or parked.

        Where objects stand still, as aligned faces do, a good point moves little but follows.
        """
        return (self.spread_percent < STILL_PERCENT) & ~(self.lag < STILL_LAG)

    @property
    def astray(self) -> np.ndarray:
        """`[K]` bool: other points that follow a warp hardly better than a point that stays."""
        return ~self.still & (self.lag >= ASTRAY_LAG)

    @property
    def on_border(self) -> np.ndarray:
        """`[K]` bool: points that lie on the input's border more often than not."""
        return ~self.still & (self.border_share > BORDER_SHARE)

    @property
    def on_background(self) -> np.ndarray:
        """`[K]` bool: points astray where there is little to see; a plain part of the object holds
        its points, and they follow."""
        return self.astray & ~self.on_border & (self.contrast < PLAIN_CONTRAST)

    @property
    def num_duplicates(self) -> int:
        """How many points could go without loss."""
        return sum(len(group) - 1 for group in self.duplicates)

    @property
    def collapsed(self) -> bool:
        """Whether there is nothing to work with: all points still, or all on one spot."""
        return bool(self.still.all()) or self.all_alike

    def to_dict(self) -> dict:
        """Returns all of it as JSON knows it, with its `score`."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        names = [name for name, value in values.items() if isinstance(value, np.ndarray)]
        columns = {name: values.pop(name) for name in names}
        values["duplicates"] = [list(group) for group in self.duplicates]
        values |= {kind: np.flatnonzero(getattr(self, kind)).tolist() for kind in KINDS}
        return {
            **{name: plain(value) for name, value in values.items()},
            "collapsed": self.collapsed,
            "score": plain(score(self)),
            "points": [
                dict(zip(names, map(plain, row), strict=True))
                for row in zip(*(columns[name].tolist() for name in names), strict=True)
            ],
        }

    def scalars(self) -> dict[str, float]:
        """The few numbers to follow over a training, finite ones only."""
        values = {
            "score": score(self),
            "lag": _mean(self.lag),
            "equivariance_percent": _mean(self.equivariance_percent),
            "spread_percent": _mean(self.spread_percent),
            "still_points": int(self.still.sum()),
            "duplicate_points": self.num_duplicates,
            "reconstruction_percent": self.reconstruction_percent,
            "shuffle_ratio": self.shuffle_ratio,
            "swap_ratio": self.swap_ratio,
        }
        return {k: v for k, v in values.items() if v is not None and math.isfinite(v)}


def measure(
    images: np.ndarray, find: Find, render: Render | None = None, grid: int = 16, seed: int = 0
) -> Health:
    """Measures the health of landmarks.

    Args:
        images: `[N, S, S, 3]` float32 in [0, 1], as the network sees them; 64 or more say enough.
        find: See the module's head; called with up to `BATCH` images at a time.
        render: Likewise, where there is a generator.
        grid: Cells along a side of the heatmaps.
        seed: Of the warps and of which images are exchanged.

    Returns:
        The measures; the same for the same arguments.
    """
    images = np.asarray(images, np.float32)
    warp = draw_warp(len(images), seed)
    warped = tps.warp_images(warp, tf.constant(images), "edge").numpy()
    landmarks = _in_batches(find, images)
    errors, shifts = warp_errors(warp, landmarks, _in_batches(find, warped))
    cell = 2.0 / (grid - 1)
    from_centre = np.linalg.norm(landmarks - landmarks.mean(axis=1, keepdims=True), axis=-1)
    generator = {}
    if render is not None and len(images) > 1:
        generator = exchange_tests(images, warped, landmarks, render, seed)
    return Health(
        num_images=len(images),
        spread_percent=PERCENT * spread(landmarks),
        equivariance_percent=PERCENT * _mean(errors, 0),
        lag=_mean(errors, 0) / np.maximum(_mean(shifts, 0), 1e-12),
        border_share=border_share(landmarks, cell / 2),
        contrast=contrast_rank(images, landmarks),
        duplicates=duplicate_groups(landmarks, cell),
        scatter_percent=float(PERCENT * from_centre.mean()),
        all_alike=bool(landmarks.shape[1] > 1 and from_centre.mean(axis=0).max() < cell / 2),
        **generator,
    )


def score(health: Health) -> float:
    """One number for choosing a checkpoint without labels; lower is better, infinite for a collapse.

    The mean equivariance error times the square root of the reconstruction error, on images that are
    not trained on, over the share of points that are no duplicates. The first alone is smallest before
    much is learned, when all points follow one and the same part; the second alone goes on falling while
    few training images are learned by heart. The weights are those that chose well, by the regression
    error, over the checkpoints of runs on flies, mice and bees, where the choice is often close.
    """
    if health.collapsed:
        return math.inf
    value = _mean(health.equivariance_percent)
    if health.reconstruction_percent is not None:
        value *= math.sqrt(health.reconstruction_percent)
    num_points = len(health.spread_percent)
    return float(value * num_points / (num_points - health.num_duplicates))


def draw_warp(count: int, seed: int) -> tps.Warp:
    """Draws warps of moderate strength, one an image: similarity and spline."""
    parameters = tps.draw_displacements(WARP, WARP_DISPLACEMENT, [seed, 0], WARP_SIDE, (count,))
    return tps.Warp(tps.control_grid(WARP_SIDE), parameters)


def spread(landmarks: np.ndarray) -> np.ndarray:
    """`[K]` standard deviation over images, per axis, of `landmarks [N, K, 2]`; NaN for one image."""
    if len(landmarks) < 2:
        return np.full(landmarks.shape[1], np.nan)
    return np.sqrt(landmarks.var(axis=0).mean(axis=-1))


def warp_errors(
    warp: tps.Warp, landmarks: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far points are from where a warp should have brought them, and how far it moves them.

    A warp maps output to input: error = |warp(found) - landmark|, shift = |warp(landmark) - landmark|,
    so that a point which stays has an error equal to its shift.

    Args:
        warp: One warp an image.
        landmarks: `[N, K, 2]`, found in the images.
        found: `[N, K, 2]`, found in the warped images.

    Returns:
        Two arrays `[N, K]`, NaN where the warped image does not show the landmark.
    """
    landmarks = tf.constant(landmarks, tf.float32)
    errors = tf.norm(tps.warp_points(warp, tf.constant(found, tf.float32)) - landmarks, axis=-1)
    shifts = tf.norm(tps.warp_points(warp, landmarks) - landmarks, axis=-1)
    shown = tf.reduce_all(tf.abs(tps.inverse_points(warp, landmarks)) <= 1.0, axis=-1)
    return tuple(np.where(shown, values, np.nan) for values in (errors, shifts))


def border_share(landmarks: np.ndarray, distance: float) -> np.ndarray:
    """`[K]` share of images in which a point lies within `distance` of the input's border."""
    return (np.abs(landmarks).max(axis=-1) >= 1.0 - distance).mean(axis=0)


def contrast(image: np.ndarray) -> np.ndarray:
    """How much there is to see around each pixel of `image [S, S, 3]`, `[S, S]`; see `contrast_rank`."""
    gradient = np.stack(np.gradient(image, axis=(0, 1)))
    length = np.sqrt((gradient**2).sum(axis=(0, -1)))
    window = (2 * (len(image) // 8) + 1,) * 2
    return cv2.blur(length, window, borderType=cv2.BORDER_REPLICATE)


def contrast_rank(images: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """How much there is to see around each point.

    The contrast of a place is the mean length of the colour gradient in a window of a quarter of the
    image around it: wide enough to reach, from inside a plain object, its outline. Its rank among
    all places of the image does not depend on the image's own contrast.

    Returns:
        `[K]` mean rank in [0, 1]; 0.5 for points put anywhere.
    """
    size = images.shape[1]
    pixels = coordinates.pixels_from_corner(landmarks, (size, size))
    rows, columns = np.moveaxis(np.clip(np.rint(pixels), 0, size - 1).astype(int), -1, 0)
    ranks = np.zeros(landmarks.shape[:2])
    for image, y, x, rank in zip(images, rows, columns, ranks, strict=True):
        values = contrast(image)
        ordered = np.sort(values, axis=None)
        below, up_to = (np.searchsorted(ordered, values[y, x], side) for side in ("left", "right"))
        rank[:] = (below + up_to) / (2 * ordered.size)
    return ranks.mean(axis=0)


def duplicate_groups(landmarks: np.ndarray, cell: float) -> tuple[tuple[int, ...], ...]:
    """Groups of points that move alike, correlation > 0.99, within a cell of each other in the mean.

    Every member of a group is alike to one of them, the one with the most duplicates left. Points
    that do not move at all have no correlation and are in no group.
    """
    if len(landmarks) < 3:  # two images make any two points that move the same way correlate
        return ()
    moves = (landmarks - landmarks.mean(axis=0)).transpose(1, 0, 2).reshape(landmarks.shape[1], -1)
    lengths = np.linalg.norm(moves, axis=1, keepdims=True)
    moves = np.where(lengths > 1e-6 * moves.shape[1] ** 0.5, moves / np.maximum(lengths, 1e-12), 0)
    apart = [np.linalg.norm(landmarks - landmarks[:, k : k + 1], axis=-1).mean(axis=0)
             for k in range(landmarks.shape[1])]  # fmt: skip
    alike = (moves @ moves.T > SAME_CORRELATION) & (np.stack(apart) < cell)
    np.fill_diagonal(alike, False)
    groups = []
    while alike.any():
        first = int(alike.sum(axis=1).argmax())
        members = np.flatnonzero(alike[first])
        groups.append((first, *members.tolist()))
        alike[groups[-1], :] = alike[:, groups[-1]] = False
    return tuple(sorted(tuple(sorted(group)) for group in groups))


def exchange_tests(
    images: np.ndarray, warped: np.ndarray, landmarks: np.ndarray, render: Render, seed: int
) -> dict[str, float]:
    """Redraws each image from its warp and its points; then with points or look of another image.

    Returns:
        The fields of `Health` that are about the generator.
    """
    order = np.random.default_rng(seed).permutation(len(images))
    others = np.empty_like(order)
    others[order] = np.roll(order, 1)  # none stays with itself
    own = _in_batches(render, warped, landmarks)
    shuffled = _in_batches(render, warped, landmarks[others])
    swapped = _in_batches(render, warped[others], landmarks)
    error, with_shuffled, with_swapped = (
        float(np.mean((output - images) ** 2)) for output in (own, shuffled, swapped)
    )
    given = (warped[others] - warped).mean(axis=(1, 2))  # change of the mean colour, [N, 3]
    shown = (swapped - own).mean(axis=(1, 2))
    # A warp changes the mean colour too; looks that differ no more than that are alike.
    by_warps = (warped - images).mean(axis=(1, 2))
    differ = (given**2).mean() > max(2 * ALIKE**2 * (by_warps**2).mean(), (0.5 / 255) ** 2)
    return {
        "reconstruction_percent": 100 * math.sqrt(error),
        "shuffle_ratio": with_shuffled / max(error, 1e-12),
        "swap_ratio": with_swapped / max(error, 1e-12),
        "color_follow": float((given * shown).sum() / (given**2).sum()) if differ else None,
    }


def _in_batches(function: Callable, *arrays: np.ndarray) -> np.ndarray:
    starts = range(0, len(arrays[0]), BATCH)
    return np.concatenate(
        [np.asarray(function(*(a[i : i + BATCH] for a in arrays))) for i in starts]
    )


def _mean(values: np.ndarray, axis: int | None = None):
    """The mean of what is not NaN, NaN where nothing is."""
    values = np.asarray(values, np.float64)
    counts = np.isfinite(values).sum(axis=axis)
    return np.nansum(values, axis=axis) / np.where(counts > 0, counts, np.nan)


def plain(value):
    """A number as JSON holds it, to four places; None where it is not finite. Anything else stays as it is."""
    if isinstance(value, float | np.floating):
        return round(float(value), 4) if math.isfinite(value) else None
    return value
