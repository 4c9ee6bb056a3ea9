"""How an image of any size becomes the network's square input, and points the way back.

    pad to a square (edges continued) -> resize to the load size (within a border) -> keep the centre

One object does it for images and points, in training, export and evaluation alike. What is loaded is
larger than what the network sees, for training warps to use, so the two are kept apart.
"""

import dataclasses

import tensorflow as tf

from tf_landmarks.errors import UserError

#: More pixels than these are not added to an image to make it a square: a panorama is shrunk first.
MOST_PADDING = 2**25


@dataclasses.dataclass(frozen=True)
class Geometry:
    """The map between stored pixels and network pixels.

    Attributes:
        size: Side of the network's input, pixels.
        crop_fraction: Share of the loaded image's side that the network sees (1 = all of it); IMM keeps
            0.8, 128 of 160 pixels.
        keep_aspect: Pad to a square first; otherwise each axis is resized by itself.
        border: Pixels of one colour on each side of what is loaded, which give objects that fill their
            images room to move (FSE's digits and shoes).
        border_value: The grey of the border, in [0, 1].
    """

    size: int
    crop_fraction: float = 1.0
    keep_aspect: bool = True
    border: int = 0
    border_value: float = 0.0

    def __post_init__(self):
        if not 0.0 < self.crop_fraction <= 1.0:
            raise UserError(f"--crop_fraction={self.crop_fraction} must be above 0 and at most 1")
        if self.border and not 0 < 2 * self.border <= self.size - 2:
            raise UserError(
                f"--border={self.border} must be at least 0 and leave pixels of --image_size={self.size}"
            )
        if not 0.0 <= self.border_value <= 1.0:
            raise UserError(f"--border_value={self.border_value} must be in [0, 1]")

    def sees_as(self, other: "Geometry") -> bool:
        """Whether another one shows the same part of an image, at whatever size."""
        return dataclasses.replace(self, size=other.size) == other

    def check_sees_as(self, other: "Geometry", what: str) -> None:
        """Checks that a network of this one sees the part of images that another network sees, which it is to help.

        Raises:
            UserError: If it does not, with what the first is called.
        """
        if not self.sees_as(other):
            raise UserError(
                f"{what} sees other parts of images ({self}) than the network that it is to help ({other}): train its run with the same "
                "--crop_fraction, --keep_aspect and --border"
            )

    def view(self, images: tf.Tensor) -> tf.Tensor:
        """What the network sees, `[..., size, size, 3]` float32 in [0, 1], of images of one size, see `load`."""
        return self.centre(self.load(images))

    @property
    def load_size(self) -> int:
        """Side of the loaded image, pixels; exceeds `size` by an even number."""
        margin = max(0, round((self.size / self.crop_fraction - self.size) / 2))
        return self.size + 2 * margin

    @property
    def margin(self) -> int:
        """Pixels cut from each side of the loaded image."""
        return (self.load_size - self.size) // 2

    def load(self, images: tf.Tensor) -> tf.Tensor:
        """Brings images of one size to the load size.

        Args:
            images: `[..., H, W, 3]` uint8, one image or a batch.

        Returns:
            `[..., load_size, load_size, 3]` float32 in [0, 1], antialiased when smaller.
        """
        side = self.load_size
        # What has the right size already is passed on: resizing it to itself takes time that an
        # export's answer to small images would show.
        fits = tf.reduce_all(tf.shape(images)[-3:-1] == self._inner_size)
        loaded = tf.cond(fits, lambda: tf.cast(images, tf.float32), lambda: self._resize(images))
        loaded /= 255.0
        if self.border:
            around = [[0, 0]] * (loaded.shape.rank - 3) + [[self.border] * 2] * 2 + [[0, 0]]
            loaded = tf.pad(loaded, around, constant_values=self.border_value)
        return tf.ensure_shape(loaded, [*images.shape[:-3], side, side, 3])

    @property
    def _inner_size(self) -> int:
        """Side of the loaded image within its border, pixels."""
        return self.load_size - 2 * self.border

    def _resize(self, images: tf.Tensor) -> tf.Tensor:
        size = [self._inner_size] * 2
        if not self.keep_aspect:
            return tf.image.resize(images, size, antialias=True)
        lengths = tf.cast(tf.shape(images)[-3:-1], tf.int64)
        longer, shorter = tf.reduce_max(lengths), tf.reduce_min(lengths)

        def pad_first() -> tf.Tensor:
            square = _pad(_pad(images, -3, longer), -2, longer)
            return tf.image.resize(square, size, antialias=True)

        def shrink_first() -> tf.Tensor:
            # The longer side first, which needs no padding; so the same but for rounding.
            axes = [*range(images.shape.rank - 3), *(images.shape.rank - k for k in (2, 3, 1))]
            is_wide = lengths[1] > lengths[0]
            upright = tf.cond(is_wide, lambda: tf.transpose(images, axes), lambda: images)
            low = tf.image.resize(upright, [size[0], tf.cast(shorter, tf.int32)], antialias=True)
            low = tf.image.resize(_pad(low, -2, longer), size, antialias=True)
            return tf.cond(is_wide, lambda: tf.transpose(low, axes), lambda: low)

        return tf.cond((longer - shorter) * longer > MOST_PADDING, shrink_first, pad_first)

    def centre(self, images: tf.Tensor) -> tf.Tensor:
        """Cuts `[..., load_size, load_size, C]` to what the network sees, `[..., size, size, C]`."""
        cut = slice(self.margin, self.margin + self.size)
        return images[..., cut, cut, :]

    def to_network(self, points, image_size):
        """Maps points of stored images to the network's input.

        Args:
            points: `[..., 2]` float (y, x) pixels of the stored image, array or tensor.
            image_size: (height, width) of the stored image, pixels, or an array or tensor
                `[..., 2]` that broadcasts against `points`.

        Returns:
            `[..., 2]` (y, x) pixels of the network's input.
        """
        scale, offset = self._affine(image_size, points)
        return points * scale + offset

    def to_image(self, points, image_size):
        """Maps points of the network's input back to stored images, the inverse of `to_network`."""
        scale, offset = self._affine(image_size, points)
        return (points - offset) / scale

    def _affine(self, image_size, points):
        """Returns, per axis, `network = scale * stored + offset`; pixel centres stand at half integers."""
        length = tf.cast(image_size, tf.float64)
        side = length
        if self.keep_aspect:
            side = tf.reduce_max(length, axis=-1, keepdims=True) + tf.zeros_like(length)
        padding = tf.floor((side - length) / 2.0)
        scale = self._inner_size / side
        offset = (padding + 0.5) * scale - 0.5 + self.border - self.margin
        if tf.is_tensor(points):
            return tf.cast(scale, points.dtype), tf.cast(offset, points.dtype)
        return scale.numpy(), offset.numpy()


def _pad(images: tf.Tensor, axis: int, length: tf.Tensor) -> tf.Tensor:
    """Continues the edges of images along an axis, the same at both ends, up to a length."""
    before = tf.cast(tf.shape(images)[axis], tf.int64)
    inside = tf.range(length) - (length - before) // 2
    return tf.gather(images, tf.clip_by_value(inside, 0, before - 1), axis=axis)
