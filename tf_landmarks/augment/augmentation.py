"""What makes a training batch of images: which of them form a sample, what is drawn, how it is applied."""

from typing import Protocol

import tensorflow as tf

from tf_landmarks.data.geometry import Geometry

Batch = dict[str, tf.Tensor]


class Augmentation(Protocol):
    """What makes a training batch of frames; see augment/warped_pairs.py.

    Attributes:
        interval: Frames between neighbours of a sample, in the order of time; 0: they are as far apart as
            `--min_gap` and `--max_gap` allow, in any order.
    """

    interval: int = 0

    @property
    def frames_per_sample(self) -> int:
        """How many frames of one object a sample takes: 1, 2, or any number at an interval."""

    def draw(self, seed: tf.Tensor, batch_size: int) -> dict[str, tf.Tensor]:
        """Draws all that is random about a batch, one row per sample, purely of the seed."""

    def make(
        self, frames: tf.Tensor, draws: dict[str, tf.Tensor], geometry: Geometry
    ) -> dict[str, tf.Tensor]:
        """Makes a batch of `frames [B, frames_per_sample, L, L, 3]` and as many rows of draws."""

    def __call__(
        self, frames: tf.Tensor, seed: tf.Tensor, geometry: Geometry
    ) -> dict[str, tf.Tensor]:
        """Makes a whole batch of frames, purely of the seed."""
        return self.make(frames, self.draw(seed, tf.shape(frames)[0]), geometry)

    def pictures(self, batch: Batch) -> list[tf.Tensor]:
        """Chooses what a person should see of a batch.

        Returns:
            `[B, S, S, 3]` images each, of the network's size, in the order of the rows to show. Landmarks are
            found in the last, and it is redrawn with the appearance of the first.
        """
        if "source" not in batch:
            return [batch["images"]]
        target = batch["target"]
        # A source may have a border around what the network sees of it.
        return [tf.image.resize_with_crop_or_pad(batch["source"], *target.shape[1:3]), target]
