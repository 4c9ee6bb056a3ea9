"""Feature maps of several sizes as one: levels brought to a grid, projected there, places named.

Levels are what a `FeatureModel` yields: `[B, h, w, D]` each, by name. The cells of every level tile the
network's input evenly, so that cell i of h has its centre at (2 i + 1) / h - 1 in the `edge` convention of
coordinates.py, of the map and of the input alike. Bilinear resizing with half-pixel centres keeps to that.
"""

from collections.abc import Mapping

import tensorflow as tf

from tf_landmarks import coordinates

Levels = Mapping[str, tf.Tensor]


def grid_size(levels: Levels, grid: int = 0) -> tuple[int, int]:
    """(height, width) of a square grid of `grid` cells a side, or of the finest level for 0."""
    if grid:
        return (grid, grid)
    return tuple(max(level.shape[axis] for level in levels.values()) for axis in (1, 2))


def resize(level: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Brings `[B, h, w, D]` to `size` cells: bilinearly, half-pixel centres, without smoothing."""
    return level if tuple(level.shape[1:3]) == tuple(size) else tf.image.resize(level, size)


def convolve(levels: Levels, kernels: Mapping[str, tf.Tensor], size: tuple[int, int]) -> tf.Tensor:
    """Convolves the levels as if they were one map of all their channels on one grid.

    A 1x1 convolution commutes with bilinear resizing (contrastive learning of landmarks, Cheng et al. 2021:
    hypercolumns of 3 840 channels): each level is projected at its own resolution, or on the grid where that
    has fewer cells; the results are resized and summed. Larger kernels see the grid.

    Args:
        levels: `[B, h, w, D]` each; those without a kernel are not read.
        kernels: `[k, k, D, F]` by the names of levels.
        size: (height, width) of the grid, in cells.

    Returns:
        `[B, height, width, F]` float32.

    Raises:
        ValueError: If a level is missing.
    """
    missing = [name for name in kernels if name not in levels]
    if missing:
        raise ValueError(f"levels {missing} are missing; there are {list(levels)}")
    parts = []
    for name, kernel in kernels.items():
        level = tf.cast(levels[name], tf.float32)
        cells = level.shape[1] * level.shape[2]
        if tuple(kernel.shape[:2]) == (1, 1) and cells <= size[0] * size[1]:
            parts.append(resize(tf.nn.conv2d(level, kernel, 1, "SAME"), size))
        else:
            parts.append(tf.nn.conv2d(resize(level, size), kernel, 1, "SAME"))
    return tf.add_n(parts)


def unit(level: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Descriptors of unit length on a grid, of one level; see `unit_length`."""
    return unit_length(resize(tf.cast(level, tf.float32), size))


def unit_length(descriptors: tf.Tensor) -> tf.Tensor:
    """Scales descriptors `[..., D]` to length 1; of zeros, or with a number that is not finite, they say nothing: 0."""
    is_known = tf.reduce_all(tf.math.is_finite(descriptors), axis=-1, keepdims=True)
    known = tf.where(is_known, descriptors, 0.0)
    # Of squares, large and small numbers alike would run over or under.
    largest = tf.reduce_max(tf.abs(known), axis=-1, keepdims=True)
    known = tf.math.divide_no_nan(known, largest)
    return tf.math.divide_no_nan(known, tf.norm(known, axis=-1, keepdims=True))


def input_from_cells(points: tf.Tensor, size: tuple[int, int], input_size: int) -> tf.Tensor:
    """The corner convention of a grid of cells -> that of the network's input.

    Args:
        points: `[..., 2]` (y, x), -1 and +1 at the centres of the first and the last cell.
        size: (height, width) of the grid, in cells.
        input_size: Side of the network's input, pixels.

    Returns:
        `[..., 2]` (y, x), -1 and +1 at the centres of the corner pixels.
    """
    edge = coordinates.edge_from_corner(points, size)
    return coordinates.corner_from_edge(edge, (input_size, input_size))


def cells_from_input(points: tf.Tensor, size: tuple[int, int], input_size: int) -> tf.Tensor:
    """The inverse of `input_from_cells`; a grid has at least 2 cells a side."""
    edge = coordinates.edge_from_corner(points, (input_size, input_size))
    return coordinates.corner_from_edge(edge, size)
