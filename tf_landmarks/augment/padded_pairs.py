"""Padded images and their warps, as LMDIS has them (docs/lmdis.md, "Warps of the canvas").

A canvas is an image with a border of its own mean colour around it. Points on it are (y, x) in its edge
convention; warps are a similarity and then a spline, and map output points to input points as everywhere.
"""

import dataclasses
import math

import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import color, optical_flow, sampling, tps
from tf_landmarks.augment.augmentation import Batch, Draws
from tf_landmarks.augment.pairs import PairAugmentation
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.samplers import Sampler, SingleImages
from tf_landmarks.options import option

GRID_SIDE = 7
# The centres of the cells of a 7 x 7 grid.
_CONTROL = tps.control_grid(GRID_SIDE) * (1.0 - 1.0 / GRID_SIDE)


@dataclasses.dataclass(frozen=True)
class PaddedWarpStrength:
    """How strongly random warps of a canvas deform; all 0 is the identity."""

    rotation: float = option(10.0, "standard deviation of the rotation, degrees")
    scale: float = option(
        math.log(1.25), "standard deviation of the natural logarithm of the scale factor"
    )
    translation: float = option(0.3, "largest shift per axis; the canvas is 2 units wide")
    displacement: float = option(
        0.1,
        "standard deviation by which control points of a grid move; the canvas is 2 units wide (LMDIS' appendix: 0.1 of "
        "its side, which is 0.2)",
    )


def pad(images: tf.Tensor, size: int) -> tf.Tensor:
    """Surrounds `[B, E, E, 3]` by the mean colour of each image's outermost pixels.

    Returns:
        `[B, size, size, 3]`; size - E is even.
    """
    lines = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    colour = tf.reduce_mean(tf.concat(lines, axis=1), axis=1)[:, tf.newaxis, tf.newaxis]
    margin = [(size - images.shape[1]) // 2] * 2
    return tf.pad(images - colour, [[0, 0], margin, margin, [0, 0]]) + colour


@dataclasses.dataclass(frozen=True)
class PaddedWarp:
    """A batch of warps: a similarity, then a spline that adds to it.

    Attributes:
        similarity: `[B, 3, 2]`: the shift, the factors of y, the factors of x.
        displacement: Maps what the similarity gives to what is added.
    """

    similarity: tf.Tensor
    displacement: tps.Warp

    def __call__(self, points: tf.Tensor) -> tf.Tensor:
        """Maps points of the warped canvas, `[B or 1, P, 2]`, to those of the canvas, `[B, P, 2]`."""
        similar = self._similar(points)
        return similar + self.displacement(similar)

    def _similar(self, points: tf.Tensor) -> tf.Tensor:
        return tf.concat([tf.ones_like(points[..., :1]), points], axis=-1) @ self.similarity

    def images(self, canvases: tf.Tensor) -> tf.Tensor:
        """Warps `[B, P, P, C]`; beyond the canvas, its edge continues."""
        size = canvases.shape[1]
        corner = tf.constant(coordinates.corner_grid((size, size)).reshape(1, -1, 2), tf.float32)
        similar = self._similar(coordinates.edge_from_corner(corner, (size, size)))
        read = similar + tps.warp_many_points(self.displacement, similar)
        read = coordinates.corner_from_edge(read, (size, size))
        return sampling.sample(canvases, tf.reshape(read, [-1, size, size, 2]), "edge")


def grid_warp(similarity: tf.Tensor, shifts: tf.Tensor) -> PaddedWarp:
    """Makes a warp whose spline moves the points of a regular grid by `shifts [B, 49, 2]`."""
    return PaddedWarp(similarity, tps.fit(_CONTROL, shifts))


def landmark_warp(similarity: tf.Tensor, landmarks: tf.Tensor, shifts: tf.Tensor) -> PaddedWarp:
    """Makes a warp whose spline moves `landmarks [B, K, 2]` by `shifts [B, K, 2]`, without gradient."""
    landmarks = tf.stop_gradient(landmarks)
    return PaddedWarp(similarity, tps.fit_each(landmarks, shifts))


@dataclasses.dataclass(frozen=True)
class PaddedPair(PairAugmentation):
    """A target, and a source that is a warp of its canvas.

        target           [B, E, E, 3] float32 in [0, 1], its colours jittered
        source           [B, P, P, 3], its canvas, warped around a regular grid
        similarity       [B, 3, 2], of the warp
        shifts           [B, 49, 2], of the grid's points
        landmark_shifts  [B, K, 2], of landmarks, for a spline around these instead of the grid
        chance           [B] in [0, 1): by which a method chooses between the two

    and where a sample is a clip of a video, whose first frame is the target:

        later            [B, P, P, 3], the canvas of the last frame, its colours jittered alike
        flow             [B, E, E, 2] from the first frame to the last, in units of the image's side
        valid            [B] 1 where the last frame differs from the first, else 0

    Attributes:
        canvas_size: P.
        strength: Of the warps.
        landmark_displacement: Standard deviation of the landmarks' shifts, in the canvas' edge convention.
        num_landmarks: K.
        color_jitter: Whether colours are jittered: brightness by up to 32 of 255, contrast by 1/2.
        window: Side of what optical flow takes to move alike, pixels.
        sampler: Which images make a sample: single ones, or clips.
    """

    canvas_size: int
    strength: PaddedWarpStrength
    landmark_displacement: float
    num_landmarks: int
    color_jitter: bool = True
    window: int = optical_flow.WINDOW
    sampler: Sampler = SingleImages()

    def draw(self, seed: tf.Tensor, batch_size: int) -> Draws:
        """Draws warps and changes of colour, one row per sample."""
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 7), num=7)
        normal, uniform = tf.random.stateless_normal, tf.random.stateless_uniform
        angle = normal([batch_size], seeds[0]) * (self.strength.rotation * math.pi / 180.0)
        scale = tf.exp(normal([batch_size], seeds[1]) * self.strength.scale)
        shift = uniform([batch_size, 2], seeds[2], -1.0, 1.0) * self.strength.translation
        draws = {
            "similarity": tps.similarity(angle, scale, shift),
            "shifts": normal([batch_size, GRID_SIDE**2, 2], seeds[3]) * self.strength.displacement,
            "landmark_shifts": normal([batch_size, self.num_landmarks, 2], seeds[4])
            * self.landmark_displacement,
            "chance": uniform([batch_size], seeds[5]),
        }
        if self.color_jitter:
            colours = uniform([2, batch_size], seeds[6], -1.0, 1.0)
            draws |= {"brightness": colours[0] * 32 / 255, "contrast": 1.0 + 0.5 * colours[1]}
        return draws

    def apply(self, images: tf.Tensor, draws: Draws, geometry: Geometry) -> Batch:
        """Makes a batch of `images [B, n, L, L, 3]`; see the base class."""
        inputs = geometry.centre(images)
        drawn = dict(draws)
        colours = [drawn.pop(k) for k in ("brightness", "contrast")] if self.color_jitter else []

        def colour(images: tf.Tensor) -> tf.Tensor:
            return color.jitter(images, *colours) if colours else images

        target = colour(inputs[:, 0])
        warp = grid_warp(drawn["similarity"], drawn["shifts"])
        batch = {
            "target": target,
            "source": warp.images(pad(target, self.canvas_size)),
            **drawn,
        }
        if self.sampler.length > 1:
            differs = tf.reduce_any(inputs[:, 0] != inputs[:, -1], axis=[1, 2, 3])
            batch |= {
                "later": pad(colour(inputs[:, -1]), self.canvas_size),
                "flow": optical_flow.over_frames(inputs, self.window) / geometry.size,
                "valid": tf.cast(differs, tf.float32),
            }
        return batch
