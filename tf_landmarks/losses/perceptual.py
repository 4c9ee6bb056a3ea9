"""Comparing images at several levels of a network, each weighted by a running mean of its error.

Source: Jakab et al. 2018, section 3.3 ("perceptual loss"), and their released code for the running
means; the idea of balancing levels is Chen & Koltun 2017. The level `input` compares pixels.
"""

import tensorflow as tf

# Start values of the running means, in units of squared 0-255 values for `input` and of squared
# VGG features elsewhere; from the released code.
INITIAL_MEANS = {
    "input": 100.0,
    "conv1_2": 1.6,
    "conv2_2": 2.3,
    "conv3_2": 1.8,
    "conv4_2": 2.8,
    "conv5_2": 100.0,
}


class RunningBalance(tf.keras.layers.Layer):
    """Divides each level's error by its running mean, so that all levels weigh the same.

        a_k <- a_k + 0.01 (m_k - a_k)              in training only
        loss = 1000 sum_k m_k / a_k                with the a_k just updated

    The loss hovers near 1000 per level for ever; it is no measure of progress, the m_k are. As in the
    released code, gradient flows through a_k unless `stop_gradient` is set:
    d(m/a)/dm = 0.99 a_old / a^2 instead of 1/a.

    Args:
        levels: Names, keys of `INITIAL_MEANS`.
        stop_gradient: Take a_k for constants.
    """

    RATE = 0.01
    SCALE = 1000.0

    def __init__(self, levels: tuple[str, ...], stop_gradient: bool = False, **kwargs):
        super().__init__(dtype=tf.float32, **kwargs)
        self.levels, self.stop_gradient = levels, stop_gradient
        self.means = self.add_weight(
            "means",
            shape=[len(levels)],
            initializer=tf.keras.initializers.Constant([INITIAL_MEANS[k] for k in levels]),
            trainable=False,
            # Errors are averaged over replicas before they get here: every copy is the same.
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def call(self, errors: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Weighs the errors.

        Args:
            errors: `[levels]` float32, already averaged over replicas (`mean_over_replicas`).
            training: Whether to update the running means. Otherwise the error is divided by the
                blend that an update would have made, as the released code does, and nothing is kept.

        Returns:
            A scalar.
        """
        means = self.means + self.RATE * (errors - self.means)
        if training:
            self.means.assign(means)
        if self.stop_gradient:
            means = tf.stop_gradient(means)
        # A level that never errs, a dead one for instance, has a mean of 0 in the end.
        return self.SCALE * tf.reduce_sum(tf.math.divide_no_nan(errors, means))


def masked_mean(errors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Averages `mask * errors` over *all* elements, whatever the mask's sum.

    Args:
        errors: `[B, H, W, C]`.
        mask: `[B, h, w, 1]`, resized bilinearly to H, W where it differs.

    Returns:
        A scalar.
    """
    if mask.shape[1:3] != errors.shape[1:3]:
        mask = tf.image.resize(mask, errors.shape[1:3])
    return tf.reduce_mean(mask * errors)
