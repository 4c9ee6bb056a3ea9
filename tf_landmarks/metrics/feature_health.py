"""The health of features, without labels: do they differ, follow, tell images apart, and places?

Features may collapse (the same everywhere, or of few directions), know an image and not its places, be codes of
the place in the frame that do not follow the object, or be alike at places that differ. What is measured here
needs images and one function:

    represent(images [B, S, S, 3]) -> levels, name -> [B, h, w, D]

Images are what the network sees, float32 in [0, 1]. What a place is said to look like is its descriptor, see
descriptors.py. Lengths leave this module in percent of the input's side, which is 2 units long. What follows from
the measures, in words, is in feature_advice.py.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import color, tps
from tf_landmarks.metrics import descriptors, unsupervised
from tf_landmarks.metrics.descriptors import cell_centres, describe

Represent = Callable[[np.ndarray], Mapping[str, np.ndarray]]

# Bounds of the cost: places of an image that are followed, and descriptors of which the rank is told.
NUM_PLACES = 100
NUM_RANKED = 1024
BATCH = 16

# What a view may change of an image beside the warp: brightness added, contrast multiplied.
BRIGHTNESS, CONTRAST = 0.1, 0.2
# A place is found again if it is off by no more than this, or by a cell where these are larger.
NEAR_PERCENT = 5.0
# The second-best place lies at least so far from the best; and two cells, for neighbours are alike by themselves.
APART_PERCENT, APART_CELLS = 10.0, 2.0

# Thresholds stand between what was measured on drawn faces and on photographs of faces, flies and bees (24 images of
# each) of features of no use (constant, one descriptor an image, codes of the place, white noise), before the
# semicolon, and of those of some (patches of 5 x 5 and 9 x 9 pixels, untrained networks of two to five convolutions).
COLLAPSED_SPREAD = 0.01  # 0; 0.049 and more
LOST_SHARE = 0.1  # 0.01 and less; 0.23 and more
IMAGE_ONLY_SHARE = 0.05  # 0; 0.5 and more
STAY_SHARE = 0.5  # 0; 0.9 and more
UNIQUENESS = 0.05  # 0.034 and less, but for codes of the place; 0.067 and more
FLAT_RANK = 1.5  # 0, and 1.1 of single grey pixels; 2.6 and more
# No more often than so many times by chance: views say nothing; and of few images they never do.
RETRIEVAL_CHANCES, MIN_RETRIEVAL_IMAGES = 2.0, 16

PERCENT = unsupervised.PERCENT


@dataclasses.dataclass(frozen=True)
class FeatureHealth:
    """What `measure` found on N images; NaN where it cannot be told.

    Attributes:
        num_images: N.
        num_channels: Of a descriptor, those of all levels together.
        cell_percent: Side of a cell of the common grid: a match is off by 0.38 of it where it is right.
        spread: Variance of descriptors over places and images, E|d|^2 - |E d|^2, from 0 (all the same) to 1.
        place_spread: The part of it within an image: 0 where an image has one descriptor for all of its places.
        image_spread: The part of it over images at one place: 0 where a place has one for all images.
        effective_rank: exp of the entropy of the normalised eigenvalues of the *centred* covariance of
            descriptors: in how many directions they differ (Roy and Vetterli 2007); 0 where they do not.
        retrieval: Share of images of which a view's mean descriptor is nearest to that of the other view of
            the same image, among those of all images; 1/N by chance.
        equivariance_percent: Median distance, over places in the half of an image with more contrast, between where a
            warp takes a place and the place of the warped image whose descriptor is most similar to its own.
        equivariance_mean_percent: The mean of these distances.
        shift_percent: Median distance by which these warps move these places: what features that are codes of
            the place are off by.
        stay_percent: Median distance of that most similar place from where the place was before the warp: 0 for codes
            of the place.
        found_share: Share of places that are found again within `NEAR_PERCENT`, or a cell.
        uniqueness: Median of 1 - a / b, with a and b the distances of a descriptor to the most similar one of the
            warped image and to the most similar of those that lie apart from it: 0 where the second is as good.
    """

    num_images: int
    num_channels: int
    cell_percent: float
    spread: float
    place_spread: float
    image_spread: float
    effective_rank: float
    retrieval: float
    equivariance_percent: float
    equivariance_mean_percent: float
    shift_percent: float
    stay_percent: float
    found_share: float
    uniqueness: float

    @property
    def near_percent(self) -> float:
        """How far off a place may be that counts as found again."""
        return max(NEAR_PERCENT, self.cell_percent)

    @property
    def lost(self) -> bool:
        """Whether few places are found again in a warped image, and not because they stay."""
        return self.found_share < LOST_SHARE and not self.of_frame_places

    @property
    def collapsed(self) -> bool:
        """Whether descriptors are alike everywhere; not where a large common part hides differences that do."""
        return self.spread < COLLAPSED_SPREAD and self.found_share < LOST_SHARE

    @property
    def of_images_only(self) -> bool:
        """Whether images differ and the places of each do not."""
        return self.place_spread < IMAGE_ONLY_SHARE * self.spread

    @property
    def of_frame_places(self) -> bool:
        """Whether descriptors stay where they were in the frame while a warp moves what is seen there."""
        return self.stay_percent < STAY_SHARE * self.equivariance_percent

    @property
    def repetitive(self) -> bool:
        """Whether a place's second-best match is as good as the best."""
        return self.uniqueness < UNIQUENESS

    @property
    def flat(self) -> bool:
        """Whether descriptors differ in hardly more than one direction."""
        return self.effective_rank < FLAT_RANK

    @property
    def lag(self) -> float:
        """What places miss of the warp's shift: about 0 where they follow, 1 where they stay, more where they jump."""
        return self.equivariance_percent / max(self.shift_percent, 1e-12)

    @property
    def retrieval_chance(self) -> float:
        """The share that an order by chance would find."""
        return 1.0 / self.num_images

    def to_dict(self) -> dict:
        """Returns all of it as JSON knows it, None for NaN."""
        values = dataclasses.asdict(self) | {
            "lag": self.lag,
            "near_percent": self.near_percent,
            "collapsed": self.collapsed,
            "retrieval_chance": self.retrieval_chance,
        }
        return {name: unsupervised.plain(value) for name, value in values.items()}

    def scalars(self) -> dict[str, float]:
        """The few numbers to follow over a training, finite ones only."""
        names = (
            "spread", "effective_rank", "retrieval", "equivariance_percent", "equivariance_mean_percent",
            "found_share", "uniqueness",
        )  # fmt: skip
        values = {f"feature_{name}": float(getattr(self, name)) for name in names}
        return {name: value for name, value in values.items() if math.isfinite(value)}


def measure(
    images: np.ndarray, represent: Represent, places: int = NUM_PLACES, seed: int = 0
) -> FeatureHealth:
    """Measures the health of features.

    Args:
        images: `[N, S, S, 3]` float32 in [0, 1], as the network sees them; some 64 say enough.
        represent: See the module's head; called with up to `BATCH` images at a time.
        places: How many places of each image are followed, at most.
        seed: Of the warps, the views and the places.

    Returns:
        The measures; the same for the same arguments.
    """
    images = np.asarray(images, np.float32)
    warp = unsupervised.draw_warp(len(images), seed)
    warped = _warped(warp, images)
    views = [
        _recolored(warped, seed),
        _recolored(_warped(_other_warp(len(images), seed), images), seed + 1),
    ]
    first = next(_described(images[:1], represent))
    grid, channels = first.shape[0], first.shape[-1]
    random = np.random.default_rng(seed)
    centres = cell_centres(grid, images.shape[1])
    drawn = np.stack([_draw_places(image, centres, places, random) for image in images])
    sums = _Sums(len(images), grid, channels)
    ranked, follows = [], []
    for own, other, chosen, goals in zip(
        _described(images, represent), _described(warped, represent),
        drawn, moved_places(warp, centres[drawn]), strict=True,
    ):  # fmt: skip
        own, other = own.reshape(-1, channels), other.reshape(-1, channels)
        sums.add(own)
        ranked.append(own[random.permutation(len(own))[: -(-NUM_RANKED // len(images))]])
        shown = np.flatnonzero(np.isfinite(goals).all(axis=-1))[:places]
        rows = chosen[shown]
        follows.append(_follow(own[rows], other, centres[rows], goals[shown], centres))
    errors, shifts, stays, unique = (
        np.concatenate(values) for values in zip(*follows, strict=True)
    )
    near = max(NEAR_PERCENT, 100.0 / grid)  # `near_percent`
    return FeatureHealth(
        num_images=len(images),
        num_channels=channels,
        cell_percent=100.0 / grid,
        effective_rank=effective_rank(np.concatenate(ranked)),
        retrieval=retrieval(*(_mean_descriptors(view, represent) for view in views)),
        equivariance_percent=_median(errors),
        equivariance_mean_percent=float(errors.mean()) if len(errors) else math.nan,
        shift_percent=_median(shifts),
        stay_percent=_median(stays),
        found_share=float((errors <= near).mean()) if len(errors) else math.nan,
        uniqueness=_median(unique),
        **sums.spreads(),
    )


def moved_places(warp: tps.Warp, places: np.ndarray) -> np.ndarray:
    """Where the places of images are in their warped images.

    Args:
        warp: One warp an image, N of them.
        places: `[N, P, 2]` (y, x) in the corner convention, of each image.

    Returns:
        `[N, P, 2]`, NaN where the warped image does not show the place.
    """
    places = tf.constant(places, tf.float32)
    moved = tps.inverse_points(warp, places, iterations=8)  # of warps as weak as these
    # Where there is no inverse, the search for it may end anywhere.
    missed = tf.norm(tps.warp_points(warp, moved) - places, axis=-1, keepdims=True)
    shown = tf.reduce_all(tf.abs(moved) <= 1.0, axis=-1, keepdims=True) & (missed < 1e-3)
    return np.where(shown, moved, np.nan)


def effective_rank(samples: np.ndarray) -> float:
    """exp of the entropy of the normalised eigenvalues of the centred covariance of `[n, D]`; 0 where all are alike."""
    samples = samples.astype(np.float64)
    total = (samples**2).sum()
    samples = samples - samples.mean(axis=0)
    # The smaller of the two products has all eigenvalues that are not 0.
    product = samples.T @ samples if len(samples) > samples.shape[1] else samples @ samples.T
    values = np.maximum(np.linalg.eigvalsh(product), 0.0)
    if values.sum() <= 1e-10 * total:  # what is left of a constant is rounding
        return 0.0
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def retrieval(one: np.ndarray, two: np.ndarray) -> float:
    """Share of the rows of `[N, D]` and `[N, D]` whose nearest row of the other, by cosine, is their own partner.

    Where several are equally near, the first counts: rows that are all alike have 1/N.
    """
    one, two = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (one, two))
    cosines = np.round(one.astype(np.float64) @ two.T.astype(np.float64), 9)
    hits = [(c.argmax(axis=1) == np.arange(len(c))).mean() for c in (cosines, cosines.T)]
    return float(np.mean(hits))


class _Sums:
    """Variances of descriptors of unit length, image by image, so that only sums of them are kept."""

    def __init__(self, num_images: int, grid: int, channels: int):
        self._num_images = num_images
        self._of_places = np.zeros((grid**2, channels))
        self._square = self._within = 0.0

    def add(self, cells: np.ndarray) -> None:
        """Adds the descriptors `[cells, D]` of an image."""
        self._of_places += cells
        square = float((cells.astype(np.float64) ** 2).sum(axis=1).mean())
        self._square += square
        self._within += square - float((cells.mean(axis=0, dtype=np.float64) ** 2).sum())

    def spreads(self) -> dict[str, float]:
        """The fields of `FeatureHealth`; rounding leaves a constant with a little, which is dropped."""
        square = self._square / self._num_images
        means = self._of_places / self._num_images
        values = {
            "spread": square - (means.mean(axis=0) ** 2).sum(),
            "place_spread": self._within / self._num_images,
            "image_spread": square - (means**2).sum(axis=1).mean(),
        }
        return {name: max(0.0, round(float(value), 7)) for name, value in values.items()}


def _follow(
    queries: np.ndarray,
    cells: np.ndarray,
    starts: np.ndarray,
    goals: np.ndarray,
    centres: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Looks for places of an image in its warped image.

    Args:
        queries: `[P, D]` descriptors of the places.
        cells: `[h^2, D]` descriptors of the warped image.
        starts: `[P, 2]` where the places are.
        goals: `[P, 2]` where the warp takes them.
        centres: `[h^2, 2]` where the cells are.

    Returns:
        Distances of what was found from the goals, of the starts from the goals, and of what was found from the
        starts, in percent of the side; and `FeatureHealth.uniqueness` of each place. `[P]` each.
    """
    cosines = queries @ cells.T
    best = cosines.argmax(axis=1)  # `descriptors.nearest`
    found = centres[best]
    errors = PERCENT * np.linalg.norm(found - goals, axis=-1)
    shifts = PERCENT * np.linalg.norm(starts - goals, axis=-1)
    stays = PERCENT * np.linalg.norm(found - starts, axis=-1)
    away = PERCENT * np.linalg.norm(centres[np.newaxis] - found[:, np.newaxis], axis=-1)
    grid = math.isqrt(len(centres))
    is_apart = away >= max(APART_PERCENT, APART_CELLS * 100.0 / grid) - 1e-6
    lengths = (queries**2).sum(axis=1), (cells**2).sum(axis=1)
    squared = lengths[0][:, np.newaxis] + lengths[1] - 2 * cosines
    nearest = squared[np.arange(len(best)), best]
    second = np.where(is_apart, squared, np.inf).min(axis=1, initial=np.inf)
    nearest, second = (
        np.sqrt(np.maximum(np.round(x.astype(np.float64), 6), 0)) for x in (nearest, second)
    )
    known = np.isfinite(second) & (second > 0)
    unique = np.where(known, 1 - nearest / np.where(known, second, 1.0), 0.0)
    return errors, shifts, stays, np.maximum(unique, 0.0)


def _described(images: np.ndarray, represent: Represent) -> Iterator[np.ndarray]:
    """The descriptors of one image after another, `[grid, grid, D]`."""
    for start in range(0, len(images), BATCH):
        levels = {
            name: np.asarray(level)
            for name, level in represent(images[start : start + BATCH]).items()
        }
        grid = descriptors.grid_side(levels)
        for row in range(len(next(iter(levels.values())))):
            yield describe({name: level[row : row + 1] for name, level in levels.items()}, grid)[0]


def _mean_descriptors(images: np.ndarray, represent: Represent) -> np.ndarray:
    return np.stack([cells.mean(axis=(0, 1)) for cells in _described(images, represent)])


def _draw_places(
    image: np.ndarray, centres: np.ndarray, count: int, random: np.random.Generator
) -> np.ndarray:
    """Draws cells from the half with more contrast around them: plain background can be followed by nothing.

    Nor from the rim, if there is more: a warp repeats it beyond, where the same is seen again. Twice as many as are
    wanted, if there are: some warped images show only half of what they were made of.
    """
    size = image.shape[:2]
    within = 1 - 2 / math.isqrt(len(centres))
    inner = np.flatnonzero((np.abs(centres) < within).all(axis=1))
    inner = inner if len(inner) else np.arange(len(centres))
    rows, columns = np.rint(coordinates.pixels_from_corner(centres[inner], size)).astype(int).T
    contrast = unsupervised.contrast(image)[rows, columns]
    seen = inner[np.argsort(-contrast, kind="stable")[: -(-len(inner) // 2)]]
    return random.permutation(seen)[: 2 * count]


def _other_warp(count: int, seed: int) -> tps.Warp:
    return unsupervised.draw_warp(count, seed + 1_000_003)


def _warped(warp: tps.Warp, images: np.ndarray) -> np.ndarray:
    return tps.warp_images(warp, tf.constant(images), "edge").numpy()


def _recolored(images: np.ndarray, seed: int) -> np.ndarray:
    random = np.random.default_rng([seed, len(images)])
    brightness = random.uniform(-BRIGHTNESS, BRIGHTNESS, len(images)).astype(np.float32)
    contrast = random.uniform(1 - CONTRAST, 1 + CONTRAST, len(images)).astype(np.float32)
    return color.jitter(tf.constant(images), tf.constant(brightness), tf.constant(contrast)).numpy()


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else math.nan
