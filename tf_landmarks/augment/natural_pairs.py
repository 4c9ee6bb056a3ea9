"""Unchanged images, of which each makes a pair with one of another object (Xu et al. 2020)."""

import dataclasses

import tensorflow as tf

from tf_landmarks.augment.augmentation import Batch
from tf_landmarks.augment.unchanged import Unchanged


@dataclasses.dataclass(frozen=True)
class NaturalPairs(Unchanged):
    """Single images, `images [B, S, S, 3]`; those of the first half of a batch belong to those of the second.

    Batches hold images in random order, each once an epoch, so that pairs are random and disjoint. An image is paired
    with itself only where a batch holds it twice: where it is as large as the data, or goes over the end of an epoch.
    """

    def pictures(self, batch: Batch) -> list[tf.Tensor]:
        """Shows the other image of each pair, whose appearance is given to the image."""
        return [other_of_pair(batch["images"]), batch["images"]]


def other_of_pair(rows: tf.Tensor) -> tf.Tensor:
    """Exchanges the halves of `[B, ...]`, B even: what the other image of each pair has."""
    first, second = tf.split(rows, 2)
    return tf.concat([second, first], axis=0)
