"""Which places landmarks take together: a Gaussian of whole shapes, learned from what a network finds.

A heat map that cannot tell one foot from another has two modes, and the other landmarks often tell which is right.
Each map is one noisy reading of its landmark, as noisy as it is wide; the others and the Gaussian say where the landmark is
to be expected without it (the leave-one-out prediction of a Gaussian process, Rasmussen and Williams 2006, section 5.4.2), and
the map is multiplied by that. A shape that moves, turns or grows has coordinates that depend on each other linearly, so one
Gaussian does for objects in any direction.
"""

import tensorflow as tf

from tf_landmarks import coordinates
from tf_landmarks.layers import soft_argmax

_UNSEEN = 1e-8  # a map is 0 nowhere: that which it never expected can still be true


class ShapePrior(tf.keras.layers.Layer):
    """The Gaussian, and what it makes of heat maps. Before it has seen anything, landmarks are anywhere and independent.

    Mean and covariance are moving averages over batches, in which each pair of landmarks counts by how sure the network is of
    both.

    Args:
        num_points: A.
        tolerance: Standard deviation of what it does not explain of a landmark; the image is 2 units wide.
        weight: Exponent of what it says, beside the map's own.
        momentum: Of the moving averages, at each batch.
    """

    def __init__(
        self,
        num_points: int,
        tolerance: float = 0.1,
        weight: float = 0.5,
        momentum: float = 0.98,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.tolerance = tolerance
        self.weight = weight
        self.momentum = momentum
        # Sums over images of w_a w_b, w_a w_b x_a and w_a w_b x_a x_b for each pair of coordinates: of x as (y, x) of all A.
        for name, start in ("counts", "identity"), ("firsts", "zeros"), ("seconds", "identity"):
            variable = self.add_weight(
                name,
                [2 * num_points, 2 * num_points],
                initializer=start,
                trainable=False,
                aggregation=tf.VariableAggregation.MEAN,
            )
            setattr(self, name, variable)

    def observe(self, points: tf.Tensor, confidence: tf.Tensor) -> None:
        """Learns from the landmarks of a batch.

        Args:
            points: `[B, A, 2]` (y, x).
            confidence: `[B, A]` in [0, 1]; a landmark counts by its square.
        """
        shapes = _flat(points)
        weights = tf.repeat(tf.square(confidence), 2, axis=1)
        number = tf.cast(tf.shape(points)[0], tf.float32)
        weighted = weights * shapes
        for variable, left, right in (
            (self.counts, weights, weights),
            (self.firsts, weighted, weights),
            (self.seconds, weighted, weighted),
        ):
            found = tf.matmul(left, right, transpose_a=True) / number
            variable.assign(self.momentum * variable + (1.0 - self.momentum) * found)

    def gaussian(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean `[2A]` and covariance `[2A, 2A]` of the coordinates, (y, x) of each landmark in turn."""
        means = tf.math.divide_no_nan(self.firsts, self.counts)  # of a, where b is known too
        covariance = tf.math.divide_no_nan(self.seconds, self.counts) - means * tf.transpose(means)
        # Each entry has weights of its own, and together they need not be a covariance.
        values, directions = tf.linalg.eigh(covariance)
        covariance = tf.matmul(directions * tf.nn.relu(values), directions, transpose_b=True)
        return tf.linalg.diag_part(means), covariance

    def refine(self, found: soft_argmax.Detection, rounds: int = 2) -> soft_argmax.Detection:
        """Multiplies each heat map by what the others make of its landmark.

        Args:
            found: Heat maps and the landmarks that are their means.
            rounds: How often; what one map has decided helps the others the next time.

        Returns:
            The products, each of sum 1, and their means.
        """
        mean, covariance = self.gaussian()
        own = tf.math.log(found.heatmaps + _UNSEEN)
        cells = coordinates.corner_grid(tuple(found.heatmaps.shape[1:3]))
        places = tf.constant(cells, tf.float32)[:, :, tf.newaxis]  # [h, w, 1, 2]
        for _ in range(rounds):
            expected, spread = self._expected(found, mean, covariance)
            apart = places - expected[:, tf.newaxis, tf.newaxis]
            distance = tf.einsum("bhwai,baij,bhwaj->bhwa", apart, tf.linalg.inv(spread), apart)
            logits = own - 0.5 * self.weight * distance
            heatmaps = tf.exp(logits - tf.reduce_logsumexp(logits, axis=(1, 2), keepdims=True))
            found = found._replace(landmarks=soft_argmax.mean(heatmaps), heatmaps=heatmaps)
        return found

    def _expected(
        self, found: soft_argmax.Detection, mean: tf.Tensor, covariance: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Where each landmark is to be expected by the others: `[B, A, 2]`, and how surely, `[B, A, 2, 2]`."""
        points = found.landmarks
        spreads = soft_argmax.covariance(found)
        noise = spreads + self.tolerance**2 * tf.eye(2)
        precision = tf.linalg.inv(covariance + _block_diagonal(noise))
        residual = tf.linalg.matvec(precision, _flat(points) - mean)
        # The prediction of a reading by all others, and its covariance.
        predicted = tf.linalg.inv(_blocks(precision, points.shape[1]))
        expected = points - tf.linalg.matvec(predicted, tf.reshape(residual, tf.shape(points)))
        # Of the landmark itself, less its own map's noise but for the tolerance.
        return expected, predicted - spreads


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
