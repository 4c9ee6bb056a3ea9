"""What predictions of a set of images are measured against."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.labelled import LabelledImages
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation.protocol_kinds import Protocol
from tf_landmarks.metrics import landmark_errors


@dataclasses.dataclass(frozen=True, eq=False)
class Yardstick:
    """What predictions are measured against.

    Attributes:
        protocol: Says what an error is.
        points: `[M, A, 2]` annotated, NaN where missing.
        lengths: `[M]` by which each image's errors are divided, in the unit of the points.
    """

    protocol: Protocol
    points: np.ndarray
    lengths: np.ndarray

    @property
    def num_points(self) -> int:
        """How many points can be measured."""
        usable = ~self._skipped[:, np.newaxis]
        return int((usable & ~np.isnan(self.points).any(axis=-1)).sum())

    @property
    def num_skipped(self) -> int:
        """How many labelled images have no length to divide by."""
        return int(self._skipped.sum())

    def errors(self, predicted: np.ndarray, few: bool = False) -> np.ndarray:
        """Errors `[M, A]` of predictions `[M, A, 2]`, see `Protocol.errors`."""
        return self.protocol.errors(predicted, self.points, self.lengths, few)

    def errors_of_shape(self, shape: np.ndarray) -> np.ndarray:
        """Errors `[M, A]` where the same points `[A, 2]` are predicted in every image."""
        return self.errors(np.tile(shape, (len(self.points), 1, 1)))

    @property
    def _skipped(self) -> np.ndarray:
        return landmark_errors.skipped_images(self.points, self.lengths)


def make_yardstick(
    geometry: Geometry, test: LabelledImages, normalizer: str, protocol: Protocol
) -> Yardstick:
    """What errors on test images are, in pixels of an input of this geometry.

    Args:
        geometry: The model's, or that of what stands in for one.
        test: The images measured on.
        normalizer: See `normalizer_lengths`.
        protocol: Says what an error is.

    Raises:
        UserError: As `normalizer_lengths`.
    """
    points = test.to_network(geometry, test.points)
    return Yardstick(
        protocol, points, normalizer_lengths(points, normalizer, test.names, geometry.size)
    )


def normalizer_lengths(
    truth: np.ndarray, normalizer: str, names: Sequence[str], size: int
) -> np.ndarray:
    """The length by which each image's errors are divided, `[N]`, in pixels of the network's input.

    Args:
        truth: `[N, A, 2]` in those pixels.
        normalizer: "edge", the input's side; "box", the longer side of what the labelled points span; or two names with a
            comma, of which `a+b+c` is the mean of some points.
        names: Of the A landmarks.
        size: Side of the network's input.

    Raises:
        UserError: If it is none of these, or no image has both points, or two for a box.
    """
    if normalizer == "edge":
        return np.full(len(truth), float(size))
    if normalizer == "box":
        lengths = landmark_errors.box_lengths(truth)
        if not (lengths > 0).any():
            raise UserError(
                "--normalizer=box: no test image labels two points apart; take edge, or label more"
            )
        return lengths
    pair = [[n.strip() for n in group.split("+")] for group in normalizer.split(",")]
    unknown = [name for group in pair for name in group if name not in names]
    if unknown or len(pair) != 2 or set(pair[0]) == set(pair[1]):
        raise UserError(
            f"--normalizer={normalizer} must be edge, box, or two of the landmarks with a comma: "
            f"{', '.join(names)}; a + b stands for the point between a and b"
        )
    indices = tuple([names.index(name) for name in group] for group in pair)
    lengths = landmark_errors.normalizer_lengths(truth, indices)
    if not (lengths > 0).any():
        raise UserError(
            f"--normalizer={normalizer}: no test image labels both points, at a distance; "
            "take two others, or edge"
        )
    return lengths
