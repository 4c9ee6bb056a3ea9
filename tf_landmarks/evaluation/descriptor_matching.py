"""Finding the places of images whose descriptors are most like given ones.

Descriptors come in levels, `[N, h, w, D]` each, whose cells tile the network's input evenly. All levels are
brought to one grid bilinearly and each level's slice is normalised to unit length by itself; the similarity of
two places is the mean over levels of the cosines (Cheng et al. 2021, who take the sum). One level is just its
cosine. Whatever a level is multiplied by therefore changes nothing.

No level is ever enlarged. With weights w and cells f, a place of the grid is `sum_i w_i f_i`, hence

    <q, sum_i w_i f_i> = sum_i w_i <q, f_i>,    |sum_i w_i f_i|^2 = sum_ij w_i w_j <f_i, f_j>

and both need inner products of cells, or of neighbouring cells, at the level's own resolution. A hypercolumn of
3840 channels at 96 x 96 would be 141 MB for each image; this takes 1.1 MB and a hundredth of the operations.

Points are (y, x) in the `edge` convention of the network's input (coordinates.py), in which the centre of cell i
of h lies at `(2 i + 1) / h - 1` whatever h is.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_landmarks.layers import levels as levels_
from tf_landmarks.layers.levels import Levels
from tf_landmarks.layers.maxima import distance_ratio, first_maximum

# What lies outside of the grid, or of a box: below every cosine.
_NOWHERE = -2.0
# Where neighbours cancel to less than this share of their squared lengths, what is left of them is rounding.
_LEAST_SHARE = 1e-5
_TINY = 1e-30


class Matches(NamedTuple):
    """Where K descriptors were found in each of N images.

    Attributes:
        points: `[N, K, 2]` float32 (y, x), edge convention.
        similarity: `[N, K]` float32 in [-1, 1], the mean cosine at the place of the grid that is nearest.
        ratio: `[N, K]` float32 in [0, 1], how near the descriptor is to this place, as a share of how near it is to
            the best one elsewhere: 1 where two places are as good (Lowe 2004, sec. 7.1). See `maxima.distance_ratio`.
    """

    points: tf.Tensor
    similarity: tf.Tensor
    ratio: tf.Tensor


def default_grid(levels: Levels) -> int:
    """Half a cell of the finest level: twice its side. Published figures take the side of the network's input."""
    return 2 * max(max(level.shape[1:3]) for level in levels.values())


def read(levels: Levels, points: tf.Tensor) -> dict[str, tf.Tensor]:
    """Reads descriptors bilinearly at points.

    Args:
        levels: `[N, h, w, D]` by name.
        points: `[N, K, 2]` (y, x), edge convention; outside of the outermost centres of cells, these are read.

    Returns:
        `[N, K, D]` float32 by name, of unit length, zeros where a level says nothing.
    """
    points = tf.cast(points, tf.float32)
    found = {}
    for name, level in levels.items():
        _, height, width, channels = level.shape
        rows, columns = _weights(points[..., 0], height), _weights(points[..., 1], width)
        weights = rows[..., tf.newaxis] * columns[..., tf.newaxis, :]
        weights = tf.reshape(weights, [-1, tf.shape(points)[1], height * width])
        cells = tf.reshape(_scaled(level), [-1, height * width, channels])
        found[name] = levels_.unit_length(weights @ cells)
    return found


def average(queries: Levels, known: np.ndarray | tf.Tensor) -> dict[str, tf.Tensor]:
    """The mean of unit descriptors of several images, for what they have in common.

    Args:
        queries: `[N, K, D]` by name, see `read`.
        known: `[N, K]` bool, which of them count.

    Returns:
        `[1, K, D]` by name, of unit length.
    """
    weights = tf.cast(known, tf.float32)[..., tf.newaxis]
    return {
        name: levels_.unit_length(tf.reduce_sum(weights * level, axis=0, keepdims=True))
        for name, level in queries.items()
    }


def similarity_maps(levels: Levels, queries: Levels, grid: int) -> tf.Tensor:
    """How alike each place of images is to descriptors.

    Args:
        levels: `[N, h, w, D]` by name.
        queries: `[N, K, D]` by name, of unit length; `[1, K, D]`: the same ones for all images.
        grid: Places along each axis.

    Returns:
        `[N, grid, grid, K]` float32, the mean over levels of the cosines.
    """
    total = 0.0
    for name, level in levels.items():
        _, height, width, channels = level.shape
        level = _scaled(level)
        rows, columns = (_grid_weights(grid, count) for count in (height, width))
        cells = tf.reshape(level, [-1, height * width, channels])
        products = tf.matmul(cells, queries[name], transpose_b=True)
        products = tf.reshape(products, [-1, height, width, tf.shape(products)[-1]])
        lengths = _squared_lengths(level, rows, columns)
        cosines = _enlarge(products, rows, columns) * tf.math.rsqrt(lengths)[..., tf.newaxis]
        total += tf.clip_by_value(cosines, -1.0, 1.0)
    return total / len(levels)


def find(
    levels: Levels,
    queries: Levels,
    grid: int,
    boxes: tf.Tensor | None = None,
    between_cells: bool = True,
) -> Matches:
    """Finds where images are most like descriptors.

    Args:
        levels: `[N, h, w, D]` by name.
        queries: `[N, K, D]` or `[1, K, D]` by name, of unit length.
        grid: Places along each axis.
        boxes: `[N, 2, 2]` the least and the largest (y, x) of each image, edge convention: nothing is found
            outside. Everywhere, if not given.
        between_cells: Whether the maximum is looked for between places of the grid too.

    Returns:
        The matches; of equal maxima the first, row by row.
    """
    maps = similarity_maps(levels, queries, grid)
    if boxes is not None:
        maps = tf.where(_inside(boxes, grid), maps, _NOWHERE)
    cells, similarity = first_maximum(maps)
    ratio = distance_ratio(maps, cells, similarity)
    cells = tf.cast(cells, tf.float32)
    if between_cells:
        cells += refinement(maps, tf.cast(cells, tf.int32))
    points = (2.0 * cells + 1.0) / grid - 1.0
    if boxes is not None:
        points = tf.clip_by_value(points, boxes[:, tf.newaxis, 0], boxes[:, tf.newaxis, 1])
    return Matches(points, similarity, ratio)


def refinement(maps: tf.Tensor, cells: tf.Tensor) -> tf.Tensor:
    """How far from its cell the maximum of each map lies, by a parabola through the neighbours.

    The quadratic function with the values of the cell and its four neighbours, and the mixed derivative of the four
    corners, is exact for a map that is quadratic. Where it has no maximum nearby, each axis is treated
    by itself.

    Args:
        maps: `[N, H, W, K]`.
        cells: `[N, K, 2]` int32 (row, column) of the largest value.

    Returns:
        `[N, K, 2]` float32 (y, x) in cells, within one cell.
    """
    z = _windows(maps, cells)
    gy, gx = (z[..., 2, 1] - z[..., 0, 1]) / 2, (z[..., 1, 2] - z[..., 1, 0]) / 2
    hyy = z[..., 2, 1] - 2 * z[..., 1, 1] + z[..., 0, 1]
    hxx = z[..., 1, 2] - 2 * z[..., 1, 1] + z[..., 1, 0]
    hxy = (z[..., 2, 2] - z[..., 2, 0] - z[..., 0, 2] + z[..., 0, 0]) / 4
    determinant = hyy * hxx - hxy**2
    joint = tf.stack([hxy * gx - hxx * gy, hxy * gy - hyy * gx], axis=-1)
    joint = tf.math.divide_no_nan(joint, determinant[..., tf.newaxis])
    alone = tf.stack([-tf.math.divide_no_nan(gy, hyy), -tf.math.divide_no_nan(gx, hxx)], axis=-1)
    is_near = (determinant > 0) & tf.reduce_all(tf.abs(joint) <= 1.0, axis=-1)
    return tf.where(is_near[..., tf.newaxis], joint, tf.clip_by_value(alone, -0.5, 0.5))


def _windows(maps: tf.Tensor, cells: tf.Tensor) -> tf.Tensor:
    """`[N, K, 3, 3]` around cells; what lies nowhere is as on the opposite side, so that it draws to no side."""
    _, height, width, _ = maps.shape
    count = tf.shape(maps)[3]
    around = [[0, 0], [0, 0], [1, 1], [1, 1]]
    padded = tf.pad(tf.transpose(maps, [0, 3, 1, 2]), around, constant_values=_NOWHERE)
    flat = tf.reshape(padded, [-1, count, (height + 2) * (width + 2)])
    steps = np.arange(3)[:, np.newaxis] * (width + 2) + np.arange(3)
    start = cells[..., 0] * (width + 2) + cells[..., 1]
    window = tf.gather(flat, start[..., tf.newaxis] + steps.ravel(), batch_dims=2)
    window = tf.reshape(window, [-1, count, 3, 3])
    for axis in (2, 3):
        window = tf.where(window > _NOWHERE, window, tf.reverse(window, [axis]))
    return tf.where(window > _NOWHERE, window, window[..., 1:2, 1:2])


def _inside(boxes: tf.Tensor, grid: int) -> tf.Tensor:
    """`[N, grid, grid, 1]` bool: centres within boxes; each box holds those next to its middle at least."""
    centres = tf.constant((2 * np.arange(grid) + 1) / grid - 1, tf.float32)
    middle = tf.reduce_mean(boxes, axis=1)[..., tf.newaxis]
    low, high = boxes[:, 0, :, tf.newaxis], boxes[:, 1, :, tf.newaxis]
    inside = (centres >= low) & (centres <= high) | (tf.abs(centres - middle) <= 1.0 / grid)
    return (inside[:, 0, :, tf.newaxis] & inside[:, 1, tf.newaxis])[..., tf.newaxis]


def _weights(points: tf.Tensor, count: int) -> tf.Tensor:
    """Shares `[..., count]` of cells in the bilinear value at coordinates `[...]`, edge convention."""
    cells = tf.clip_by_value((points + 1.0) * (count / 2) - 0.5, 0.0, float(count - 1))
    offsets = cells[..., tf.newaxis] - tf.range(count, dtype=points.dtype)
    return tf.maximum(1.0 - tf.abs(offsets), 0.0)


def _grid_weights(grid: int, count: int) -> tf.Tensor:
    """`[grid, count]`, as `tf.image.resize` takes them."""
    centres = (2 * tf.range(grid, dtype=tf.float64) + 1) / grid - 1
    return tf.cast(_weights(centres, count), tf.float32)


def _enlarge(maps: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """`[N, grid, grid, K]` of `[N, h, w, K]`."""
    return tf.einsum("gh,xw,nhwk->ngxk", rows, columns, maps)


def _squared_lengths(level: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Squared lengths `[N, grid, grid]` of what bilinear enlargement of a level would give; above 0."""

    def products(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(one * other, axis=-1, keepdims=True)

    up, down, left, right = slice(None, -1), slice(1, None), slice(None, -1), slice(1, None)
    diagonal = products(level[:, up, left], level[:, down, right])
    diagonal += products(level[:, up, right], level[:, down, left])
    # Only neighbours share a place, and two of them share it twice: as i, j and as j, i.
    own, next_rows, next_columns = (
        (rows**2, columns**2),
        2 * rows[:, :-1] * rows[:, 1:],
        2 * columns[:, :-1] * columns[:, 1:],
    )
    squares = products(level, level)
    lengths = _enlarge(squares, *own)
    lengths += _enlarge(products(level[:, up], level[:, down]), next_rows, own[1])
    lengths += _enlarge(products(level[:, :, left], level[:, :, right]), own[0], next_columns)
    lengths += _enlarge(diagonal, next_rows, next_columns) / 2
    least = tf.maximum(_LEAST_SHARE * _enlarge(squares, rows, columns), _TINY)
    return tf.maximum(lengths, least)[..., 0]


def _scaled(level: tf.Tensor) -> tf.Tensor:
    """A level with the largest value 1: squares of what is very large or small would be infinite or 0."""
    level = tf.cast(level, tf.float32)
    largest = tf.reduce_max(tf.abs(level), axis=[1, 2, 3], keepdims=True)
    return tf.math.divide_no_nan(level, largest)
