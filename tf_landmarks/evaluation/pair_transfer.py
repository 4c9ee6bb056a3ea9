"""Points carried from images to others of different objects: how far from where they are, and whether landmarks agree.

    error         |T(points of B) - points of A| of annotated points
    consistency   |T(landmarks of B) - landmarks of A| of the landmarks that a model finds in both

both as shares of A's length (`--normalizer`). T is what a `Carrier` carries by. Models are compared by the consistency of their
landmarks under one and the same T. A low one by `identity` alone says that landmarks hardly move with the object.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_landmarks import coordinates
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import yardstick
from tf_landmarks.evaluation.carriers import WAYS, Carrier
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.metrics import landmark_errors

#: Pairs that are matched together.
_AT_ONCE = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Transferred:
    """What was measured on P pairs.

    Attributes:
        names: Of A annotated points.
        normalizer: What errors are shares of.
        errors: `[P, A]` of annotated points, by `carriers.WAYS`; NaN where either image does not show the point.
        consistency: `[P, K]` of landmarks, likewise; None of a model that finds none.
    """

    names: Sequence[str]
    normalizer: str
    errors: dict[str, np.ndarray]
    consistency: dict[str, np.ndarray] | None

    def to_json(self) -> dict:
        """What transfer.json holds: percent of the normaliser, None where nothing was measured."""
        found = {
            "normalizer": self.normalizer,
            "num_pairs": len(self.errors["model"]),
            "num_points": int(np.isfinite(self.errors["model"]).sum()),
            "error_percent": _percent(self.errors),
            "per_landmark": {
                name: _percent(self.errors, slice(k, k + 1)) for k, name in enumerate(self.names)
            },
        }
        if self.consistency is not None:
            found["consistency_percent"] = _percent(self.consistency)
        return found

    def lines(self) -> list[str]:
        """The same as a table to print."""
        found = self.to_json()
        rows = {**found["per_landmark"], "all": found["error_percent"]}
        if self.consistency is not None:
            rows["consistency"] = found["consistency_percent"]
        width = max(12, *(len(name) for name in rows))
        lines = [f"{'error, %':<{width}}" + "".join(f"{way:>12}" for way in WAYS)]
        for name, row in rows.items():
            cells = ["–" if row[way] is None else f"{row[way]:.2f}" for way in WAYS]
            lines.append(f"{name:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
        of = "the input's side" if self.normalizer == "edge" else self.normalizer
        return [
            *lines,
            f"mean over {found['num_points']} points of {found['num_pairs']} pairs of images, of {of}",
        ]


def draw_pairs(count: int, num_pairs: int, seed: int = 0) -> np.ndarray:
    """Draws pairs of different images, each as often A as B.

    Args:
        count: Images, at least 2.
        num_pairs: P; of a multiple of `count`, each image is in as many pairs.
        seed: The pairs are a pure function of it.

    Returns:
        `[P, 2]` int, rows of A and of B.
    """
    draw = np.random.default_rng(seed)
    rounds = []
    for _ in range(-(-num_pairs // count)):
        order = draw.permutation(count)
        rounds.append(np.stack([order, np.roll(order, 1)], axis=1))
    return np.concatenate(rounds)[:num_pairs]


def measure(
    model: ExportedModel,
    carrier: Carrier,
    images: LabelledImages,
    pairs: np.ndarray,
    normalizer: str,
) -> Transferred:
    """Measures on annotated images.

    Args:
        model: Whose landmarks must agree, if it finds any.
        carrier: Carries annotated points and landmarks.
        images: Annotated.
        pairs: `[P, 2]` their rows, A and B.
        normalizer: See `yardstick.normalizer_lengths`; in pixels of the carrier's input.

    Raises:
        UserError: If the normalizer is none.
    """
    geometry = carrier.geometry
    truth = images.to_network(geometry, images.points)
    lengths = yardstick.normalizer_lengths(truth, normalizer, images.names, geometry.size)
    points = truth
    if model.yields == "landmarks":
        own = images.to_network(geometry, model.predict(images.images).landmarks)
        points = np.concatenate([truth, own], axis=1)
    points = _seen(points, geometry)
    errors = {way: [] for way in WAYS}
    for start in range(0, len(pairs), _AT_ONCE):
        rows_a, rows_b = pairs[start : start + _AT_ONCE].T
        of_a = np.where(np.isfinite(points[rows_b]), points[rows_a], np.nan)
        for way, carried in carry(carrier, images, rows_a, rows_b, points[rows_b]).items():
            errors[way].append(landmark_errors.normalized_errors(carried, of_a, lengths[rows_a]))
    joined = {way: np.concatenate(parts) for way, parts in errors.items()}
    num_points = truth.shape[1]
    return Transferred(
        images.names,
        normalizer,
        {way: values[:, :num_points] for way, values in joined.items()},
        {way: values[:, num_points:] for way, values in joined.items()}
        if model.yields == "landmarks"
        else None,
    )


def check(images: LabelledImages) -> None:
    """Refuses images that make no pair.

    Raises:
        UserError: Naming them.
    """
    if len(images) < 2:
        raise UserError(f"{images.title or 'the data'}: {len(images)} labelled images make no pair")


def carry(
    carrier: Carrier,
    images: LabelledImages,
    rows_a: np.ndarray,
    rows_b: np.ndarray,
    points: np.ndarray,
) -> dict[str, np.ndarray]:
    """Carries points of images B to images A.

    Args:
        carrier: Carries them.
        images: Holds both.
        rows_a: `[P]`.
        rows_b: `[P]`.
        points: `[P, A, 2]` (x, y) pixels of what the carrier sees of B; where NaN, what is returned is arbitrary.

    Returns:
        By way, `[P, A, 2]` of what it sees of A, likewise.
    """
    size = (carrier.geometry.size,) * 2
    start = coordinates.corner_from_pixels(coordinates.swap_xy(np.nan_to_num(points)), size)
    read = [[images.images[int(row)] for row in rows] for rows in (rows_a, rows_b)]
    carried = carrier(*read, start)
    return {
        way: coordinates.swap_xy(coordinates.pixels_from_corner(places, size))
        for way, places in carried.items()
    }


def _seen(points: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Points that the network does not see are NaN, both coordinates."""
    inside = ((points >= -0.5) & (points <= geometry.size - 0.5)).all(axis=-1, keepdims=True)
    return np.where(inside, points, np.nan)


def _percent(errors: dict[str, np.ndarray], points: slice = slice(None)) -> dict:
    means = {way: landmark_errors.nme_percent(values[:, points]) for way, values in errors.items()}
    return {way: None if np.isnan(mean) else float(mean) for way, mean in means.items()}
