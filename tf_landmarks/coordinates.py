"""The convention for coordinates, and every conversion between its two forms.

Inside the code a point is (y, x) in [-1, 1], in one of two conventions:

* `corner`: -1 and +1 are the centres of the first and the last pixel ("align corners"). What
  `represent` returns, what warps map, what `sampling.sample` takes. Unless a name says otherwise,
  this is the one.
* `edge`: -1 and +1 are the outer edges of the first and the last pixel, so that
  `edge = corner * (n - 1) / n` on an axis of n pixels. For losses that a paper states in it.

Pixels exist at the two doors only (data in, export and evaluation out): (0, 0) is the centre of the
top-left pixel, and users see them as (x, y).

All functions take NumPy arrays or tensors and return the same kind.
"""

import numpy as np
import tensorflow as tf


def corner_from_pixels(points, size):
    """Converts pixels to the corner convention: `u = 2 p / (n - 1) - 1`.

    Args:
        points: `[..., 2]` float (y, x) in pixels.
        size: (height, width) of the image in pixels, each at least 2; or a tensor `[..., 2]`.

    Returns:
        `[..., 2]` (y, x), -1 and +1 at the centres of the corner pixels.
    """
    return points * (2.0 / (_extent(size, points) - 1.0)) - 1.0


def pixels_from_corner(points, size):
    """Converts the corner convention to pixels, the inverse of `corner_from_pixels`."""
    return (points + 1.0) * ((_extent(size, points) - 1.0) / 2.0)


def edge_from_corner(points, size):
    """Converts the corner convention to the edge convention: `u_edge = u_corner (n - 1) / n`."""
    extent = _extent(size, points)
    return points * ((extent - 1.0) / extent)


def corner_from_edge(points, size):
    """Converts the edge convention to the corner convention, the inverse of `edge_from_corner`."""
    extent = _extent(size, points)
    return points * (extent / (extent - 1.0))


def swap_xy(points):
    """Exchanges (y, x) and (x, y) in the last axis."""
    return points[..., ::-1]


def corner_grid(size: tuple[int, int]) -> np.ndarray:
    """Returns the corner-convention coordinates of every pixel centre, `[height, width, 2]` float64."""
    axes = [np.linspace(-1.0, 1.0, n) for n in size]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def _extent(size, points):
    """The size as numbers of the kind and type of `points`."""
    if tf.is_tensor(points) or tf.is_tensor(size):
        return tf.cast(size, tf.convert_to_tensor(points).dtype)
    dtype = np.result_type(np.asarray(points).dtype, np.float32)
    return np.asarray(size, dtype)
