"""Several augmentations of the same images in one batch, for stages that mix losses."""

import dataclasses

import tensorflow as tf

from tf_landmarks.augment.augmentation import Augmentation, Batch, Draws, part_of
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.samplers import Sampler


@dataclasses.dataclass(frozen=True, eq=False)
class Together(Augmentation):
    """Batches of all parts, each key with its part's name before it: `pairs/source`.

    Attributes:
        parts: Augmentations by name, which take the same samples; the first one's pictures are shown.
    """

    parts: dict[str, Augmentation]

    @property
    def sampler(self) -> Sampler:
        """That of every part."""
        return next(iter(self.parts.values())).sampler

    def draw(self, seed: tf.Tensor, batch_size: int) -> Draws:
        """Draws of each part by a seed of its own."""
        seeds = tf.unstack(
            tf.random.experimental.stateless_split(seed, len(self.parts)), num=len(self.parts)
        )
        return {
            f"{name}/{key}": rows
            for own, (name, part) in zip(seeds, self.parts.items(), strict=True)
            for key, rows in part.draw(own, batch_size).items()
        }

    def apply(self, images: tf.Tensor, draws: Draws, geometry: Geometry) -> Batch:
        """Makes a batch of each part of the same `images [B, n, L, L, 3]`; see the base class."""
        return {
            f"{name}/{key}": rows
            for name, part in self.parts.items()
            for key, rows in part.apply(images, part_of(draws, name), geometry).items()
        }

    def pictures(self, batch: Batch) -> list[tf.Tensor]:
        """Shows what the first part does."""
        name, part = next(iter(self.parts.items()))
        return part.pictures(part_of(batch, name))
