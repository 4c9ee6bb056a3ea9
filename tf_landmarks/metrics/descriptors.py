"""Descriptors of places: what the levels of a feature model say of each cell of one common grid.

Each level is brought to the grid bilinearly (half-pixel centres) and its slice of a descriptor scaled to unit
length by itself, so that no level drowns another (Cheng et al. 2021 match so). A descriptor is then scaled to
unit length as a whole: the inner product of two is the mean of the cosines of their slices. Cell i of h covers
the i-th h-th of the input's side.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.layers import levels as levels_

#: Cells along a side of the common grid, at most: the memory of one image's descriptors is bounded.
MAX_GRID = 32


def grid_side(levels: Mapping[str, np.ndarray], most: int = MAX_GRID) -> int:
    """Cells along a side of the common grid: those of the finest level, up to `most`."""
    return min(most, max(level.shape[1] for level in levels.values()))


def side_by_side(levels: Mapping[str, np.ndarray], grid: int) -> np.ndarray:
    """Brings levels to a grid and puts their channels side by side, without scaling any.

    Args:
        levels: `[B, h, w, D]` float each, by name.
        grid: Cells along a side.

    Returns:
        `[B, grid, grid, sum of D]` float32.
    """
    resized = [levels_.resize(tf.constant(v, tf.float32), (grid, grid)) for v in levels.values()]
    return np.concatenate(resized, axis=-1)


def describe(levels: Mapping[str, np.ndarray], grid: int) -> np.ndarray:
    """Describes each cell of a grid.

    Args:
        levels: `[B, h, w, D]` float each, by name.
        grid: Cells along a side.

    Returns:
        `[B, grid, grid, sum of D]` float32 of unit length. A slice of zeros, or with a number that is not
        finite, says nothing: it stays zero and the descriptor is shorter.
    """
    slices = [levels_.unit(tf.constant(v, tf.float32), (grid, grid)) for v in levels.values()]
    return np.concatenate(slices, axis=-1) / np.float32(len(slices) ** 0.5)


def cell_centres(grid: int, size: int) -> np.ndarray:
    """Where the cells of a grid lie in the network's input.

    Args:
        grid: Cells along a side.
        size: Side of the input, pixels.

    Returns:
        `[grid^2, 2]` float64 (y, x) in the corner convention, row by row. Those of the outermost cells may
        lie a little outside of it where cells are smaller than pixels.
    """
    axis = (2 * np.arange(grid) + 1) / grid - 1
    edge = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    return coordinates.corner_from_edge(edge, (size, size))


def distinct_places(cells: np.ndarray, count: int) -> np.ndarray:
    """Chooses places whose descriptors differ most from those around them: on objects rather than beside them.

    Args:
        cells: `[h, h, D]` descriptors of an image.
        count: How many places, at most.

    Returns:
        Up to `count` rows of `cells` seen as `[h^2, D]`, the most distinct first, a sixth of the side apart and a
        tenth of it inside, where no padding is seen.
    """
    grid, margin = len(cells), max(1, len(cells) // 10)
    around = tf.nn.avg_pool2d(cells[np.newaxis], 3, 1, "SAME").numpy()[0]
    squares = (cells**2).sum(axis=-1)[np.newaxis, ..., np.newaxis]
    variance = tf.nn.avg_pool2d(squares, 3, 1, "SAME").numpy()[0, ..., 0] - (around**2).sum(axis=-1)
    left = np.full((grid, grid), -np.inf)
    inside = slice(margin, grid - margin)
    left[inside, inside] = variance[inside, inside]
    rows, columns = np.mgrid[:grid, :grid]
    chosen = []
    while len(chosen) < count and np.isfinite(left).any():
        row, column = np.unravel_index(left.argmax(), left.shape)
        chosen.append(row * grid + column)
        left[np.hypot(rows - row, columns - column) < max(1.0, grid / 6)] = -np.inf
    return np.array(chosen, int)


def nearest(queries: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The row of `cells [h^2, D]` whose descriptor is most similar to each of `queries [Q, D]`, the first of several."""
    return (queries @ cells.T).argmax(axis=1)
