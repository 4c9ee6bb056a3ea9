"""The published test of matching (matching_protocol.py) on an export and annotated images, and what is told of it."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import matching_protocol
from tf_landmarks.evaluation.matching_protocol import MatchingProtocol
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.metrics import correspondence
from tf_landmarks.metrics.correspondence import MatchingErrors


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What the test found.

    Attributes:
        names: Of A landmarks.
        protocol: How it was measured.
        trained: Errors of P pairs.
        untrained: The same of the network before training.
    """

    names: Sequence[str]
    protocol: MatchingProtocol
    trained: MatchingErrors
    untrained: MatchingErrors

    def to_json(self) -> dict:
        """What matching.json holds: pixels of the canonical frame, None where no point was measured."""
        return {
            "matching": self.protocol.matching,
            "exact": self.protocol.exact,
            "seed": self.protocol.seed,
            "frame_side": correspondence.CANONICAL_SIDE,
            "num_pairs": len(self.trained.same),
            "num_points": {
                name: int(np.isfinite(errors).sum())
                for name, errors in self.trained._asdict().items()
            },
            **_means(self.trained, slice(None)),
            "untrained": _means(self.untrained, slice(None)),
            "per_landmark": {
                name: _means(self.trained, slice(k, k + 1)) for k, name in enumerate(self.names)
            },
        }

    def lines(self) -> list[str]:
        """The same as a table to print."""
        found = self.to_json()
        rows = {**found["per_landmark"], "all": found, "untrained": found["untrained"]}
        width = max(12, *(len(name) for name in rows))
        columns = list(MatchingErrors._fields)
        lines = [f"{'error, px':<{width}}" + "".join(f"{column:>12}" for column in columns)]
        for name, row in rows.items():
            cells = ["–" if row[c] is None else f"{row[c]:.2f}" for c in columns]
            lines.append(f"{name:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
        side = correspondence.CANONICAL_SIDE
        return [
            *lines,
            f"mean over {found['num_points']['same']} and {found['num_points']['different']} points of "
            f"{found['num_pairs']} pairs, in pixels of a frame of {side} x {side}; matched as {found['matching']}",
        ]


def measure(model: ExportedModel, images: LabelledImages, protocol: MatchingProtocol) -> Measured:
    """Measures an export, and its network before training, on pairs of consecutive images.

    Args:
        model: Yields features.
        images: In the order in which they make pairs; the two of a pair should show different objects.
        protocol: How.

    Raises:
        UserError: If the model yields landmarks, there are fewer than two images, or its levels are several and
            `matching` is "dve".
    """
    if model.yields != "features":
        raise UserError(
            f"--model={model.path} finds landmarks of its own and describes no other place; "
            "tools/evaluate.py measures these"
        )
    if len(images) < 2:
        raise UserError(f"{images.title or 'the data'}: {len(images)} labelled images make no pair")
    geometry = model.geometry
    size = (geometry.load_size,) * 2
    pixels = coordinates.swap_xy(images.to_network(geometry, images.points)) + geometry.margin
    points = coordinates.corner_from_pixels(pixels, size)
    loaded = _Loaded(images.images, geometry)
    errors = []
    for untrained in (False, True):
        represent = model.levels_function(untrained=untrained)
        _check_levels(represent, geometry, protocol)
        errors.append(
            matching_protocol.measure(represent, loaded, points, geometry.margin, protocol)
        )
    return Measured(images.names, protocol, *errors)


def in_pairs(images: LabelledImages, shuffled: bool = False, seed: int = 0) -> LabelledImages:
    """Orders images by the names of their files, as published, or at random."""
    order = np.argsort(np.array(images.paths), kind="stable")
    if shuffled:
        order = np.random.default_rng(seed).permutation(order)
    return images.select(order)


class _Loaded(Sequence):
    """Images as the geometry loads them, `[N, L, L, 3]` float32 in [0, 1], read as slices are taken."""

    def __init__(self, images: Sequence[np.ndarray], geometry: Geometry):
        self._images, self._geometry = images, geometry
        self.shape = (len(images), geometry.load_size, geometry.load_size, 3)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.stack(
            [self._geometry.load(tf.constant(image)).numpy() for image in self._images[rows]]
        )


def _check_levels(represent, geometry: Geometry, protocol: MatchingProtocol) -> None:
    levels = represent(tf.zeros([1, geometry.size, geometry.size, 3]))
    if protocol.matching == "dve" and len(levels) > 1:
        raise UserError(
            f"--matching=dve takes one level, and the model is matched by {', '.join(levels)}; take --matching=contrast"
        )


def _means(errors: MatchingErrors, points: slice) -> dict[str, float | None]:
    means = MatchingErrors(*(column[:, points] for column in errors)).means
    return {name: None if np.isnan(mean) else mean for name, mean in means.items()}
