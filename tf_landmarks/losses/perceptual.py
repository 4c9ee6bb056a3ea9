"""Comparing images at several levels of a network, each weighted by a running mean of its error.

Source: Jakab et al. 2018, section 3.2 ("perceptual loss"), and their released code for the running
means; the idea of balancing levels is Chen & Koltun 2017. The level `input` compares pixels, in colour
whatever the network sees.
"""

from typing import Literal

import tensorflow as tf

from tf_landmarks.layers import blocks, frozen_network

Start = Literal["published", "first_batch"]

# Start values of the running means, in units of squared 0-255 values for `input` and of squared
# VGG features elsewhere; from the released code. Other levels start at their first error.
INITIAL_MEANS = {
    "input": 100.0,
    "conv1_2": 1.6,
    "conv2_2": 2.3,
    "conv3_2": 1.8,
    "conv4_2": 2.8,
    "conv5_2": 100.0,
}
_UNKNOWN = 0.0


class RunningBalance(tf.keras.layers.Layer):
    """Divides each level's error by its running mean, so that all levels weigh the same.

        a_k <- a_k + 0.01 (m_k - a_k)              in training only
        loss = 1000 sum_k m_k / a_k                with the a_k just updated

    The loss hovers near 1000 per level for ever; it is no measure of progress, the m_k are. As in the
    released code, gradient flows through a_k unless `stop_gradient` is set:
    d(m/a)/dm = 0.99 a_old / a^2 instead of 1/a.

    Args:
        levels: Their names.
        stop_gradient: Take a_k for constants.
        start: "published": a_k start at `INITIAL_MEANS`, those of other levels at their first error;
            "first_batch": all start there.
    """

    RATE = 0.01
    SCALE = 1000.0

    def __init__(
        self,
        levels: tuple[str, ...],
        stop_gradient: bool = False,
        start: Start = "published",
        **kwargs,
    ):
        super().__init__(dtype=tf.float32, **kwargs)
        self.levels, self.stop_gradient = levels, stop_gradient
        known = INITIAL_MEANS if start == "published" else {}
        self.means = self.add_weight(
            "means",
            shape=[len(levels)],
            initializer=tf.keras.initializers.Constant([known.get(k, _UNKNOWN) for k in levels]),
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
        before = tf.where(self.means > _UNKNOWN, self.means, tf.stop_gradient(errors))
        means = before + self.RATE * (errors - before)
        if training:
            self.means.assign(means)
        if self.stop_gradient:
            means = tf.stop_gradient(means)
        # A level that never errs, a dead one for instance, has a mean of 0 in the end.
        return self.SCALE * tf.reduce_sum(tf.math.divide_no_nan(errors, means))

    def progress(self, errors: tf.Tensor) -> tf.Tensor:
        """The mean of m_k over its published start: what falls as training goes well, unlike the loss."""
        shares = [
            e / INITIAL_MEANS[k]
            for k, e in zip(self.levels, tf.unstack(errors), strict=True)
            if k in INITIAL_MEANS
        ]
        return tf.add_n(shares) / len(shares)


def level_errors(
    network: frozen_network.FrozenNetwork | None,
    target: tf.Tensor,
    output: tf.Tensor,
    mask: tf.Tensor,
    zoom: int = 1,
    half_pixel_centers: bool = True,
) -> dict[str, tf.Tensor]:
    """Compares two batches of images at the level `input` and at those of a network.

    No gradient flows to the target.

    Args:
        network: The loss network; None compares pixels alone.
        target: `[B, S, S, 3]` float32 RGB, 1 being white.
        output: The same, with gradient.
        mask: `[B, S, S, 1]`, how much each pixel of the target counts.
        zoom: How many times images are enlarged before the network sees them: networks learned on
            large images see more in small ones that way.
        half_pixel_centers: See `masked_mean`.

    Returns:
        The masked mean squared error of each level: of 0-255 values for `input`, of features else.
    """
    target = tf.stop_gradient(target)
    errors = {"input": masked_mean((255.0 * (target - output)) ** 2, mask)}
    if network is None:
        return errors
    if zoom > 1:
        side = zoom * target.shape[1]
        target, output = (tf.image.resize(images, [side, side]) for images in (target, output))
    target_features, output_features = network(target), network(output)
    for level, features in target_features.items():
        squared = (features - output_features[level]) ** 2
        errors[level] = masked_mean(squared, mask, half_pixel_centers)
    return errors


def masked_mean(errors: tf.Tensor, mask: tf.Tensor, half_pixel_centers: bool = True) -> tf.Tensor:
    """Averages `mask * errors` over *all* elements, whatever the mask's sum.

    Args:
        errors: `[B, H, W, C]`.
        mask: `[B, h, w, 1]`, resized bilinearly to H, W where it differs.
        half_pixel_centers: How it is resized, see `blocks.resize`.

    Returns:
        A scalar.
    """
    if mask.shape[1:3] != errors.shape[1:3]:
        mask = blocks.resize(mask, errors.shape[1:3], half_pixel_centers)
    return tf.reduce_mean(mask * errors)
