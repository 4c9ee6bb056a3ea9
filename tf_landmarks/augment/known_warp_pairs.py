"""Pairs whose every correspondence is known (FSE)."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import sampling, tps
from tf_landmarks.augment.augmentation import Augmentation
from tf_landmarks.data.geometry import Geometry

Batch = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class KnownWarpPair(Augmentation):
    """A target, and a source whose every place in the target is known (docs/fse.md, "Pairs and their warps").

        target(u) = image(g1(u)),    source(v) = image(g1(g2(v))),    correspondence(v) = g2(v)

    Each is sampled once, from the image; outside it, its edge continues. Warps are drawn in [-1, 1]^2
    of the whole frame, of which the network sees the centre. A batch has no mask.

    Attributes:
        first: Strength of g1: real images are all upright and centred, and a target should not be.
        second: Strength of g2; of all zeros, source and target are aligned.
        control_side: Control points along each side.
        places: `[P, 2]` (y, x), corner convention of the source: where g2 is told.
        frames_per_sample: 1, or 2 for a source from a second frame that is aligned with the first.
    """

    first: tps.WarpStrength
    second: tps.WarpStrength
    control_side: int
    places: np.ndarray
    frames_per_sample: int = 1

    def draw(self, seed: tf.Tensor, batch_size: int) -> dict[str, tf.Tensor]:
        """Draws the parameters of both warps, `[B, N + 3, 2]` each."""
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        return {
            name: tps.draw_coefficients(strength, part, self.control_side, (batch_size,))
            for name, strength, part in zip(
                ("first", "second"), (self.first, self.second), seeds, strict=True
            )
        }

    def make(self, frames: tf.Tensor, draws: dict[str, tf.Tensor], geometry: Geometry) -> Batch:
        """Makes a batch of pairs from `frames [B, frames_per_sample, L, L, 3]`."""
        control = tps.control_grid(self.control_side)
        first, second = (tps.Warp(control, draws[k], "shifted") for k in ("first", "second"))
        size = geometry.size
        # Of coordinates in the frame, those in the input are a multiple: both have the same centre.
        zoom = (size - 1) / (geometry.load_size - 1)
        grid = zoom * coordinates.corner_grid((size, size)).reshape(-1, 2)
        shape = [-1, size, size, 2]

        def read(frame: int, points: tf.Tensor) -> tf.Tensor:
            return sampling.sample(frames[:, frame], tf.reshape(points, shape), "edge")

        return {
            "target": read(0, first(grid)),
            "source": read(self.frames_per_sample - 1, first(second(grid))),
            "correspondence": second(zoom * self.places) / zoom,
        }
