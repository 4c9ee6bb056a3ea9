"""Two frames of one object as they are."""

import dataclasses

import tensorflow as tf

from tf_landmarks.augment.augmentation import Augmentation
from tf_landmarks.data.geometry import Geometry

Batch = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class FramePair(Augmentation):
    """Two frames of one object as they are, for instance two frames of a video.

    Both are mirrored with probability 1/2, and which one is the source is drawn
    (docs/imm.md, "Pairs of frames").

    Attributes:
        mirror: Whether to mirror at all; off where left and right must stay apart.
    """

    mirror: bool = True
    frames_per_sample = 2

    def draw(self, seed: tf.Tensor, batch_size: int) -> dict[str, tf.Tensor]:
        """Draws whether to mirror and whether to swap, `[B]` bool each."""
        mirrors, swaps = tf.unstack(tf.random.stateless_uniform([2, batch_size], seed) < 0.5)
        return {"mirror": mirrors & self.mirror, "swap": swaps}

    def make(self, frames: tf.Tensor, draws: dict[str, tf.Tensor], geometry: Geometry) -> Batch:
        """Makes a batch of pairs from `frames [B, 2, L, L, 3]`; see `WarpedPair.make`."""
        inputs = geometry.centre(frames)
        mirror, swap = (tf.reshape(draws[name], [-1, 1, 1, 1, 1]) for name in ("mirror", "swap"))
        inputs = tf.where(mirror, inputs[:, :, :, ::-1], inputs)
        inputs = tf.where(swap, inputs[:, ::-1], inputs)
        return {
            "source": inputs[:, 0],
            "target": inputs[:, 1],
            "mask": tf.ones_like(inputs[:, 1, ..., :1]),
        }
