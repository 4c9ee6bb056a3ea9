"""What makes a training batch of images: which of them form a sample, what is drawn, how it is applied.

A worker that makes some rows of a batch only applies those rows of the draws, so what is random about a row
depends neither on the number of workers nor on where the images lie.
"""

import tensorflow as tf

from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.samplers import Sampler

Batch = dict[str, tf.Tensor]
Draws = dict[str, tf.Tensor]


class Augmentation:
    """Base of the augmentations, which run in the input pipeline's graph.

    Attributes:
        sampler: Which images make a sample, n of them.
    """

    sampler: Sampler

    def draw(self, seed: tf.Tensor, batch_size: int) -> Draws:
        """Draws all that is random about a batch, one row per sample, purely of the seed."""
        raise NotImplementedError

    def apply(self, images: tf.Tensor, draws: Draws, geometry: Geometry) -> Batch:
        """Makes a batch.

        Args:
            images: `[B, n, L, L, 3]` float32 in [0, 1], L = `geometry.load_size`.
            draws: What `draw` returned, B rows.
            geometry: What the network sees of the images.

        Returns:
            The batch that a stage's losses take, float32 images in [0, 1] of the network's size among it.
        """
        raise NotImplementedError

    def __call__(self, images: tf.Tensor, seed: tf.Tensor, geometry: Geometry) -> Batch:
        """Draws and applies: makes a whole batch of `images [B, n, L, L, 3]`, purely of the seed."""
        return self.apply(images, self.draw(seed, tf.shape(images)[0]), geometry)

    def pictures(self, batch: Batch) -> list[tf.Tensor]:
        """Chooses what a person should see of a batch.

        Returns:
            `[B, S, S, 3]` images each, of the network's size, in the order of the rows to show. Landmarks are
            found in the last, and it is redrawn with the appearance of the first.
        """
        raise NotImplementedError


def part_of(rows: dict[str, tf.Tensor], name: str) -> dict[str, tf.Tensor]:
    """The entries `<name>/<key>` of draws or of a batch, by their keys."""
    return {
        key.removeprefix(f"{name}/"): value
        for key, value in rows.items()
        if key.startswith(f"{name}/")
    }
