"""What a filtered correlation says of where things are: matches, and maps that are carried along (Xu et al. 2020, eq. 4).

All functions take a correlation `[B, Ha, Wa, Hb, Wb]` and answer for each cell of the *second* image: T(u_b) is a place
of the first one, T: second -> first, a backward warp of what the first image has onto the second's grid. For the
other direction, exchange the correlation (`correlation.exchange`). Places are (y, x) in the corner convention,
cell i of n at `linspace(-1, 1, n)[i]`.
"""

from typing import Literal

import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.augment import sampling

FlowMode = Literal["hard", "soft_warp", "soft_coord", "kernel", "straight_through"]

#: Width of the window around the best match in the mode "kernel", cells; our choice.
KERNEL_STD = 2.0


def probabilities(correlations: tf.Tensor, temperature: float) -> tf.Tensor:
    """S: for each cell of the second image a distribution over those of the first, `[B, Ha Wa, Hb Wb]`.

    Args:
        correlations: `[B, Ha, Wa, Hb, Wb]`.
        temperature: What they are divided by; cosines in [0, 1] at a temperature of 1 make a nearly even softmax.
    """
    return tf.nn.softmax(_by_cells(correlations) / temperature, axis=1)


def best_cells(correlations: tf.Tensor) -> tf.Tensor:
    """The numbers of the best cells in the first image, `[B, Hb Wb]` int32; of equal ones the first."""
    return tf.argmax(_by_cells(correlations), axis=1, output_type=tf.int32)


def places(correlations: tf.Tensor, mode: FlowMode, temperature: float) -> tf.Tensor:
    """T as coordinates.

    Args:
        correlations: `[B, Ha, Wa, Hb, Wb]`.
        mode: "hard": the best cells. "soft_coord": means of S. "kernel": means of S after values far from the best
            cell are lowered by a Gaussian window.
        temperature: See `probabilities`.

    Returns:
        `[B, Hb, Wb, 2]` float32 (y, x) in the first image.

    Raises:
        ValueError: If the mode yields no places.
    """
    _, *of_first, height, width = correlations.shape
    cells = tf.constant(coordinates.corner_grid(tuple(of_first)).reshape(-1, 2), tf.float32)
    if mode == "hard":
        found = tf.gather(cells, best_cells(correlations))
    elif mode in ("soft_coord", "kernel"):
        if mode == "kernel":
            correlations = correlations * _window(correlations, cells)
        found = tf.einsum("bac,ad->bcd", probabilities(correlations, temperature), cells)
    else:
        raise ValueError(f"mode {mode!r} yields no places; it is one of hard, soft_coord, kernel")
    return tf.reshape(found, [-1, height, width, 2])


def carry(
    correlations: tf.Tensor, maps: tf.Tensor, mode: FlowMode, temperature: float
) -> tf.Tensor:
    """T o p: what the first image has at each cell's match, on the grid of the second.

    `(T o p)(u) = p(T(u))`. Where the maps have another grid than the correlation, places are interpolated to it.

    Args:
        correlations: `[B, Ha, Wa, Hb, Wb]`.
        maps: `[B, h, w, K]` float32, of the first image.
        mode: "hard": read at the best cells, with gradient to the maps alone. "soft_warp": means of maps under S.
            "soft_coord", "kernel": read at `places`. "straight_through": the values of "hard" with the gradient of
            "soft_warp".
        temperature: See `probabilities`.

    Returns:
        `[B, h, w, K]` float32.

    Raises:
        ValueError: If the mode is unknown.
    """
    if mode == "soft_warp":
        return _mean_maps(correlations, maps, temperature)
    if mode == "straight_through":
        soft = _mean_maps(correlations, maps, temperature)
        return soft + tf.stop_gradient(carry(correlations, maps, "hard", temperature) - soft)
    size = tuple(maps.shape[1:3])
    if mode == "hard" and {size} == {tuple(correlations.shape[1:3]), tuple(correlations.shape[3:])}:
        flat = tf.reshape(maps, [-1, size[0] * size[1], maps.shape[3]])
        read = tf.gather(flat, best_cells(correlations), batch_dims=1)
        return tf.reshape(read, tf.shape(maps))
    found = places(correlations, mode, temperature)
    return sampling.bilinear(maps, resample(found, size), "edge")


def resample(maps: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Interpolates `[B, h, w, C]` to another grid, `[B, *size, C]`, corner cells on corner cells."""
    if tuple(maps.shape[1:3]) == tuple(size):
        return maps
    grid = tf.constant(coordinates.corner_grid(size), tf.float32)[tf.newaxis]
    return sampling.bilinear(maps, tf.repeat(grid, tf.shape(maps)[0], axis=0), "edge")


def _mean_maps(correlations: tf.Tensor, maps: tf.Tensor, temperature: float) -> tf.Tensor:
    _, *of_first, height, width = correlations.shape
    read = resample(maps, tuple(of_first))
    flat = tf.reshape(read, [-1, of_first[0] * of_first[1], maps.shape[3]])
    means = tf.einsum("bac,bak->bck", probabilities(correlations, temperature), flat)
    means = tf.reshape(means, [-1, height, width, maps.shape[3]])
    return resample(means, tuple(maps.shape[1:3]))


def _window(correlations: tf.Tensor, cells: tf.Tensor) -> tf.Tensor:
    """A Gaussian around the best cell of each cell of the second image, of the correlation's shape."""
    height, width = correlations.shape[1:3]
    scale = tf.constant([(height - 1) / 2.0, (width - 1) / 2.0])  # from coordinates to cells
    centres = tf.gather(cells, best_cells(correlations))  # [B, Hb Wb, 2]
    offsets = scale * (cells[:, tf.newaxis] - centres[:, tf.newaxis])  # [B, Ha Wa, Hb Wb, 2]
    window = tf.exp(-tf.reduce_sum(offsets**2, axis=-1) / (2.0 * KERNEL_STD**2))
    return tf.reshape(window, tf.shape(correlations))


def _by_cells(correlations: tf.Tensor) -> tf.Tensor:
    _, height, width, *of_second = correlations.shape
    return tf.reshape(correlations, [-1, height * width, of_second[0] * of_second[1]])
