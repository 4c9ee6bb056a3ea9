"""Semantic alignment: how many points of a target are found in its source, by the counts of PF-PASCAL (metrics/pair_pck.py)."""

import dataclasses

import numpy as np

from tf_landmarks.data import image_files
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.pf_pascal import ImagePairs
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation.carriers import WAYS, Carrier
from tf_landmarks.metrics import pair_pck

#: Pairs that are matched together.
_AT_ONCE = 4


@dataclasses.dataclass(frozen=True)
class Alignment:
    """What was measured.

    Attributes:
        num_pairs: P.
        num_points: Over all pairs.
        percent: PCK by variant and by way, see `carriers.WAYS`.
    """

    num_pairs: int
    num_points: int
    percent: dict[str, dict[str, float]]

    def to_json(self) -> dict:
        """What transfer.json holds."""
        return {
            "num_pairs": self.num_pairs,
            "num_points": self.num_points,
            "alpha": pair_pck.ALPHA,
            "pck_percent": self.percent,
        }

    def lines(self) -> list[str]:
        """The same as a table to print."""
        head = f"{f'PCK@{pair_pck.ALPHA:g}, %':<12}" + "".join(f"{way:>12}" for way in WAYS)
        rows = [
            f"{variant:<12}" + "".join(f"{found[way]:>12.1f}" for way in WAYS)
            for variant, found in self.percent.items()
        ]
        return [head, *rows, f"{self.num_points} points of {self.num_pairs} pairs"]


def measure(carrier: Carrier, pairs: ImagePairs) -> Alignment:
    """Carries the targets' points to the sources and counts what is right.

    Args:
        carrier: Of a model that sees whole images, squeezed to a square, as published (400 x 400).
        pairs: With points.

    Raises:
        UserError: If the pairs have no points, or the model sees images otherwise.
        UnreadableImageError: If an image cannot be read.
    """
    if carrier.geometry != Geometry(carrier.geometry.size, keep_aspect=False):
        raise UserError(
            "--pairs: the count on PF-PASCAL is of networks that see whole images, squeezed to a square; train with "
            "--nokeep_aspect --crop_fraction=1 and without --border"
        )
    known = np.isfinite(pairs.points_a).all(axis=-1)
    if not known.any():
        raise UserError("--pairs: the list has no points (XA, YA, XB, YB); take one for testing")
    found = {variant: {way: [] for way in WAYS} for variant in pair_pck.VARIANTS}
    truth = {variant: [] for variant in pair_pck.VARIANTS}
    for start in range(0, len(pairs), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        for variant, (carried, points) in _carry(carrier, pairs, rows).items():
            truth[variant].append(points)
            for way in WAYS:
                found[variant][way].append(carried[way])
    percent = {
        variant: {
            way: pair_pck.pair_pck(np.concatenate(parts), np.concatenate(truth[variant]), variant)
            for way, parts in by_way.items()
        }
        for variant, by_way in found.items()
    }
    return Alignment(len(pairs), int(known.sum()), percent)


def _carry(carrier: Carrier, pairs: ImagePairs, rows: slice) -> dict:
    """By variant, points by way and as annotated, in the variant's pixels of the sources."""
    images = [
        [image_files.read_image(path) for path in paths[rows]]
        for paths in (pairs.paths_a, pairs.paths_b)
    ]
    sizes_a, sizes_b = (np.array([image.shape[:2] for image in side]) for side in images)
    known = np.isfinite(pairs.points_b[rows])
    # Padding is carried along, from anywhere.
    points_b = np.where(known, pairs.points_b[rows], 1.0)
    starts = []
    for variant in pair_pck.VARIANTS:
        starts.append(pair_pck.to_corner(*pair_pck.in_frame(points_b, sizes_b, variant)))
    carried = carrier(*images, np.concatenate(starts, axis=1))
    answer = {}
    for number, variant in enumerate(pair_pck.VARIANTS):
        truth, frame = pair_pck.in_frame(pairs.points_a[rows], sizes_a, variant)
        own = slice(number * truth.shape[1], (number + 1) * truth.shape[1])
        places = {
            way: pair_pck.from_corner(points[:, own], frame) for way, points in carried.items()
        }
        answer[variant] = places, truth
    return answer
