"""The health of landmarks in words: what is wrong with which points, and what to do about it.

The measures are those of unsupervised.py; each warning names the points and a remedy, that of the method
where it states one.
"""

from collections.abc import Sequence

import numpy as np

from tf_landmarks.methods.base import OwnHealth, Remedies
from tf_landmarks.metrics import unsupervised

# The squared error with other points, or another source, over that with the own ones.
UNUSED_RATIO = 1.2
UNUSED_COLOR = 0.1
#: Points that span less than this share of the input's side are of a small object.
SMALL_SHARE = 0.2
#: What is done about one.
CUT_OUT = (
    "an object that fills a small part of the picture is cut out first: --crop=auto finds what moves, --boxes=CSV takes a "
    "table"
)


def to_json(
    health: unsupervised.Health, remedies: Remedies | None = None, own: OwnHealth | None = None
) -> dict:
    """Returns the measures with the warnings that follow from them, as metrics.json holds them.

    Args:
        health: What was measured.
        remedies: What the method has to offer.
        own: What the method finds wrong with itself: numbers go to `own`, its warnings behind the others.
    """
    own = own or OwnHealth({}, [])
    values = health.to_dict()
    points = values.pop("points")  # the long table goes last
    numbers = {name: unsupervised.plain(value) for name, value in own.values.items()}
    said = [*warnings(health, remedies), *own.warnings]
    return {**values, "own": numbers, "warnings": said, "points": points}


def warnings(health: unsupervised.Health, remedies: Remedies | None = None) -> list[str]:
    """Says what is wrong, naming the points, and what to do about it; nothing of healthy landmarks.

    Args:
        health: What was measured.
        remedies: What the method has to offer.
    """
    remedies = remedies or Remedies()
    if health.collapsed:
        return [_collapse(health, remedies)]
    elsewhere = health.astray & ~health.on_border & ~health.on_background
    found = [
        (
            health.still,
            f"no motion over the images (spread below {unsupervised.STILL_PERCENT:g} % of the input), "
            "and none with a warped image. What stands still carries nothing: train longer, or with fewer points "
            "(--num_landmarks)",
        ),
        (
            health.on_border,
            "on the border of the input in most images. What is cut off there depends on the frame and "
            "not on the object: "
            + _or(remedies.border, "show more around the object (a larger --crop_fraction)"),
        ),
        (
            health.on_background,
            "where there is little to see, and lost in a warped image: background, or a surface "
            "without a mark. Not to be relied on; take fewer points (--num_landmarks) or show less "
            "around the object (--crop=auto cuts out what moves, a smaller --crop_fraction the middle)",
        ),
        (
            elsewhere,
            f"lost in a warped image, {100 * unsupervised.ASTRAY_LAG:.0f} % of its shift or more off: "
            "they stay, or jump from place to place. Not to be relied on; "
            + _or("train longer", remedies.warps),
        ),
    ]
    lines = [f"{_points(chosen)}: {words}" for chosen, words in found if chosen.any()]
    if health.duplicates:
        groups = "; ".join(_points(group) for group in health.duplicates)
        lines.append(
            f"{groups}: one point several times (correlation above {unsupervised.SAME_CORRELATION}, "
            "less than a cell apart). Points part late: train longer first; if they stay together, take fewer "
            "points (--num_landmarks), which costs nothing, or a larger --image_size"
        )
    return lines + _generator_warnings(health, remedies)


def of_small_object(points: np.ndarray, size: int) -> str:
    """Says that annotated points lie too close together for a network to tell them apart; "" where they do not.

    Args:
        points: `[N, A, 2]` in pixels of the network's input, NaN where missing.
        size: Side of that, pixels.
    """
    known = points[np.isfinite(points).all(axis=-1).sum(axis=-1) >= 2]
    if not len(known):
        return ""
    span = float(np.median(np.nanmax(np.nanmax(known, axis=1) - np.nanmin(known, axis=1), axis=-1)))
    if span >= SMALL_SHARE * size:
        return ""
    return (
        f"the labelled points of an image span {span:.0f} of the {size} pixels that the network sees, too few to tell "
        f"them apart: {CUT_OUT}"
    )


def _collapse(health: unsupervised.Health, remedies: Remedies) -> str:
    everyone = _points(np.ones_like(health.still))
    if health.still.all():
        spot = "on one spot, " if health.all_alike else ""
        return (
            f"all points are dead: {everyone}: {spot}motionless whatever the image shows. After a few hundred "
            "steps they may only be late: train longer. Later than that the bottleneck has collapsed, and more "
            f"steps alone will hardly wake it: train anew {remedies.dead or 'with a higher learning rate'}"
        )
    return (
        f"all points are alike: {everyone}: on one spot of each image. The bottleneck has collapsed to "
        f"a single point; {CUT_OUT}. Otherwise " + _or("train longer", remedies.spread)
    )


def _generator_warnings(health: unsupervised.Health, remedies: Remedies) -> list[str]:
    lines = []
    if health.shuffle_ratio is not None and health.shuffle_ratio < UNUSED_RATIO:
        lines.append(
            "the generator hardly uses the points: with those of other images its squared error is "
            f"only {health.shuffle_ratio:.2f} times as large. "
            + _or("Train longer", remedies.warps)
        )
    ignored = health.color_follow is not None and health.color_follow < UNUSED_COLOR
    if ignored and health.swap_ratio < UNUSED_RATIO:
        lines.append(
            "the generator hardly uses its source: with the look of other images its squared error is "
            f"{health.swap_ratio:.2f} times as large, and its colours stay. So it should be where all "
            "objects look alike; where they do not, " + _or("train longer", remedies.capacity)
        )
    return lines


def _or(*remedies: str) -> str:
    return ", or ".join(remedy for remedy in remedies if remedy)


def _points(chosen: np.ndarray | Sequence[int]) -> str:
    """Points in words, by a mask or their numbers: `points 0 to 3, 7 and 12`."""
    numbers = np.flatnonzero(chosen) if isinstance(chosen, np.ndarray) else np.sort(chosen)
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    words = []
    for run in runs:
        words += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else [str(number) for number in run]
    listed = ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]
    return f"point{'s' if len(numbers) > 1 else ''} {listed}"
