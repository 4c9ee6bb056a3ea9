"""Points of images carried to other images by whatever a model has to match them with: a flow, or descriptors.

What is found stands beside three ways that need no method: `nearest`, the most alike features alone, without what filters
matches or looks between cells; `untrained`, the network as it was before training; and `identity`, the same place of the image.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import sampling
from tf_landmarks.errors import UserError
from tf_landmarks.evaluation import descriptor_matching
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.layers import flow as flow_

#: What `Carrier` gives, by name.
WAYS = ("model", "nearest", "untrained", "identity")


class Carrier:
    """Carries points of images B to images A.

    A flow says for each cell of B where it is in A; a point is carried to the bilinear mix of what its four cells say
    (Rocco et al. 2018). A descriptor is read at the point and looked for in A (descriptor_matching.py).

    Args:
        model: An export that matches places of images, or describes them.
        flag: What names it, for messages.

    Raises:
        UserError: If it does neither.
    """

    def __init__(self, model: ExportedModel, flag: str = "model"):
        if model.yields != "features" and not model.has_correspondence:
            raise UserError(
                f"--{flag}={model.path} finds landmarks and matches no other place of two images; take a run of a method that "
                "does, or that learns descriptors; --flow names one by which the landmarks of --model are carried"
            )
        self.geometry = model.geometry
        self._model = model
        self._match = tf.function(self._by_descriptors, autograph=False, reduce_retracing=True)

    def __call__(
        self, images_a: Sequence[np.ndarray], images_b: Sequence[np.ndarray], points: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Carries points.

        Args:
            images_a: P uint8 RGB arrays.
            images_b: P others.
            points: `[P, A, 2]` (y, x) in the corner convention of what the network sees of `images_b`, finite.

        Returns:
            `[P, A, 2]` of what it sees of `images_a`, by `WAYS`.
        """
        inputs = [self.load(images) for images in (images_a, images_b)]
        points = np.asarray(points, np.float64)
        carry = self._by_features if self._model.yields == "features" else self._by_flow
        found = carry(*inputs, tf.constant(points, tf.float32))
        return {way: np.asarray({**found, "identity": points}[way], np.float64) for way in WAYS}

    def score_maps(
        self, image_a: np.ndarray, image_b: np.ndarray, points: np.ndarray
    ) -> np.ndarray:
        """How well each place of an image matches points of another.

        Args:
            image_a: uint8 RGB.
            image_b: Likewise.
            points: `[A, 2]` of `image_b`, as for carrying.

        Returns:
            `[S, S, A]` float32 over what the network sees of `image_a`: scores of a flow, or cosines of descriptors.
        """
        pair = [self.load([image]) for image in (image_a, image_b)]
        points = tf.constant(points, tf.float32)[tf.newaxis]
        size = (self.geometry.size,) * 2
        if self._model.yields == "features":
            levels_a, levels_b = (self._model.represent_inputs(inputs) for inputs in pair)
            queries = descriptor_matching.read(levels_b, coordinates.edge_from_corner(points, size))
            grid = descriptor_matching.default_grid(levels_a)
            maps = descriptor_matching.similarity_maps(levels_a, queries, grid)
            # Cells tile the image, other than those of a flow.
            return tf.image.resize(maps, size)[0].numpy()
        scores = self._model.flow_inputs(*pair)["scores"]
        _, *of_first, height, width = scores.shape
        rows = np.reshape(scores, [1, -1, height, width]).transpose(0, 2, 3, 1)
        maps = tf.transpose(read_flow(rows, points), [0, 2, 1])
        return flow_.resample(tf.reshape(maps, [1, *of_first, -1]), size)[0].numpy()

    def load(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """What the network sees of uint8 RGB arrays, `[P, S, S, 3]` float32 in [0, 1]."""
        loaded = (self.geometry.load(tf.constant(image)) for image in images)
        return np.stack([self.geometry.centre(image).numpy() for image in loaded])

    def _by_flow(self, inputs_a: np.ndarray, inputs_b: np.ndarray, points: tf.Tensor) -> dict:
        trained, before = (
            self._model.flow_inputs(inputs_a, inputs_b, untrained) for untrained in (False, True)
        )
        flows = {
            "model": trained["first_of_second"],
            "nearest": trained["nearest_first_of_second"],
            "untrained": before["first_of_second"],
        }
        return {way: read_flow(flow, points) for way, flow in flows.items()}

    def _by_features(self, inputs_a: np.ndarray, inputs_b: np.ndarray, points: tf.Tensor) -> dict:
        trained, before = (
            [self._model.represent_inputs(inputs, untrained) for inputs in (inputs_a, inputs_b)]
            for untrained in (False, True)
        )
        model, nearest = self._match(*trained, points)
        return {
            "model": model,
            "nearest": nearest,
            "untrained": self._match(*before, points)[0],
        }

    def _by_descriptors(self, levels_a: dict, levels_b: dict, points: tf.Tensor) -> list[tf.Tensor]:
        """Where the descriptors at points are found: as exactly as can be, and the most alike cell."""
        size = (self.geometry.size,) * 2
        queries = descriptor_matching.read(levels_b, coordinates.edge_from_corner(points, size))
        grid = descriptor_matching.default_grid(levels_a)
        found = [
            descriptor_matching.find(levels_a, queries, grid),
            descriptor_matching.find(levels_a, queries, grid // 2, between_cells=False),
        ]
        return [coordinates.corner_from_edge(matches.points, size) for matches in found]


def read_flow(flow, points) -> tf.Tensor:
    """Reads at points what cells say, bilinearly; beyond the outermost cells as at them.

    Args:
        flow: `[P, h, w, 2]` (y, x), corner convention; cell i of n stands at `linspace(-1, 1, n)[i]`.
        points: `[P, A, 2]` float32, likewise.

    Returns:
        `[P, A, 2]` float32.
    """
    return sampling.bilinear(flow, points[:, :, tf.newaxis], "edge")[:, :, 0]
