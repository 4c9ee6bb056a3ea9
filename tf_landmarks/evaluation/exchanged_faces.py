"""How right exchanged pictures are: drawn faces, of which the face of one look in the pose of another can be drawn.

Photographs have no such truth. Of a pair of drawn faces the model draws the first with the landmarks of the second, and
what it should have drawn is known.
"""

from typing import NamedTuple

import numpy as np

from tf_landmarks.data import synthetic_faces
from tf_landmarks.errors import UserError
from tf_landmarks.inference.exported import ExportedModel

_SEED = 1_000_003  # of faces that no command trains on


class ExchangeErrors(NamedTuple):
    """Root mean squared errors over all pixels, in levels of 0 to 255, means over pairs.

    Attributes:
        exchanged: Of what the model draws of one face in the pose of the other, from the true drawing.
        look: Of the first face as it is, which has the look: what a generator that copies is off.
        pose: Of the second face as it is, which has the pose.
        redrawn: Of what the model draws of the first face in its own pose, from that face: what its drawing loses.
    """

    exchanged: float
    look: float
    pose: float
    redrawn: float

    def line(self, name: str) -> str:
        """Says them in words."""
        return (
            f"{name}: exchanged faces are {self.exchanged:.1f} levels off the true drawings (root of the mean square); unchanged, "
            f"the face of the look is {self.look:.1f} off, that of the pose {self.pose:.1f}; redrawn in its own pose, a face "
            f"is {self.redrawn:.1f} off"
        )


def measure(model: ExportedModel, num_pairs: int, seed: int = 0) -> ExchangeErrors:
    """Measures a model that draws on faces that it has not seen.

    Args:
        model: The export.
        num_pairs: Of faces, each of its own look and pose.
        seed: Of the faces.

    Raises:
        UserError: If the model does not draw.
    """
    if not model.has_generator:
        raise UserError(f"--models={model.path} does not draw: its method has no generator")
    first = 2 * num_pairs * seed + 2 * np.arange(num_pairs)  # of each pair; the second is the next
    looks, poses, truths = (
        model.to_inputs(
            [
                synthetic_faces.make_exchanged_face(_SEED, face + look, face + pose, model.geometry.size)
                for face in map(int, first)
            ]
        )
        for look, pose in ((0, 0), (1, 1), (0, 1))
    )  # fmt: skip
    return _errors(model, looks, poses, truths)


def _errors(
    model: ExportedModel, looks: np.ndarray, poses: np.ndarray, truths: np.ndarray
) -> ExchangeErrors:
    seen, of_poses = (images / np.float32(255) for images in (looks, poses))
    exchanged = 255 * model.render_inputs(seen, model.predict_inputs(of_poses))
    redrawn = 255 * model.render_inputs(seen, model.predict_inputs(seen))
    return ExchangeErrors(
        _distance(exchanged, truths),
        _distance(looks, truths),
        _distance(poses, truths),
        _distance(redrawn, looks),
    )


def _distance(images: np.ndarray, truths: np.ndarray) -> float:
    squares = (images.astype(np.float64) - truths) ** 2
    return float(np.sqrt(squares.mean(axis=(1, 2, 3))).mean())
