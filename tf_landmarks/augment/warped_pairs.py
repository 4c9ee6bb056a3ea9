"""Training pairs: two images of one object whose geometry differs and whose look does not.

A pairing turns a batch of frames into the batch that a method trains on. It runs in the input
pipeline, in two parts: `draw` makes all that is random, one row per sample, as a pure function of a
seed; `make` applies it. A worker that makes some rows of a batch only takes those rows of the draws.

    source, target  [B, S, S, 3] float32 in [0, 1]
    mask            [B, S, S, 1] float32 in [0, 1]: how much each target pixel counts in a loss
    correspondence  [B, P, 2] float32 (y, x), corner convention: where P places of the source lie in the target

Source: Jakab et al. 2018, section 4 and appendix, and the tables of their released code.
"""

import dataclasses
import math
from typing import Literal

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import sampling, tps
from tf_landmarks.augment.augmentation import Augmentation
from tf_landmarks.data.geometry import Geometry

Batch = dict[str, tf.Tensor]
Border = Literal["zeros_mask", "margin"]

CONTROL_SIDE = 10
COMPILED_FROM = 64  # pixels


@dataclasses.dataclass(frozen=True)
class WarpedPair(Augmentation):
    """Random warps of one still image, or of two frames of one object.

    Attributes:
        target: Strength of the warp that makes the target.
        source: Strength of the warp that makes the source.
        composed: The source is a warp of the target (IMM's released code); otherwise both are
            independent warps of the image (its paper), or each of its own frame.
        border: "zeros_mask": black outside the image, and a mask that rides along with the target
            and discounts its border, as published. "margin": the image continues beyond the
            network's input (its own pixels as far as the frame has them, then its edge), so that no
            border shows which a detector could take for a landmark; the mask is all ones.
        frames_per_sample: 1, or 2 for the target of one frame and the source of another.
    """

    target: tps.WarpStrength
    source: tps.WarpStrength
    composed: bool = True
    border: Border = "zeros_mask"
    frames_per_sample: int = 1

    def draw(self, seed: tf.Tensor, batch_size: int) -> dict[str, tf.Tensor]:
        """Draws the parameters of both warps, `[B, N + 3, 2]` each."""
        target, source = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        return {
            "target": tps.draw_coefficients(self.target, target, CONTROL_SIDE, (batch_size,)),
            "source": tps.draw_coefficients(self.source, source, CONTROL_SIDE, (batch_size,)),
        }

    def make(self, frames: tf.Tensor, draws: dict[str, tf.Tensor], geometry: Geometry) -> Batch:
        """Makes a batch of pairs.

        Args:
            frames: `[B, frames_per_sample, L, L, 3]` float32 in [0, 1], L = `geometry.load_size`.
            draws: What `draw` returned, as many rows.
            geometry: How the network sees the frame.

        Returns:
            The batch, see the module's head.
        """
        size = geometry.size
        stacks = [self._canvas(frames[:, i], geometry) for i in range(self.frames_per_sample)]
        border = "edge" if self.border == "margin" else "zeros"
        # Compiled, a warp is several times faster; that it takes a second to compile is not worth it
        # for small images, nor outside the input pipeline.
        compiles = size >= COMPILED_FROM and not tf.executing_eagerly()
        warp = _compiled_warp if compiles else _warp
        target = warp(stacks[0], draws["target"], size, stacks[0].shape[1], border)
        start = target if self.composed else stacks[-1]
        source = warp(start, draws["source"], size, size, border)
        target = _centre(target, size)
        return {"source": source[..., :3], "target": target[..., :3], "mask": target[..., 3:]}

    def _canvas(self, frames: tf.Tensor, geometry: Geometry) -> tf.Tensor:
        """What is warped, `[B, l, l, 4]`: the image with its mask, and a margin if there is one."""
        if self.border == "margin":
            canvas = _continue_edges(frames, _canvas_size(geometry))
            mask = tf.ones_like(canvas[..., :1])
        else:
            canvas = geometry.centre(frames)
            mask = tf.ones_like(canvas[..., :1]) * boundary_mask(geometry.size)
        return tf.concat([canvas, mask], axis=-1)


def boundary_mask(size: int) -> np.ndarray:
    """IMM's discount of the image border, `[size, size, 1]` float32.

    The outer product of a profile with itself: 10 zeros, a ramp of 20 values
    `1/2 + 1/2 tanh(t / 0.4)` with t = linspace(-1, 1, 20), ones, and the mirror image. It was made
    for 128 pixels; under 68 pixels, where the ones would run out, zeros and ramp shrink in
    proportion.
    """
    zeros, ramp = (10, 20) if size >= 68 else (round(10 * size / 128), round(20 * size / 128))
    rise = 0.5 + 0.5 * np.tanh(np.linspace(-1.0, 1.0, ramp) / 0.4)
    flank = np.concatenate([np.zeros(zeros), rise])
    profile = np.concatenate([flank, np.ones(size - 2 * len(flank)), flank[::-1]])
    return np.outer(profile, profile)[..., np.newaxis].astype(np.float32)


def _warp(
    images: tf.Tensor, parameters: tf.Tensor, unit: int, output_size: int, border: str
) -> tf.Tensor:
    """Warps images around a common centre.

    The warp's coordinates are those of a input of `unit` pixels, whatever the size of the images
    and of the output (`output_size` pixels), so that a margin changes what is seen, not how much
    it moves.
    """
    warp = tps.Warp(tps.control_grid(CONTROL_SIDE), parameters)
    grid = coordinates.corner_grid((output_size, output_size)) * ((output_size - 1) / (unit - 1))
    points = tps.warp_points(warp, grid.reshape(-1, 2)) * ((unit - 1) / (images.shape[1] - 1))
    points = tf.reshape(points, [-1, output_size, output_size, 2])
    return sampling.sample(images, points, border)


_compiled_warp = tf.function(_warp, jit_compile=True)


def _canvas_size(geometry: Geometry) -> int:
    """At least a quarter of the input on each side; warps of the usual strength stay within."""
    return max(geometry.load_size, geometry.size + 2 * math.ceil(geometry.size / 4))


def _continue_edges(images: tf.Tensor, size: int) -> tf.Tensor:
    """Surrounds `[B, L, L, C]` by copies of its edge to `[B, size, size, C]`."""
    length = images.shape[1]
    inside = np.clip(np.arange(size) - (size - length) // 2, 0, length - 1)
    return tf.gather(tf.gather(images, inside, axis=1), inside, axis=2)


def _centre(images: tf.Tensor, size: int) -> tf.Tensor:
    cut = (images.shape[1] - size) // 2
    return images[:, cut : cut + size, cut : cut + size]
