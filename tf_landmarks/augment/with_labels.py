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

    A batch holds `images` and `warped`, `[B, S, S, 3]`, the parameters `warp` of g, `[B, N + 3, 2]`; and of
    labelled images, drawn with replacement, `shown [B, S, S, 3]`, `places [B, S, S, 2]`, where a warp reads them (see `labelled`: who
    warps them again blurs them once), and where they lie then `points [B, A, 2]`, (y, x)
    in the corner convention, NaN where they are missing or not seen; and `borrowed [B]`, how much of the pose of the
    unlabelled image of the same number each labelled one borrows, of which the model knows the pose; and `mirrored [B]` bool, which of
    the `warped` the model should see in the mirror. Beyond the border of an image its edge continues. Where labels teach alone,
    there is no `warped`, `warp` and `mirrored`, and the others are what they are with them.

    Attributes:
        labels: The labelled images.
        strength: Of the warps.
        color: Strength of the changes of colour of what is warped.
        borrowing: Share of labelled images whose `borrowed` is not 0.
        recoloring: Share of labelled images that take the colours of the unlabelled image of the same number, more or less.
        mirror: Shows half of the labelled images, after their warp; and names half of the others, of which the model knows the
            landmarks.
        alone: Whether labels teach alone.
    """

    labels: LabelledInputs
    strength: tps.WarpStrength
    color: colors.Strength = colors.Strength()
    borrowing: float = 0.0
    recoloring: float = 0.0
    mirror: mirrors.Mirror = mirrors.Mirror()
    alone: bool = False

    sampler = SingleImages()

    def draw(self, seed: tf.Tensor, batch_size: int) -> Draws:
        """Draws which labelled images are shown, the warps, and the changes of colour."""
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 9))
        shape = (batch_size,)
        draws = {
            "row": tf.random.stateless_uniform(shape, seeds[0], 0, len(self.labels), tf.int32),
            "labelled_warp": tps.draw_coefficients(self.strength, seeds[1], CONTROL_SIDE, shape),
            "labelled_color": self.color.draw(seeds[2], batch_size),
            "borrowed": _shares(self.borrowing, batch_size, seeds[5]),
            "recolored": _shares(self.recoloring, batch_size, seeds[6]),
            "labelled_mirrored": self.mirror.draw(seeds[7], batch_size),
        }
        if not self.alone:
            draws |= {
                "warp": tps.draw_coefficients(self.strength, seeds[3], CONTROL_SIDE, shape),
                "color": self.color.draw(seeds[4], batch_size),
                "mirrored": self.mirror.draw(seeds[8], batch_size),
            }
        return draws

    def apply(self, images: tf.Tensor, draws: Draws, geometry: Geometry) -> Batch:
        """See the base class."""
        images = geometry.centre(images[:, 0])
        shown = tf.gather(self.labels.images, draws["row"])
        shown = tf.image.convert_image_dtype(shown, tf.float32)
        if self.recoloring:
            shown = colors.transfer(shown, images, draws["recolored"])
        control, size = tps.control_grid(CONTROL_SIDE), (geometry.size,) * 2
        warp = tps.Warp(control, draws["labelled_warp"], "shifted")
        moved = annotated.moved_points(warp, tf.gather(self.labels.points, draws["row"]))
        mirrored = draws["labelled_mirrored"]
        batch = {
            "images": images,
            "shown": colors.change(shown, draws["labelled_color"]),
            "places": self.mirror.images(tps.warp_grid(warp, size), mirrored),
            "points": self.mirror.points(moved, mirrored),
            "borrowed": draws["borrowed"],
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
        return [labelled(batch), batch["images"]]


def labelled(batch: Batch) -> tf.Tensor:
    """The labelled images of a batch, warped, `[B, S, S, 3]`, on which `points` lie."""
    return sampling.sample(batch["shown"], batch["places"], "edge")


def _shares(some: float, count: int, seed: tf.Tensor) -> tf.Tensor:
    """`[count]` uniform in [0, 1) for a share of all, 0 for the others."""
    part, chance = tf.unstack(tf.random.stateless_uniform((2, count), seed))
    return tf.where(chance < some, part, 0.0)
