"""Batch normalisation whose statistics are those of parts of a batch, as on several devices.

Momentum contrast must not tell the query, by what both were normalised with, which key is its own (He et al. 2020,
"Shuffling BN"). Published runs take the statistics of each of four devices; groups of rows do the same on one.
"""

import tensorflow as tf


class GroupedBatchNormalization(tf.keras.layers.BatchNormalization):
    """Keras' batch normalisation, in training by the statistics of each of G groups of consecutive rows.

    A group is B/G rows. The running averages move towards the mean over groups of their means, and of their
    variances. In evaluation, or with one group, it is Keras' layer: its variables, per-replica running averages
    (replicas divide their own rows into G groups), and float32 statistics whatever the inputs' precision.

    The running variance is, as Keras' is for images, that of a sample: sum of squares / (n - 1), with n = B/G h w;
    what normalises a training batch divides by n. Defaults are those of the published networks, not Keras'.

    Args:
        groups: G; a training batch is a multiple of it.
        momentum: Of the running averages: what is kept of them in a step.
        epsilon: Added to variances.
        **kwargs: Of Keras' layer; `synchronized` only with one group.

    Raises:
        ValueError: If G is below 1, or replicas are to share statistics that groups are to keep apart.
    """

    def __init__(self, groups: int = 1, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        if groups < 1:
            raise ValueError(f"groups={groups}: at least 1")
        if groups > 1 and self.synchronized:
            raise ValueError(f"groups={groups} keep statistics apart that synchronized=True joins")
        self.groups = groups

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalises `inputs [B, h, w, C]`.

        Raises:
            ValueError: If B, in training, is no multiple of the groups (tf.errors.InvalidArgumentError where a graph
                does not know B), or the inputs are not images.
        """
        if self.groups == 1 or not training or not self.trainable:
            return super().call(inputs, training=training)
        inputs = tf.cast(inputs, self.compute_dtype)
        # One fused operation a group costs what one for the batch does; tf.nn.moments and a transpose that makes
        # groups channels cost up to 1.4 times as much.
        parts = [self._normalise(part) for part in tf.split(self._checked(inputs), self.groups)]
        outputs, means, variances = zip(*parts, strict=True)
        _move(self.moving_mean, tf.add_n(means) / self.groups, self.momentum)
        _move(self.moving_variance, tf.add_n(variances) / self.groups, self.momentum)
        return tf.concat(outputs, axis=0)

    def _checked(self, inputs: tf.Tensor) -> tf.Tensor:
        if inputs.shape.rank != 4:
            raise ValueError(f"inputs of shape {inputs.shape}; groups are of images [B, h, w, C]")
        rows, remedy = inputs.shape[0], f"not a multiple of groups={self.groups}"
        if rows is None:
            rest = tf.shape(inputs)[0] % self.groups
            with tf.control_dependencies(
                [tf.debugging.assert_equal(rest, 0, f"a training batch is {remedy}")]
            ):
                return tf.identity(inputs)
        if rows % self.groups:
            raise ValueError(f"a training batch of {rows} rows is {remedy}")
        return inputs

    def _normalise(self, part: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """A group normalised by its own statistics, its means `[C]` and variances `[C]` (of a sample)."""
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=part,
            scale=self.gamma,
            offset=self.beta,
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        return outputs, mean, variance


def _move(average: tf.Variable, value: tf.Tensor, momentum: float) -> None:
    average.assign_sub((average - value) * (1.0 - momentum))
