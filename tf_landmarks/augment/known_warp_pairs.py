"""Pairs whose every correspondence is known (FSE, DVE)."""

import dataclasses
from typing import Literal

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import sampling, tps
from tf_landmarks.augment.augmentation import Batch, Draws
from tf_landmarks.augment.pairs import COMPILED_FROM, PairAugmentation
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.samplers import Sampler, SingleImages


@dataclasses.dataclass(frozen=True, eq=False)
class KnownWarpPair(PairAugmentation):
    """A target, and a source whose every point is known in the target (docs/fse.md, "Pairs and their warps").

        target(u) = image(g1(u)),    source(v) = image(g1(g2(v))),    correspondence(v) = g2(v)

    Each is sampled once, from the image; outside it, its edge continues. Warps are drawn in [-1, 1]^2
    of the whole loaded image, of which the network sees the centre. A batch has no mask.

    Attributes:
        first: Strength of g1: real images are all upright and centred, and a target should not be.
        second: Strength of g2; of all zeros, source and target are aligned.
        control_side: Control points along each side.
        query_points: `[P, 2]` (y, x), corner convention of the source: where g2 is told.
        sampler: Which images make a pair: single ones, or two, of which the target shows the first and the
            source the last, taken to be aligned with it.
        extra: What a second draw of a coefficient does to the first, see `tps.draw_coefficients`.
    """

    first: tps.WarpStrength
    second: tps.WarpStrength
    control_side: int
    query_points: np.ndarray
    sampler: Sampler = SingleImages()
    extra: Literal["add", "replace"] = "add"

    def draw(self, seed: tf.Tensor, batch_size: int) -> Draws:
        """Draws the parameters of both warps, `[B, N + 3, 2]` each."""
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        return {
            name: tps.draw_coefficients(
                strength, warp_seed, self.control_side, (batch_size,), self.extra
            )
            for name, strength, warp_seed in zip(
                ("first", "second"), (self.first, self.second), seeds, strict=True
            )
        }

    def apply(self, images: tf.Tensor, draws: Draws, geometry: Geometry) -> Batch:
        """Makes a batch of pairs from `images [B, n, L, L, 3]`; see the base class."""
        size = geometry.size
        # Coordinates in the loaded image are a multiple of those in the input: both have the same centre.
        zoom = (size - 1) / (geometry.load_size - 1)
        compiles = size >= COMPILED_FROM and not tf.executing_eagerly()
        read = _compiled_read if compiles else _read
        target, source = read(
            images[:, 0],
            images[:, -1],
            draws["first"],
            draws["second"],
            self.control_side,
            size,
            zoom,
        )
        second = tps.Warp(tps.control_grid(self.control_side), draws["second"], "shifted")
        correspondence = second(zoom * self.query_points) / zoom
        return {"target": target, "source": source, "correspondence": correspondence}


def _read(
    of_target: tf.Tensor,
    of_source: tf.Tensor,
    first: tf.Tensor,
    second: tf.Tensor,
    control_side: int,
    size: int,
    zoom: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads target and source, `[B, size, size, 3]` each, from loaded images `[B, L, L, 3]`.

    Args:
        of_target: What the target shows.
        of_source: What the source shows.
        first: Parameters of g1.
        second: Parameters of g2.
        control_side: Control points along each side.
        size: Side of what is read, pixels.
        zoom: Half its side in coordinates of the loaded image.
    """
    control = tps.control_grid(control_side)
    g1, g2 = tps.Warp(control, first, "shifted"), tps.Warp(control, second, "shifted")
    grid = zoom * coordinates.corner_grid((size, size)).reshape(-1, 2)
    shape = [-1, size, size, 2]
    moved = tf.reshape(g1(grid), shape)
    moved_twice = tps.warp_many_points(g1, tf.reshape(g2(grid), shape))
    return sampling.sample(of_target, moved, "edge"), sampling.sample(
        of_source, moved_twice, "edge"
    )


_compiled_read = tf.function(_read, jit_compile=True, autograph=False)
