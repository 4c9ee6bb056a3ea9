"""Reading images at arbitrary points: the one place where a warp meets pixels.

Points are (y, x) in the corner convention of the image that is read (coordinates.py), one for every
output pixel: output -> input. Outside the image lies either nothing (`zeros`) or the continuation
of its edge (`edge`).
"""

import tensorflow as tf

from tf_landmarks import coordinates

BORDERS = ("zeros", "edge")


def sample(images: tf.Tensor, points: tf.Tensor, border: str = "zeros") -> tf.Tensor:
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
    """Does what `sample` does by `tfa.image.dense_image_warp`, the reference that `sample` is tested against.

    Needs tensorflow-addons, hence TensorFlow 2.15; the output must be as large as the input. The
    operation itself clamps points to the image; zeros around it give the zero border.

    Args:
        images: `[B, H, W, C]`, any numeric type.
        points: `[B, H, W, 2]` float32 (y, x) in the corner convention of `images`.
        border: As in `sample`.

    Returns:
        `[B, H, W, C]` float32.

    Raises:
        ValueError: If `border` is unknown.
        ImportError: Without tensorflow-addons.
    """
    import tensorflow_addons as tfa

    _check_border(border)
    images = tf.cast(images, tf.float32)
    _, height, width, _ = _dimensions(images)
    pixels = coordinates.pixels_from_corner(points, (height, width))
    grid = coordinates.pixels_from_corner(
        tf.constant(coordinates.corner_grid((height, width)), tf.float32), (height, width)
    )
    flow = grid[tf.newaxis] - pixels
    if border == "edge":
        return tfa.image.dense_image_warp(images, flow)
    around = [[0, 0], [1, 1], [1, 1], [0, 0]]
    return tfa.image.dense_image_warp(tf.pad(images, around), tf.pad(flow, around))[:, 1:-1, 1:-1]


def _check_border(border: str) -> None:
    if border not in BORDERS:
        raise ValueError(f"border={border!r} is unknown; it is one of {', '.join(BORDERS)}")


def _dimensions(images: tf.Tensor) -> list:
    """Returns the four dimensions, as Python numbers where they are known."""
    dynamic = tf.shape(images)
    return [dynamic[i] if n is None else n for i, n in enumerate(images.shape)]
