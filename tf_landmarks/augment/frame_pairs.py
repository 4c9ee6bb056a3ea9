"""Two frames of one object as they are."""

import dataclasses

import tensorflow as tf

from tf_landmarks.augment.augmentation import Batch, Draws
from tf_landmarks.augment.pairs import PairAugmentation
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.samplers import FramePairs, Sampler


@dataclasses.dataclass(frozen=True)
class FramePair(PairAugmentation):
    """A target and a source that are two frames of one object, for instance of a video.

    Both are mirrored with probability 1/2, and which one is the source is drawn
    (docs/imm.md, "Pairs of frames"). The mask is all ones.

    Attributes:
        mirror: Whether to mirror at all; off where left and right must stay apart.
        sampler: Which two images make a pair.
    """

    mirror: bool = True
    sampler: Sampler = FramePairs()

    def draw(self, seed: tf.Tensor, batch_size: int) -> Draws:
        """Draws whether to mirror and whether to swap, `[B]` bool each."""
        mirrors, swaps = tf.unstack(tf.random.stateless_uniform([2, batch_size], seed) < 0.5)
        return {"mirror": mirrors & self.mirror, "swap": swaps}

    def apply(self, images: tf.Tensor, draws: Draws, geometry: Geometry) -> Batch:
        """Makes a batch of pairs from `images [B, 2, L, L, 3]`; see the base class."""
        inputs = geometry.centre(images)
        mirror, swap = (tf.reshape(draws[name], [-1, 1, 1, 1, 1]) for name in ("mirror", "swap"))
        inputs = tf.where(mirror, inputs[:, :, :, ::-1], inputs)
        inputs = tf.where(swap, inputs[:, ::-1], inputs)
        return {
            "source": inputs[:, 0],
            "target": inputs[:, 1],
            "mask": tf.ones_like(inputs[:, 1, ..., :1]),
        }
