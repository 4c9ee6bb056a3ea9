"""Which places landmarks take together: a Gaussian of whole shapes, learned from what a network finds.

A heat map that cannot tell one foot from another has two modes, and the other landmarks often tell which is right.
Each map is one noisy reading of its landmark, as noisy as it is wide; the others and the Gaussian say where the landmark is
to be expected without it (the leave-one-out prediction of a Gaussian process, Rasmussen and Williams 2006, section 5.4.2), and
the map is multiplied by that. A shape that moves, turns or grows has coordinates that depend on each other linearly, so one
Gaussian does for objects in any direction.
"""

import numpy as np
import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.layers import soft_argmax

_UNSEEN = 1e-8  # a map is 0 nowhere: that which it never expected can still be true


class ShapePrior(tf.keras.layers.Layer):
    """The Gaussian, and what it makes of heat maps. Before it has seen anything, landmarks are anywhere and independent.

    Mean and covariance are those of moving averages over batches, in which each pair of landmarks counts by how sure the network is of
    both.

    Args:
        num_points: A.
        tolerance: Standard deviation of what it does not explain of a landmark; the image is 2 units wide.
        weight: Exponent of what it says, beside the map's own.
        momentum: Of the moving averages, at each batch (of each part of one, where gradients accumulate).
    """

    def __init__(
        self,
        num_points: int,
        tolerance: float = 0.1,
        weight: float = 0.5,
        momentum: float = 0.98,
        **kwargs,
    ):
        super().__init__(dtype="float32", **kwargs)  # whatever the precision of networks is
        self.tolerance = tolerance
        self.weight = weight
        self.momentum = momentum
        # Means over images of w_a w_b, w_a w_b x_a and w_a w_b x_a x_b for each pair of coordinates, (y, x) of all A; and what follows.
        square = [2 * num_points, 2 * num_points]
        self.counts = self._add("counts", square, "identity")
        self.firsts = self._add("firsts", square, "zeros")
        self.seconds = self._add("seconds", square, "identity")
        self.mean = self._add("mean", square[:1], "zeros")
        self.covariance = self._add("covariance", square, "identity")

    def _add(self, name: str, shape: list[int], start: str) -> tf.Variable:
        # Replicas see different images.
        aggregation = tf.VariableAggregation.MEAN
        return self.add_weight(
            name, shape, initializer=start, trainable=False, aggregation=aggregation
        )

    def observe(self, points: tf.Tensor, confidence: tf.Tensor) -> None:
        """Learns from the landmarks of a batch.

        Args:
            points: `[B, A, 2]` (y, x).
            confidence: `[B, A]` in [0, 1]; a landmark counts by its square, and one that is not finite, as of a network that
                diverges, not at all.
        """
        shapes, weights = _flat(points), tf.repeat(tf.square(confidence), 2, axis=1)
        known = tf.math.is_finite(shapes) & tf.math.is_finite(weights)
        shapes, weights = (tf.where(known, values, 0.0) for values in (shapes, weights))
        number = tf.cast(tf.shape(points)[0], tf.float32)
        weighted = weights * shapes
        for variable, left, right in (
            (self.counts, weights, weights),
            (self.firsts, weighted, weights),
            (self.seconds, weighted, weighted),
        ):
            found = tf.matmul(left, right, transpose_a=True) / number
            variable.assign(self.momentum * variable + (1.0 - self.momentum) * found)
        means = tf.math.divide_no_nan(self.firsts, self.counts)  # of a, where b is known too
        covariance = tf.math.divide_no_nan(self.seconds, self.counts) - means * tf.transpose(means)
        # Each entry has weights of its own, and together they need not be a covariance.
        values, directions = tf.linalg.eigh(covariance)
        self.mean.assign(tf.linalg.diag_part(means))
        self.covariance.assign(
            tf.matmul(directions * tf.nn.relu(values), directions, transpose_b=True)
        )

    def refine(self, found: soft_argmax.Detection, rounds: int = 2) -> soft_argmax.Detection:
        """Multiplies each heat map by what the others make of its landmark.

        Args:
            found: Heat maps and the landmarks that are their means.
            rounds: How often; what one map has decided helps the others the next time.

        Returns:
            The products, each of sum 1, and their means. An image with a map that is not finite comes back as NaN.
        """
        height, width, count = found.heatmaps.shape[1:]
        basis = tf.constant(_quadratics(height, width), tf.float32)
        maps = tf.reshape(tf.transpose(found.heatmaps, [0, 3, 1, 2]), [-1, count, height * width])
        whole = tf.reduce_all(tf.math.is_finite(maps), axis=(1, 2), keepdims=True)
        maps = tf.where(whole, maps, 1.0 / (height * width))  # an inverse of NaN is an error
        own = tf.math.log(maps + _UNSEEN)
        for _ in range(rounds):
            expected, spread = self._expected(*_mean_and_covariance(maps, basis))
            log_gaussian = -0.5 * self.weight * _distances(expected, tf.linalg.inv(spread))
            maps = tf.nn.softmax(own + tf.matmul(log_gaussian, basis, transpose_b=True))
        maps = tf.where(whole, maps, float("nan"))
        landmarks, _ = _mean_and_covariance(maps, basis)
        maps = tf.transpose(tf.reshape(maps, [-1, count, height, width]), [0, 2, 3, 1])
        return found._replace(landmarks=landmarks, heatmaps=maps)

    def _expected(self, points: tf.Tensor, spreads: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Where each landmark is to be expected by the others, `[B, A, 2]`, and how surely, `[B, A, 2, 2]`.

        Args:
            points: `[B, A, 2]`, the means of the maps.
            spreads: `[B, A, 2, 2]`, their covariances.
        """
        noise = spreads + self.tolerance**2 * tf.eye(2)
        precision = tf.linalg.inv(self.covariance + _block_diagonal(noise))
        residual = tf.linalg.matvec(precision, _flat(points) - self.mean)
        # The prediction of a reading by all others, and its covariance.
        predicted = tf.linalg.inv(_blocks(precision, points.shape[1]))
        expected = points - tf.linalg.matvec(predicted, tf.reshape(residual, tf.shape(points)))
        # Of the landmark itself, less its own map's noise but for the tolerance.
        return expected, predicted - spreads


def _quadratics(height: int, width: int) -> np.ndarray:
    """1, y, x, y², yx and x² of each cell, `[height * width, 6]`: moments and quadratic forms are products with these."""
    y, x = coordinates.corner_grid((height, width)).reshape(-1, 2).T
    return np.stack([np.ones_like(y), y, x, y * y, y * x, x * x], axis=-1)


def _mean_and_covariance(maps: tf.Tensor, basis: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Of `[B, A, n]` distributions over cells: `[B, A, 2]` and `[B, A, 2, 2]`."""
    moments = tf.matmul(maps, basis)
    mean = moments[..., 1:3]
    second = tf.gather(moments, [[3, 4], [4, 5]], axis=-1)
    return mean, second - mean[..., tf.newaxis] * mean[..., tf.newaxis, :]


def _distances(centres: tf.Tensor, precision: tf.Tensor) -> tf.Tensor:
    """(u - c)' P (u - c) by the six quadratics of u: `[B, A, 2]` and `[B, A, 2, 2]` to `[B, A, 6]`."""
    pull = tf.linalg.matvec(precision, centres)
    constant = tf.reduce_sum(centres * pull, axis=-1, keepdims=True)
    yy, yx, xx = precision[..., 0, 0], precision[..., 0, 1], precision[..., 1, 1]
    return tf.concat([constant, -2.0 * pull, tf.stack([yy, 2.0 * yx, xx], axis=-1)], axis=-1)


def _flat(points: tf.Tensor) -> tf.Tensor:
    return tf.reshape(points, [-1, 2 * points.shape[1]])


def _block_diagonal(blocks: tf.Tensor) -> tf.Tensor:
    """`[B, A, 2, 2]` to `[B, 2A, 2A]`."""
    count = blocks.shape[1]
    full = tf.einsum("baij,ac->baicj", blocks, tf.eye(count))
    return tf.reshape(full, [-1, 2 * count, 2 * count])


def _blocks(matrices: tf.Tensor, count: int) -> tf.Tensor:
    """The 2x2 blocks on the diagonal: `[B, 2A, 2A]` to `[B, A, 2, 2]`."""
    split = tf.reshape(matrices, [-1, count, 2, count, 2])
    return tf.einsum("baiaj->baij", split)
