"""Features that another run has learned, as guests of a network that learns something else."""

import tensorflow as tf

from tf_landmarks.data.geometry import Geometry
from tf_landmarks.errors import UserError
from tf_landmarks.layers.exported_points import resized
from tf_landmarks.methods.base import FeatureModel


class GuestFeatures(tf.keras.layers.Layer):
    """What a frozen model says of images, at the sizes that a U-Net has on its way down.

    A level of features goes to the largest of these sizes that it has cells for, and is shrunk to it; one that is
    coarser than the coarsest is left out. Those of one size become one map.

    Args:
        model: Stays as it is.
        geometry: How images became what the U-Net sees.
        halvings: How often the U-Net halves them.
        flag: The flag that named the model, for messages.

    Raises:
        UserError: If the model saw another part of the images, or all its levels are too coarse.
    """

    def __init__(
        self,
        model: FeatureModel,
        geometry: Geometry,
        halvings: int,
        flag: str,
        **kwargs,
    ):
        super().__init__(trainable=False, **kwargs)
        model.trainable = False
        self.model = model
        own = model.spec.geometry
        if own:
            own.check_sees_as(geometry, f"{flag}: the run")
        self._sides = [geometry.size >> number for number in range(1, halvings + 1)]
        size = model.spec.image_size
        shapes = {name: level.shape for name, level in self._levels(tf.zeros([1, size, size, 3]))}
        self._pairs = {
            name: next(n for n, side in enumerate(self._sides, 1) if side <= shape[1])
            for name, shape in shapes.items()
            if shape[1] >= self._sides[-1]
        }
        if not self._pairs:
            told = ", ".join(f"{name} of {shape[1]}" for name, shape in shapes.items())
            raise UserError(
                f"{flag}: its features ({told} cells a side) are coarser than {self._sides[-1]} cells; train it with a larger "
                "--image_size"
            )

    @property
    def pairs(self) -> tuple[int, ...]:
        """The pairs of the U-Net's convolutions that have guests, see `unet.UNet`."""
        return tuple(sorted(set(self._pairs.values())))

    def call(self, images: tf.Tensor) -> dict[int, tf.Tensor]:
        """`[B, S, S, 3]` in [0, 1] to `[B, s, s, D]` by pair; no gradient passes."""
        levels = dict(self._levels(resized(images, self.model.spec.image_size)))
        found: dict[int, list[tf.Tensor]] = {number: [] for number in self.pairs}
        for name, number in self._pairs.items():
            level = resized(levels[name], self._sides[number - 1])
            found[number].append(tf.stop_gradient(level))
        return {number: tf.concat(maps, axis=-1) for number, maps in found.items()}

    def _levels(self, images: tf.Tensor):
        return self.model.represent(images, training=False).levels.items()
