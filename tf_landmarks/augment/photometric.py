"""Random changes of how a picture was taken and stored: JPEG noise, colour jitter, lighting.

They move no point of the image. Thewlis et al. 2019 (DVE) apply them to warped images, Cheng et al. 2021
(ContrastLandmark) with a crop between the first and the others. Images are `[N, H, W, 3]` float32 RGB in [0, 1], and
every image has parameters of its own, drawn by `draw`.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_landmarks.errors import UserError
from tf_landmarks.options import option

Parameters = dict[str, tf.Tensor]

#: JPEG noise: least side for one of 1, standard deviation around it, and the qualities (DVE's code).
JPEG_LEAST_SCALE, JPEG_SCALE_STD, JPEG_QUALITIES = 0.8, 0.5, (30, 98)
#: Principal components of the colours of ImageNet: standard deviations, and in column k the colour (R, G, B) of
#: the k-th (Krizhevsky et al. 2012, sec. 4.1; the numbers are those of DVE's code).
LIGHTING_STDS = np.array([0.2175, 0.0188, 0.0045], np.float32)
LIGHTING_COLOURS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]], np.float32
)
# Luma of ITU-R BT.601, what Pillow takes for grey.
_GREY = np.array([[0.299], [0.587], [0.114]], np.float32)
_BRIGHTNESS, _CONTRAST = 0, 1  # and 2, the saturation: the places of their factors


@dataclasses.dataclass(frozen=True)
class PhotometricStrength:
    """How strongly pictures change; all 0 is the identity, and the defaults are the published values."""

    jpeg: float = option(
        1.0, "probability of a JPEG file's noise, resized to another size and back"
    )
    brightness: float = option(0.4, "largest change of the brightness, as a factor around 1")
    contrast: float = option(0.4, "largest change of the contrast, as a factor around 1")
    saturation: float = option(0.4, "largest change of the saturation, as a factor around 1")
    lighting: float = option(
        0.1, "standard deviation of the light along ImageNet's principal colours, in units of these"
    )

    def check(self, prefix: str) -> None:
        """Checks that each is a share of 1, and the lighting not negative.

        Args:
            prefix: What stands before a field's name in its flag, for instance `--dve_photometric_`.

        Raises:
            UserError: Naming the flag.
        """
        for name, value in dataclasses.asdict(self).items():
            most = np.inf if name == "lighting" else 1.0
            if not 0.0 <= value <= most:
                wanted = "0 or more" if name == "lighting" else "in [0, 1]"
                raise UserError(f"{prefix}{name}={value} must be {wanted}; 0 turns it off")


def draw(strength: PhotometricStrength, seed: tf.Tensor, shape: tuple[int, ...]) -> Parameters:
    """Draws the parameters of all changes, purely of the seed.

    Args:
        strength: Of the changes.
        seed: `[2]` integers.
        shape: Leading dimensions of the draws, for instance (images,).

    Returns:
        `jpeg_scale` and `jpeg_quality` of `shape` (see `jpeg_noise`), `factors` and `order` of `shape + [3]` (see
        `color_jitter`), `lights` of `shape + [3]` (see `lighting`).
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 3), num=3)
    scale, quality = draw_jpeg_noise(strength.jpeg, seeds[0], shape)
    strengths = (strength.brightness, strength.contrast, strength.saturation)
    factors, order = draw_color_jitter(strengths, seeds[1], shape)
    return {
        "jpeg_scale": scale,
        "jpeg_quality": quality,
        "factors": factors,
        "order": order,
        "lights": draw_lights(strength.lighting, seeds[2], shape),
    }


def distort(images: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """Applies all changes to `images [N, S, S, 3]`, by what `draw` drew for shape (N,)."""
    images = jpeg_noise(images, parameters["jpeg_scale"], parameters["jpeg_quality"])
    images = color_jitter(images, parameters["factors"], parameters["order"])
    return lighting(images, parameters["lights"])


def draw_jpeg_noise(
    probability: float, seed: tf.Tensor, shape: tuple[int, ...]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws scales `max(0.8, N(1, 0.5^2))` and uniform integer qualities from 30 to 98, 0 where there is no noise.

    Returns:
        Two tensors of `shape`, float32 and int32.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 3), num=3)
    scale = 1.0 + JPEG_SCALE_STD * tf.random.stateless_normal(shape, seeds[0])
    low, high = JPEG_QUALITIES
    quality = tf.random.stateless_uniform(shape, seeds[1], low, high + 1, tf.int32)
    has_noise = tf.random.stateless_uniform(shape, seeds[2]) < probability
    return tf.maximum(JPEG_LEAST_SCALE, scale), tf.where(has_noise, quality, 0)


def jpeg_noise(images: tf.Tensor, scale: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """Resizes images, stores them as JPEG and resizes them back, as in collections from the web.

    Args:
        images: `[N, S, S, 3]` float32 in [0, 1].
        scale: `[N]` float32: the stored side is `floor(S scale)` pixels.
        quality: `[N]` int32 in 1..100, or 0 to leave an image as it is.

    Returns:
        `[N, S, S, 3]` float32 in [0, 1].
    """
    shape, own_side = images.shape[1:], images.shape[1]

    def store(image: tf.Tensor, side: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
        resized = _resize(image, side, side < own_side)
        # Not by convert_image_dtype, which rounds down more often than up: darker by up to half a level.
        pixels = tf.saturate_cast(tf.round(255.0 * resized), tf.uint8)
        # tf.io.encode_jpeg takes only a number as quality, and this operation has no other name.
        stored = tf.raw_ops.EncodeJpegVariableQuality(images=pixels, quality=quality)
        pixels = tf.io.decode_jpeg(stored, channels=3, dct_method="INTEGER_ACCURATE")
        read = tf.image.convert_image_dtype(pixels, tf.float32)
        return tf.ensure_shape(_resize(read, own_side, side > own_side), shape)

    def of_one(one: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, side, quality = one
        return tf.cond(quality > 0, lambda: store(image, side, quality), lambda: image)

    def of_all() -> tf.Tensor:
        sides = tf.cast(tf.floor(own_side * scale), tf.int32)
        signature = tf.TensorSpec(shape, tf.float32)
        noisy = tf.map_fn(of_one, (images, sides, quality), fn_output_signature=signature)
        return tf.clip_by_value(noisy, 0.0, 1.0)

    return tf.cond(tf.reduce_any(quality > 0), of_all, lambda: images)


def _resize(image: tf.Tensor, side, shrinks: tf.Tensor) -> tf.Tensor:
    """Resizes a square image as Pillow does: antialiased where it shrinks, which would only cost time elsewhere."""
    size = tf.stack([side, side])
    resized = tf.cond(
        shrinks,
        lambda: tf.image.resize(image, size, antialias=True),
        lambda: tf.image.resize(image, size),
    )
    return tf.ensure_shape(resized, [None, None, 3])


def draw_color_jitter(
    strengths: tuple[float, float, float], seed: tf.Tensor, shape: tuple[int, ...]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws factors, each uniform in [1 - strength, 1 + strength], and the order of their use.

    Args:
        strengths: Of brightness, contrast and saturation, in [0, 1].
        seed: `[2]` integers.
        shape: Leading dimensions of the draws.

    Returns:
        `shape + [3]` each, float32 and int32: the factors of brightness, contrast and saturation; and a permutation
        of (0, 1, 2), all being equally likely.
    """
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 2), num=2)
    shape = [*shape, 3]
    factors = 1.0 + tf.constant(strengths) * tf.random.stateless_uniform(shape, seeds[0], -1.0, 1.0)
    return factors, tf.argsort(tf.random.stateless_uniform(shape, seeds[1]))


def color_jitter(images: tf.Tensor, factors: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
    """Changes brightness, contrast and saturation as torchvision's ColorJitter does, in any order.

        image <- clip(f image + (1 - f) base)

    where the base of brightness is black, that of contrast the mean of the grey image, and that of saturation the
    grey image itself.

    Args:
        images: `[N, H, W, 3]` float32 in [0, 1].
        factors: `[N, 3]` float32, f of brightness, contrast and saturation.
        order: `[N, 3]` int32, a permutation of (0, 1, 2) each: which of them is first, second, third.

    Returns:
        `[N, H, W, 3]` float32, clipped to [0, 1] after each of the three.
    """
    for which in tf.unstack(order, num=3, axis=1):
        factor = tf.gather(factors, which, batch_dims=1)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        which = which[:, tf.newaxis, tf.newaxis, tf.newaxis]
        grey = tf.einsum("nhwc,cd->nhwd", images, _GREY)  # [N, H, W, 1]
        mean = tf.reduce_mean(grey, axis=(1, 2), keepdims=True)
        base = tf.where(which == _CONTRAST, mean, grey)
        base = tf.where(which == _BRIGHTNESS, 0.0, base)
        # In this form, a factor of 1 leaves every bit of an image as it is.
        images = tf.clip_by_value(factor * images + (1.0 - factor) * base, 0.0, 1.0)
    return images


def draw_lights(std: float, seed: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Draws how much light of each principal colour is added, N(0, std^2), `shape + [3]` float32."""
    return std * tf.random.stateless_normal([*shape, 3], seed)


def lighting(images: tf.Tensor, lights: tf.Tensor) -> tf.Tensor:
    """Adds light of ImageNet's principal colours, the same to every pixel of an image.

        image <- clip(image + V (lambda * a))

    Krizhevsky et al. 2012, sec. 4.1; V is `LIGHTING_COLOURS`, lambda `LIGHTING_STDS`.

    Args:
        images: `[N, H, W, 3]` float32 in [0, 1].
        lights: `[N, 3]` float32, a.

    Returns:
        `[N, H, W, 3]` float32, clipped to [0, 1].
    """
    colours = tf.matmul(lights * LIGHTING_STDS, LIGHTING_COLOURS, transpose_b=True)
    return tf.clip_by_value(images + colours[:, tf.newaxis, tf.newaxis], 0.0, 1.0)
