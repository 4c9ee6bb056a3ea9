"""Losses on where landmarks are, without an image: alignment under a known warp, diversity, separation.

Maps are distributions over the cells of a grid, `[B, h, w, K]`, each summing to 1. All of it is float32.

Sources: Thewlis, Bilen, Vedaldi 2017, equations 5 to 8 (FSE); Zhang et al. 2018 (LMDIS).
"""

import math

import tensorflow as tf


def map_alignment(target: tf.Tensor, source: tf.Tensor, cells, moved: tf.Tensor) -> tf.Tensor:
    """Expected squared distance between a landmark and its image under a warp (FSE, equation 6).

        1/K sum_k sum_u sum_v |u - g(v)|^2 p_k(u) q_k(v)

    in linear time, as |mean_p u - mean_q g(v)|^2 + tr Cov_p u + tr Cov_q g(v): the expanded squares
    would cancel in float32 once maps are sharp.

    Args:
        target: `[B, h, w, K]` p.
        source: `[B, h, w, K]` q.
        cells: `[h w, 2]` u, places of the target's cells, in any unit.
        moved: `[B, h w, 2]` g(v), where each cell of the source lies in the target, in the same unit.

    Returns:
        `[B]`, in that unit squared.
    """
    cells = tf.constant(cells, tf.float32)[tf.newaxis]
    target_mean, target_variance = _moments(target, cells)
    source_mean, source_variance = _moments(source, moved)
    distances = tf.reduce_sum((target_mean - source_mean) ** 2, axis=-1)
    return tf.reduce_mean(distances + target_variance + source_variance, axis=-1)


def _moments(maps: tf.Tensor, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean `[B, K, 2]` and total variance `[B, K]` of places `[B or 1, P, 2]` under maps."""
    # Not by `soft_argmax.moments`: warped cells are no lattice, and have no marginals.
    weights = tf.reshape(maps, [-1, maps.shape[1] * maps.shape[2], maps.shape[3]])
    mean = tf.einsum("bpk,bpd->bkd", weights, places + tf.zeros_like(weights[..., :1]))
    offsets = places[:, :, tf.newaxis] - mean[:, tf.newaxis]  # [B, P, K, 2]
    return mean, tf.reduce_sum(weights * tf.reduce_sum(offsets**2, axis=-1), axis=1)


def diversity(maps: tf.Tensor, pool: int = 1) -> tf.Tensor:
    """What is lost where maps overlap (FSE, equation 8): `K - sum_U max_k P_k(U)`.

    P_k(U) is the sum of map k over a block of `pool` x `pool` cells; blocks do not overlap, and the
    last ones are filled up with zeros, so that no probability is lost.

    Args:
        maps: `[B, h, w, K]`.
        pool: Side of a block, cells.

    Returns:
        `[B]`, 0 for maps that share no block, K - 1 for equal maps.
    """
    if pool > 1:
        rows, columns = (-length % pool for length in maps.shape[1:3])
        maps = tf.pad(maps, [[0, 0], [0, rows], [0, columns], [0, 0]])
        maps = pool**2 * tf.nn.avg_pool2d(maps, pool, pool, "VALID")
    return maps.shape[3] - tf.reduce_sum(tf.reduce_max(maps, axis=-1), axis=[1, 2])


def pairwise_diversity(maps: tf.Tensor) -> tf.Tensor:
    """Overlap of each two maps (FSE, equation 7): `1/K^2 sum_{k != l} sum_u p_k(u) p_l(u)`.

    As printed, the sum over u is missing and k = l is included, which could never be zero.

    Args:
        maps: `[B, h, w, K]`.

    Returns:
        `[B]`, 0 only for disjoint maps.
    """
    all_pairs = tf.reduce_sum(tf.reduce_sum(maps, axis=-1) ** 2, axis=[1, 2])
    with_itself = tf.reduce_sum(maps**2, axis=[1, 2, 3])
    return (all_pairs - with_itself) / maps.shape[3] ** 2


def concentration(variances: tf.Tensor) -> tf.Tensor:
    """How far maps spread: `2 pi e sum_k s_k^2`, the exponential of the entropy of a round Gaussian.

    Args:
        variances: `[B, K, 2]` along y and x. s_k is the mean of the two standard deviations, as in
            LMDIS' released code.

    Returns:
        `[B]`.
    """
    spread = tf.reduce_mean(tf.sqrt(variances + 1e-12), axis=-1)
    return 2.0 * math.pi * math.e * tf.reduce_sum(spread**2, axis=-1)


def separation(landmarks: tf.Tensor, width: float) -> tf.Tensor:
    """How near landmarks are to each other (LMDIS, equation 7).

        sum_{k != l} exp(-|x_k - x_l|^2 / (2 width^2)),    each pair counted twice

    Args:
        landmarks: `[B, K, 2]`.
        width: In their unit.

    Returns:
        `[B]`, 0 for landmarks far apart, K (K - 1) for landmarks on one spot.
    """
    offsets = landmarks[:, :, tf.newaxis] - landmarks[:, tf.newaxis]
    nearness = tf.exp(-tf.reduce_sum(offsets**2, axis=-1) / (2.0 * width**2))
    return tf.reduce_sum(nearness, axis=[1, 2]) - landmarks.shape[1]
