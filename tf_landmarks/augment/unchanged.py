"""Images as they are, for stages that learn what a frozen network already knows."""

import dataclasses

import tensorflow as tf

from tf_landmarks.augment.augmentation import Augmentation, Batch, Draws
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.samplers import SingleImages


@dataclasses.dataclass(frozen=True)
class Unchanged(Augmentation):
    """Single images, `images [B, S, S, 3]`, of which nothing is random."""

    sampler = SingleImages()

    def draw(self, seed: tf.Tensor, batch_size: int) -> Draws:
        """Draws nothing."""
        return {}

    def apply(self, images: tf.Tensor, draws: Draws, geometry: Geometry) -> Batch:
        """The centre of each image of `[B, 1, L, L, 3]`; see the base class."""
        return {"images": geometry.centre(images[:, 0])}

    def pictures(self, batch: Batch) -> list[tf.Tensor]:
        """Shows the image."""
        return [batch["images"]]
