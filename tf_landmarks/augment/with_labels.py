"""Unlabelled images, as they are and warped, each batch with as many labelled ones, warped with their points."""

import dataclasses

import tensorflow as tf

from tf_landmarks.augment import annotated, sampling, tps
from tf_landmarks.augment import color as colors
from tf_landmarks.augment import mirror as mirrors
from tf_landmarks.augment.augmentation import Augmentation, Batch, Draws
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.labelled_inputs import LabelledInputs
from tf_landmarks.data.samplers import SingleImages

CONTROL_SIDE = 10  # control points of a warp along each side


@dataclasses.dataclass(frozen=True, eq=False)
class WithLabels(Augmentation):
    """Makes batches of B unlabelled images and B labelled ones.

        warped(u) = images(g(u))

    A batch holds `images` and `warped`, `[B, S, S, 3]`, the parameters `warp` of g, `[B, N + 3, 2]`, and `mirrored [B]` bool, which of
    the `warped` the model should see in the mirror; and labelled images, drawn with replacement and warped by others,
    `labelled [B, S, S, 3]`, with their `points [B, A, 2]`, (y, x) in the corner convention, NaN where they are missing or not
    seen. Beyond the border of an image its edge continues. Where labels teach alone, there is no `warped`, `warp` and `mirrored`;
    the rest of the batch stays the same.

    Attributes:
        labels: The labelled images.
        strength: Of the warps.
        color: Strength of the changes of colour of what is warped.
        mirror: Shows half of the labelled images, after their warp; and names half of the others, of which the model knows the
            landmarks.
        alone: Whether labels teach alone.
    """

    labels: LabelledInputs
    strength: tps.WarpStrength
    color: colors.Strength = colors.Strength()
    mirror: mirrors.Mirror = mirrors.Mirror()
    alone: bool = False

    sampler = SingleImages()

    def draw(self, seed: tf.Tensor, batch_size: int) -> Draws:
        """Draws which labelled images are shown, the warps, and the changes of colour."""
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 7))
        shape = (batch_size,)
        draws = {
            "row": tf.random.stateless_uniform(shape, seeds[0], 0, len(self.labels), tf.int32),
            "labelled_warp": tps.draw_coefficients(self.strength, seeds[1], CONTROL_SIDE, shape),
            "labelled_color": self.color.draw(seeds[2], batch_size),
            "labelled_mirrored": self.mirror.draw(seeds[5], batch_size),
        }
        if not self.alone:
            draws |= {
                "warp": tps.draw_coefficients(self.strength, seeds[3], CONTROL_SIDE, shape),
                "color": self.color.draw(seeds[4], batch_size),
                "mirrored": self.mirror.draw(seeds[6], batch_size),
            }
        return draws

    def apply(self, images: tf.Tensor, draws: Draws, geometry: Geometry) -> Batch:
        """See the base class."""
        images = geometry.centre(images[:, 0])
        shown = tf.gather(self.labels.images, draws["row"])
        shown = tf.image.convert_image_dtype(shown, tf.float32)
        control, size = tps.control_grid(CONTROL_SIDE), (geometry.size,) * 2
        labelled_warp = tps.Warp(control, draws["labelled_warp"], "shifted")
        moved = annotated.moved_points(labelled_warp, tf.gather(self.labels.points, draws["row"]))
        mirrored = draws["labelled_mirrored"]
        places = self.mirror.images(tps.warp_grid(labelled_warp, size), mirrored)
        batch = {
            "images": images,
            "labelled": sampling.sample(
                colors.change(shown, draws["labelled_color"]), places, "edge"
            ),
            "points": self.mirror.points(moved, mirrored),
        }
        if not self.alone:
            warp = tps.Warp(control, draws["warp"], "shifted")
            warped = sampling.sample(images, tps.warp_grid(warp, size), "edge")
            batch |= {
                "warped": colors.change(warped, draws["color"]),
                "warp": draws["warp"],
                "mirrored": draws["mirrored"],
            }
        return batch

    def pictures(self, batch: Batch) -> list[tf.Tensor]:
        """Shows a labelled image and an unlabelled one."""
        return [batch["labelled"], batch["images"]]
