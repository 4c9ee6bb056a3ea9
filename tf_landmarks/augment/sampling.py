"""Reading images at arbitrary points: the one place where a warp meets pixels.

Points are (y, x) in the corner convention of the image that is read (coordinates.py), one for every
output pixel: output -> input. Outside the image lies either nothing (`zeros`) or the continuation
of its edge (`edge`).

There are two samplers that agree: our own, which is fast and has no dependencies, and
`tfa.image.dense_image_warp`, the reference. `select` says once, at the start of a run, which of them warps
images. Whatever is no warp of an image (features of a network at points, a field of displacements) is read by
`bilinear`, our own.
"""

import importlib.util
import platform

import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.errors import UserError
from tf_landmarks.options import Sampler

BORDERS = ("zeros", "edge")
_selected: Sampler = "own"


def check(sampler: Sampler) -> None:
    """Checks that a sampler can be had here, without importing it.

    Raises:
        UserError: Naming the flag, and what to do.
    """
    if sampler == "dense_image_warp" and importlib.util.find_spec("tensorflow_addons") is None:
        raise UserError(
            "--sampler=dense_image_warp needs tensorflow-addons, which is not installed here (Python "
            f"{platform.python_version()}) and was never made for Python 3.12 or later; take --sampler=own, "
            "which computes the same, or Python 3.11 with requirements.txt"
        )


def select(sampler: Sampler) -> None:
    """Selects the sampler that `sample` uses from now on, in the whole process.

    The trainer calls it before it makes the first batch: graphs keep the sampler that they were traced with.

    Raises:
        UserError: See `check`.
    """
    global _selected
    check(sampler)
    _selected = sampler


def sample(images: tf.Tensor, points: tf.Tensor, border: str = "zeros") -> tf.Tensor:
    """Warps images by the selected sampler; see `bilinear` for arguments and result."""
    if _selected == "dense_image_warp":
        return sample_by_dense_image_warp(images, points, border)
    return bilinear(images, points, border)


def bilinear(images: tf.Tensor, points: tf.Tensor, border: str = "zeros") -> tf.Tensor:
    """Samples images bilinearly at given points, with gradients to both.

    Args:
        images: `[B, H, W, C]`, any numeric type.
        points: `[B, h, w, 2]` float32 (y, x) in the corner convention of `images`; h, w are free.
        border: "zeros": pixels outside the image count as 0, so a point half a pixel outside gets
            half of the edge pixel. "edge": points outside read the nearest edge position.

    Returns:
        `[B, h, w, C]` float32.

    Raises:
        ValueError: If `border` is unknown.
    """
    _check_border(border)
    images = tf.cast(images, tf.float32)
    batch, height, width, channels = _dimensions(images)
    y, x = tf.unstack(coordinates.pixels_from_corner(points, (height, width)), axis=-1)
    if border == "edge":
        y = tf.clip_by_value(y, 0.0, tf.cast(height - 1, tf.float32))
        x = tf.clip_by_value(x, 0.0, tf.cast(width - 1, tf.float32))

    flat = tf.reshape(images, [batch * height * width, channels])
    first_row = tf.reshape(tf.range(batch) * height, [batch, 1, 1])
    top, left = tf.floor(y), tf.floor(x)
    down, right = y - top, x - left  # Not by tf.abs, whose gradient at a pixel's centre is 0.
    sampled = 0.0
    for corner_y, weight_y in ((top, 1.0 - down), (top + 1.0, down)):
        for corner_x, weight_x in ((left, 1.0 - right), (left + 1.0, right)):
            weight = weight_y * weight_x
            row, column = tf.cast(corner_y, tf.int32), tf.cast(corner_x, tf.int32)
            if border == "zeros":
                inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
                weight = tf.where(inside, weight, 0.0)
            row = tf.clip_by_value(row, 0, height - 1)
            column = tf.clip_by_value(column, 0, width - 1)
            pixels = tf.gather(flat, (first_row + row) * width + column)
            sampled += weight[..., tf.newaxis] * pixels
    return sampled


def sample_by_dense_image_warp(
    images: tf.Tensor, points: tf.Tensor, border: str = "zeros"
) -> tf.Tensor:
    """Does what `bilinear` does by way of `tfa.image.dense_image_warp`.

    Needs tensorflow-addons, hence Python 3.11 and TensorFlow 2.15. The operation clamps points to the image:
    a border of zeros around it makes them read zeros. It gives as many pixels as it takes: the smaller of
    input and output is padded to the size of the larger.

    Args:
        images: See `bilinear`.
        points: See `bilinear`.
        border: See `bilinear`.

    Returns:
        `[B, h, w, C]` float32.

    Raises:
        ValueError: If `border` is unknown.
        ImportError: Without tensorflow-addons.
    """
    import tensorflow_addons as tfa

    _check_border(border)
    images = tf.cast(images, tf.float32)
    _, height, width, _ = _dimensions(images)
    _, rows, columns, _ = _dimensions(points)
    pixels = coordinates.pixels_from_corner(points, (height, width))
    margin = 1 if border == "zeros" else 0
    least = tf.constant([0.0 - margin, 0.0 - margin])
    most = tf.cast(tf.stack([height - 1 + margin, width - 1 + margin]), tf.float32)
    pixels = tf.clip_by_value(pixels, least, most) + margin

    side_y, side_x = _larger(height + 2 * margin, rows), _larger(width + 2 * margin, columns)
    below, right = side_y - height - margin, side_x - width - margin
    padded = tf.pad(images, [[0, 0], [margin, below], [margin, right], [0, 0]])
    grid = tf.stack(tf.meshgrid(tf.range(side_y), tf.range(side_x), indexing="ij"), axis=-1)
    grid = tf.cast(grid, tf.float32)
    flow = grid[tf.newaxis, :rows, :columns] - pixels
    flow = tf.pad(flow, [[0, 0], [0, side_y - rows], [0, side_x - columns], [0, 0]])
    return tfa.image.dense_image_warp(padded, flow)[:, :rows, :columns]


def _check_border(border: str) -> None:
    if border not in BORDERS:
        raise ValueError(f"border={border!r} is unknown; it is one of {', '.join(BORDERS)}")


def _larger(one, other):
    """The larger of two dimensions, a Python number where both are."""
    known = isinstance(one, int) and isinstance(other, int)
    return max(one, other) if known else tf.maximum(one, other)


def _dimensions(images: tf.Tensor) -> list:
    """Returns the four dimensions, as Python numbers where they are known."""
    dynamic = tf.shape(images)
    return [dynamic[i] if n is None else n for i, n in enumerate(images.shape)]
