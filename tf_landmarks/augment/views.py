"""Two views of one image, for methods that learn what views have in common (Cheng et al. 2021)."""

import dataclasses
import math

import tensorflow as tf

from tf_landmarks.augment import photometric
from tf_landmarks.augment.augmentation import Augmentation, Batch, Draws
from tf_landmarks.augment.photometric import PhotometricStrength
from tf_landmarks.data.geometry import Geometry
from tf_landmarks.data.samplers import SingleImages

#: Shares of the image's area and width by height of a crop, as torchvision's RandomResizedCrop has them; and how
#: often it tries to find one that fits.
AREAS, ASPECTS, TRIES = (0.2, 1.0), (3 / 4, 4 / 3), 10


@dataclasses.dataclass(frozen=True)
class TwoViews(Augmentation):
    """Two views of an image, each by draws of its own.

        JPEG noise -> crop, resized to the load size -> colour jitter -> lighting -> the centre

    view1, view2    [B, S, S, 3] float32 in [0, 1]

    A crop has no whole pixels as its corners, where torchvision rounds it: draws need not know the size of
    the image then.

    Attributes:
        strength: Of all but the crop.
        crop_scale: Least and largest share of a crop of the loaded image's area; (1, 1) crops nothing.
    """

    strength: PhotometricStrength = PhotometricStrength()
    crop_scale: tuple[float, float] = AREAS
    sampler = SingleImages()

    def __post_init__(self):
        least, most = self.crop_scale
        if not 0.0 < least <= most <= 1.0:
            raise ValueError(
                f"crop_scale={self.crop_scale} must be two shares, 0 < least <= most <= 1"
            )

    def draw(self, seed: tf.Tensor, batch_size: int) -> Draws:
        """Draws crops `[B, 2, 4]` and what `photometric.draw` does, `[B, 2, ...]`, of both views."""
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2), num=2)
        shape = (batch_size, 2)
        return {
            "crop": draw_crops(seeds[0], shape, self.crop_scale),
            **photometric.draw(self.strength, seeds[1], shape),
        }

    def apply(self, images: tf.Tensor, draws: Draws, geometry: Geometry) -> Batch:
        """Makes a batch of views from `images [B, 1, L, L, 3]`; see the base class."""
        size = geometry.size
        views = tf.repeat(images[:, 0], 2, axis=0)  # [2 B, L, L, 3], the two of an image together
        drawn = {name: tf.reshape(rows, [-1, *rows.shape[2:]]) for name, rows in draws.items()}
        views = photometric.jpeg_noise(views, drawn["jpeg_scale"], drawn["jpeg_quality"])
        views = crop(views, drawn["crop"])
        views = photometric.color_jitter(views, drawn["factors"], drawn["order"])
        # Lighting changes each pixel by itself, so that nobody sees that the margin had none.
        views = photometric.lighting(geometry.centre(views), drawn["lights"])
        views = tf.reshape(views, [-1, 2, size, size, 3])
        return {"view1": views[:, 0], "view2": views[:, 1]}

    def pictures(self, batch: Batch) -> list[tf.Tensor]:
        """Shows the two views."""
        return [batch["view1"], batch["view2"]]


def draw_crops(
    seed: tf.Tensor,
    shape: tuple[int, ...],
    areas: tuple[float, float] = AREAS,
    aspects: tuple[float, float] = ASPECTS,
) -> tf.Tensor:
    """Draws crops of a square image, as torchvision's RandomResizedCrop does.

    Area and logarithm of the aspect are uniform, until both sides fit into the image; where none of ten does, the
    largest crop in the middle is taken whose aspect is allowed.

    Args:
        seed: `[2]` integers, of which the crops are a pure function.
        shape: Leading dimensions of the draw.
        areas: Least and largest share of the image's area.
        aspects: Least and largest width by height.

    Returns:
        `shape + [4]` float32: top, left, height and width, in units of the image's side.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 3), num=3)
    tries = [*shape, TRIES]
    area = tf.random.stateless_uniform(tries, seeds[0], *areas)
    aspect = tf.random.stateless_uniform(tries, seeds[1], *(math.log(x) for x in aspects))
    # (height, width) of every try: their product is the area, their quotient the aspect.
    sides = tf.sqrt(area)[..., tf.newaxis] * tf.exp(tf.stack([-aspect, aspect], axis=-1) / 2.0)
    fits = tf.reduce_all(sides <= 1.0, axis=-1)  # shape + [TRIES]
    first = tf.argmax(tf.cast(fits, tf.int32), axis=-1)
    chosen = tf.reduce_sum(tf.one_hot(first, TRIES)[..., tf.newaxis] * sides, axis=-2)
    middle = min(max(1.0, aspects[0]), aspects[1])
    largest = tf.constant([min(1.0, 1.0 / middle), min(1.0, middle)])
    found = tf.reduce_any(fits, axis=-1, keepdims=True)
    chosen = tf.where(found, chosen, largest)
    place = tf.where(found, tf.random.stateless_uniform([*shape, 2], seeds[2]), 0.5)
    return tf.concat([place * (1.0 - chosen), chosen], axis=-1)


def crop(images: tf.Tensor, crops: tf.Tensor) -> tf.Tensor:
    """Resizes parts of images to the size of the images, bilinearly.

    Output pixel i shows the place `length (top + height (i + 1/2) / length) - 1/2`, in pixels: the areas of both
    correspond, not the centres of their corner pixels. Beyond the image, its edge continues.

    Args:
        images: `[N, H, W, C]` float32.
        crops: `[N, 4]` float32: top, left, height and width, in units of the image's sides, each at most 1.

    Returns:
        `[N, H, W, C]` float32.
    """
    height, width = images.shape[1:3]
    length = tf.constant([height, width], tf.float32)
    corner, step = length * crops[:, :2], crops[:, 2:]
    first = corner + 0.5 * step - 0.5
    last = first + step * (length - 1.0)
    # `crop_and_resize` puts the centres of the corner pixels at given places, in units of the distance of those of
    # the image, and reads 0 beyond it. A pixel around the image holds all that half a pixel beyond it reads.
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    boxes = tf.concat([first + 1.0, last + 1.0], axis=1) / tf.tile(length + 1.0, [2])
    indices = tf.range(tf.shape(images)[0])
    return tf.image.crop_and_resize(padded, boxes, indices, [height, width])
