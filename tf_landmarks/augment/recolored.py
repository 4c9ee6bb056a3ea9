"""Any augmentation, with the colours of some of its images changed besides."""

import dataclasses

import tensorflow as tf

from tf_landmarks.augment import photometric
from tf_landmarks.augment.augmentation import Augmentation, Batch, Draws, part_of
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.samplers import Sampler


@dataclasses.dataclass(frozen=True, eq=False)
class Recolored(Augmentation):
    """Changes the colours of images that another augmentation has made, each by itself.

    Attributes:
        inner: Makes the batches.
        strength: Of the changes.
        names: Of the images that are changed, among what its batches hold.
    """

    inner: Augmentation
    strength: photometric.PhotometricStrength
    names: tuple[str, ...]

    @property
    def sampler(self) -> Sampler:
        """That of the other augmentation."""
        return self.inner.sampler

    def draw(self, seed: tf.Tensor, batch_size: int) -> Draws:
        """What the other draws, and for each image what its change takes, under `<name>/<draw>`."""
        first, *seeds = tf.unstack(
            tf.random.experimental.stateless_split(seed, 1 + len(self.names))
        )
        draws = dict(self.inner.draw(first, batch_size))
        for name, own in zip(self.names, seeds, strict=True):
            changes = photometric.draw(self.strength, own, (batch_size,))
            draws |= {f"{name}/{key}": value for key, value in changes.items()}
        return draws

    def apply(self, images: tf.Tensor, draws: Draws, geometry: Geometry) -> Batch:
        """See the base class."""
        batch = dict(self.inner.apply(images, draws, geometry))
        for name in self.names:
            batch[name] = photometric.distort(batch[name], part_of(draws, name))
        return batch

    def pictures(self, batch: Batch) -> list[tf.Tensor]:
        """Those of the other augmentation."""
        return self.inner.pictures(batch)
