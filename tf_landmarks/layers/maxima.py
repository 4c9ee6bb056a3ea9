"""The best place of a map of similarities, and how much better it is than the best one elsewhere."""

import tensorflow as tf

#: What is further away than this share of the side is another place: a tenth is what errors are called large by.
ELSEWHERE = 0.1


def distance_ratio(maps: tf.Tensor, cells: tf.Tensor, similarity: tf.Tensor) -> tf.Tensor:
    """How near the best place is, as a share of how near the best place elsewhere is.

        ratio = |q - f| / |q - f'|,    |q - f|^2 = 2 (1 - <q, f>) of unit descriptors

    f' is the most alike further than `ELSEWHERE` of the side from f (Lowe 2004, sec. 7.1, who keeps matches below
    0.8; there f' is of another object).

    Args:
        maps: `[N, H, W, K]` similarities, below -1 where nothing is looked for.
        cells: `[N, K, 2]` int32 (row, column) of the largest of each.
        similarity: `[N, K]`, these values.

    Returns:
        `[N, K]` float32 in [0, 1]; 1 where both places are as alike as can be.
    """
    _, height, width, _ = maps.shape
    rows, columns = (
        (tf.range(count)[:, tf.newaxis] - cells[:, tf.newaxis, :, axis]) / count
        for axis, count in ((0, height), (1, width))
    )
    squared = rows[:, :, tf.newaxis] ** 2 + columns[:, tf.newaxis] ** 2
    is_elsewhere = squared > ELSEWHERE**2
    second = tf.reduce_max(tf.where(is_elsewhere, maps, -1.0), axis=(1, 2))
    # Of rounding alone a similarity may be a little above 1, or a second above the first.
    near, far = (tf.maximum(1.0 - value, 0.0) for value in (similarity, second))
    ratio = tf.sqrt(tf.math.divide_no_nan(near, far))
    return tf.cast(tf.where(far > 0, tf.minimum(ratio, 1.0), 1.0), tf.float32)


def first_maximum(maps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The largest value of each map `[N, H, W, K]`: cells `[N, K, 2]` int32 (row, column), and values `[N, K]`.

    Of equal ones it is the first, row by row.
    """
    _, height, width, _ = maps.shape
    count = tf.shape(maps)[3]
    flat = tf.reshape(tf.transpose(maps, [0, 3, 1, 2]), [-1, count, height * width])
    values, indices = tf.math.top_k(
        flat
    )  # which promises the first of equals, other than tf.argmax
    index = indices[..., 0]
    return tf.stack([index // width, index % width], axis=-1), values[..., 0]
