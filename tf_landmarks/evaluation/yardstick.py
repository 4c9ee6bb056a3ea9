"""What predictions of a set of images are measured against."""

import dataclasses

import numpy as np

from tf_landmarks.evaluation.protocols import Protocol
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
