"""Pairs by random warps: two images of one object whose geometry differs and whose appearance does not (IMM).

Source: Jakab et al. 2018, section 4 and appendix, and the tables of their released code.
"""

import dataclasses
import math
from typing import Literal

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import sampling, tps
from tf_landmarks.augment.augmentation import Batch, Draws
from tf_landmarks.augment.pairs import COMPILED_FROM, PairAugmentation
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.samplers import Sampler, SingleImages

Border = Literal["zeros_mask", "margin"]

CONTROL_SIDE = 10


@dataclasses.dataclass(frozen=True)
class WarpedPair(PairAugmentation):
    """A target and a source by random warps of one image, or of two images of one object.

    Attributes:
        target: Strength of the warp that makes the target.
        source: Strength of the warp that makes the source.
        composed: The source is a warp of the target (IMM's released code); otherwise both are
            independent warps of the image (its paper), or each of its own image.
        border: "zeros_mask": black outside the image, and a mask that rides along with the target
            and discounts its border, as published. "margin": the image continues beyond the
            network's input (its own pixels as far as they are loaded, then its edge), so that no
            border shows which a detector could take for a landmark; the mask is all ones.
        sampler: Which images make a pair: single ones, or two, the target of the first and the source of the last.
    """

    target: tps.WarpStrength
    source: tps.WarpStrength
    composed: bool = True
    border: Border = "zeros_mask"
    sampler: Sampler = SingleImages()

    def draw(self, seed: tf.Tensor, batch_size: int) -> Draws:
        """Draws the parameters of both warps, `[B, N + 3, 2]` each."""
        target, source = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
        return {
            "target": tps.draw_coefficients(self.target, target, CONTROL_SIDE, (batch_size,)),
            "source": tps.draw_coefficients(self.source, source, CONTROL_SIDE, (batch_size,)),
        }

    def apply(self, images: tf.Tensor, draws: Draws, geometry: Geometry) -> Batch:
        """Makes a batch of pairs from `images [B, n, L, L, 3]`; see the base class."""
        size = geometry.size
        stacks = [self._canvas(images[:, i], geometry) for i in range(self.sampler.length)]
        border = "edge" if self.border == "margin" else "zeros"
        compiles = size >= COMPILED_FROM and not tf.executing_eagerly()
        warp = _compiled_warp if compiles else _warp
        target = warp(stacks[0], draws["target"], size, stacks[0].shape[1], border)
        start = target if self.composed else stacks[-1]
        source = warp(start, draws["source"], size, size, border)
        target = _centre(target, size)
        return {"source": source[..., :3], "target": target[..., :3], "mask": target[..., 3:]}

    def _canvas(self, images: tf.Tensor, geometry: Geometry) -> tf.Tensor:
        """Returns what is warped, `[B, l, l, 4]`: the image with its mask, and a margin if there is one."""
        if self.border == "margin":
            canvas = _continue_edges(images, _canvas_size(geometry))
            mask = tf.ones_like(canvas[..., :1])
        else:
            canvas = geometry.centre(images)
            mask = tf.ones_like(canvas[..., :1]) * boundary_mask(geometry.size)
        return tf.concat([canvas, mask], axis=-1)


def boundary_mask(size: int) -> np.ndarray:
    """Makes IMM's discount of the image border, `[size, size, 1]` float32.

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

    The warp's coordinates are those of an input of `unit` pixels, whatever the size of the images
    and of the output (`output_size` pixels), so that a margin changes what is seen, not how much
    it moves.
    """
    warp = tps.Warp(tps.control_grid(CONTROL_SIDE), parameters)
    grid = coordinates.corner_grid((output_size, output_size)) * ((output_size - 1) / (unit - 1))
    points = tps.warp_points(warp, grid.reshape(-1, 2)) * ((unit - 1) / (images.shape[1] - 1))
    points = tf.reshape(points, [-1, output_size, output_size, 2])
    return sampling.sample(images, points, border)


_compiled_warp = tf.function(_warp, jit_compile=True, autograph=False)


def _canvas_size(geometry: Geometry) -> int:
    """Leaves at least a quarter of the input on each side; warps of the usual strength stay within."""
    return max(geometry.load_size, geometry.size + 2 * math.ceil(geometry.size / 4))


def _continue_edges(images: tf.Tensor, size: int) -> tf.Tensor:
    """Surrounds `[B, L, L, C]` by copies of its edge to `[B, size, size, C]`."""
    length = images.shape[1]
    inside = np.clip(np.arange(size) - (size - length) // 2, 0, length - 1)
    return tf.gather(tf.gather(images, inside, axis=1), inside, axis=2)


def _centre(images: tf.Tensor, size: int) -> tf.Tensor:
    cut = (images.shape[1] - size) // 2
    return images[:, cut : cut + size, cut : cut + size]
