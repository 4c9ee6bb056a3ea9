"""Losses of descriptors: of whole images (InfoNCE, MoCo) and of every place (DVE, ContrastLandmark's projection).

Dense descriptors are `[B, P, D]`, P places of a grid one after the other. How alike two of them are is their inner
product, so whoever calls scales them: unit vectors times the root of an inverse temperature, or vectors of norm 20.
"""

import tensorflow as tf


def info_nce(
    query: tf.Tensor, key: tf.Tensor, queue: tf.Tensor, temperature: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Tells each query's key from those in the queue (He et al. 2020).

        -log softmax([q . k, q . Q_1, ..., q . Q_K] / temperature)[0]

    Args:
        query: `[B, D]` float32 unit vectors.
        key: `[B, D]` likewise, of another view of the same images; no gradient flows into it.
        queue: `[K, D]` keys of other images; no gradient flows into it either.
        temperature: Of the softmax.

    Returns:
        The loss of each query, `[B]`, and the logits `[B, 1 + K]`, the right one first.
    """
    key, queue = tf.stop_gradient(key), tf.stop_gradient(queue)
    positive = tf.reduce_sum(query * key, axis=-1, keepdims=True)
    negative = tf.matmul(query, queue, transpose_b=True)
    logits = tf.concat([positive, negative], axis=-1) / temperature
    return tf.reduce_logsumexp(logits, axis=-1) - logits[:, 0], logits


def expected_distance(
    query: tf.Tensor,
    key: tf.Tensor,
    goals: tf.Tensor,
    positions: tf.Tensor,
    power: float = 0.5,
) -> tf.Tensor:
    """How far off a place is found, on average, by its descriptor (Thewlis et al. 2019).

        1 / P sum_u sum_v |v - goal(u)|^power softmax_v <query_u, key_v>

    ContrastLandmark's projection loss is this with keys that are the queries, and goals that are the positions
    (docs/contrastlandmark.md).

    Args:
        query: `[B, P, D]` float32 of one image.
        key: `[B, Q, D]` of the other.
        goals: `[B or 1, P, 2]` where each place of the first lies in the second, in the unit of the distance.
        positions: `[Q, 2]` places of the second.
        power: Of the distance.

    Returns:
        `[B]`, in that unit to the power.
    """
    probabilities = tf.nn.softmax(tf.matmul(query, key, transpose_b=True))
    distances = tf.stop_gradient(_distances(goals, positions, power))
    return tf.reduce_mean(tf.reduce_sum(probabilities * distances, axis=-1), axis=-1)


def _distances(goals: tf.Tensor, positions: tf.Tensor, power: float) -> tf.Tensor:
    """`|goal - position|^power` of all pairs, `[B, P, Q]`."""
    # Coordinate by coordinate: TensorFlow is ten times slower where the last axis is of length 2.
    rows, columns = (goals[..., i, tf.newaxis] - positions[..., i] for i in (0, 1))
    squared = rows**2 + columns**2
    if power == 0.5:  # the published one, for which two roots are quicker than a power
        return tf.sqrt(tf.sqrt(squared))
    return squared ** (0.5 * power)


def exchange(query: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Says each descriptor in the words of another image, DVE's vector exchange (Thewlis et al. 2019).

        sum_w softmax_w(<query_u, other_w>) other_w

    Args:
        query: `[B, P, D]` float32.
        other: `[B, Q, D]` of images of other objects.

    Returns:
        `[B, P, D]`, not normalised.
    """
    return tf.matmul(tf.nn.softmax(tf.matmul(query, other, transpose_b=True)), other)
