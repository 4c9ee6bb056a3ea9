"""How far maps of landmarks are from one another (Xu et al. 2020, equations 3 and 5)."""

import tensorflow as tf

#: Below the root, whose gradient at 0 would be infinite.
_EPSILON = 1e-12


def map_distance(first: tf.Tensor, second: tf.Tensor, squared: bool = False) -> tf.Tensor:
    """The mean over a batch of the distance of maps, all cells and landmarks of a sample together.

    ||p - q|| = sqrt(sum_{u, k} (p - q)^2 + 1e-12)

    Args:
        first: `[B, h, w, K]` float32.
        second: The same.
        squared: Without the root.

    Returns:
        A scalar. Two blobs of IMM's shape and a width of 0.1 that do not touch are 1.50 apart on 16 x 16 cells.
    """
    sums = tf.reduce_sum((first - second) ** 2, axis=(1, 2, 3))
    return tf.reduce_mean(sums if squared else tf.sqrt(sums + _EPSILON))
