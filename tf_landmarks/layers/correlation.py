"""Correlation of all places of one image with all of another, and what filters it (Xu et al. 2020, section 3.2).

A correlation is `[B, Ha, Wa, Hb, Wb]`, float32: entry [y_a, x_a, y_b, x_b] says how alike the two cells are. A full
convolution over its four axes costs k^4; Xu et al. take two of k^2, one over each image's axes (Yang & Ramanan 2019 do for optical flow).

Soft mutual matching and the network's two ways round (`symmetric`) are those of neighbourhood consensus (Rocco et al. 2018).
"""

import numpy as np
import tensorflow as tf

#: Added to maxima that mutual matching divides by, as in the released code of neighbourhood consensus.
_MUTUAL_EPSILON = 1e-5
#: Of the noise on the kernels of `SeparableConv4D`, which makes channels differ; the paper's initialisation.
NOISE_STD = 0.01


def correlation(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Cosines between every cell of one image and every cell of another.

    C[u_a, u_b] = <F_a(u_a), F_b(u_b)>,  F = f / sqrt(sum f^2 + 1e-6)

    Args:
        first: `[B, Ha, Wa, C]` features.
        second: `[B, Hb, Wb, C]`.

    Returns:
        `[B, Ha, Wa, Hb, Wb]` float32 in [-1, 1], in [0, 1] of features behind a ReLU.
    """
    return tf.einsum("bijc,bklc->bijkl", _unit(first), _unit(second))


def exchange(correlations: tf.Tensor) -> tf.Tensor:
    """Makes of C(A, B) what C(B, A) is, `[B, Hb, Wb, Ha, Wa, ...]`; channels may follow."""
    rest = list(range(5, len(correlations.shape)))
    return tf.transpose(correlations, [0, 3, 4, 1, 2, *rest])


def mutual_matching(correlations: tf.Tensor) -> tf.Tensor:
    """Lowers what is not the best match of both of its cells: C * (C / max_a C) * (C / max_b C).

    Args:
        correlations: `[B, Ha, Wa, Hb, Wb]`, not negative.

    Returns:
        The same shape; a pair of cells that are each other's best match keeps its value.
    """
    shares = [
        correlations / (tf.reduce_max(correlations, axis=axes, keepdims=True) + _MUTUAL_EPSILON)
        for axes in ((1, 2), (3, 4))
    ]
    return correlations * (shares[0] * shares[1])


class SeparableConv4D(tf.keras.layers.Layer):
    """A convolution over the axes of the second image, then one over those of the first, nothing between them.

    Together they are one convolution over four axes whose kernel is sum_m W1_m(offset in A) W2_m(offset in B), zeros
    beyond the images. It begins near the identity: the centre of each kernel carries values on, so that the output
    is what goes in (averaged where channels become fewer), but for normal noise of `NOISE_STD`. Drawn from the noise
    alone, as the paper has it, the output would be close to 0, and behind a ReLU often 0 everywhere, without a gradient.

    Args:
        filters: Channels of its output, and between the two.
        kernel_size: Side of both kernels, odd.
    """

    def __init__(self, filters: int, kernel_size: int, **kwargs):
        super().__init__(dtype=tf.float32, **kwargs)
        self.over_second, self.over_first = (
            tf.keras.layers.Conv2D(
                filters,
                kernel_size,
                padding="same",
                kernel_initializer=_NearIdentity(),
                dtype=tf.float32,
            )
            for _ in range(2)
        )

    def call(self, correlations: tf.Tensor) -> tf.Tensor:
        """`[B, Ha, Wa, Hb, Wb, C]` to the same with other channels."""
        if correlations.shape[-1] == self.over_second.filters == 1:
            return self._of_one_channel(correlations[..., 0])[..., tf.newaxis]
        halfway = exchange(_over_last_image(self.over_second, correlations))
        return exchange(_over_last_image(self.over_first, halfway))

    def _of_one_channel(self, correlations: tf.Tensor) -> tf.Tensor:
        """The same of `[B, Ha, Wa, Hb, Wb]`, where the cells of the other image stand as channels.

        A convolution of many small images of one channel takes 20 times as long on a CPU.
        """
        halfway = exchange(_over_first_image(self.over_second, exchange(correlations)))
        return _over_first_image(self.over_first, halfway)


class ConsensusNetwork(tf.keras.layers.Layer):
    """Filters a correlation, so that cells agree on matches with their neighbours.

        C <- MM(C)    (optional)       out = net(C) + net'(C)       out <- MM(out)    (optional)

    net' is the network on the exchanged correlation, exchanged back: which image is the first does not matter.

    Args:
        num_layers: Separable convolutions, a ReLU behind each; 1 is what the paper's text says.
        width: Channels between them.
        kernel_size: Side of their kernels.
        mutual: Whether to apply soft mutual matching before and after.
    """

    def __init__(self, num_layers: int, width: int, kernel_size: int, mutual: bool, **kwargs):
        super().__init__(dtype=tf.float32, **kwargs)
        channels = [width] * (num_layers - 1) + [1]
        self.convs = [SeparableConv4D(count, kernel_size) for count in channels]
        self._mutual = mutual

    def call(self, correlations: tf.Tensor) -> tf.Tensor:
        """`[B, Ha, Wa, Hb, Wb]` to the same, not negative; values are about twice those that go in at first."""
        if self._mutual:
            correlations = mutual_matching(correlations)
        filtered = self._filter(correlations) + exchange(self._filter(exchange(correlations)))
        return mutual_matching(filtered) if self._mutual else filtered

    def _filter(self, correlations: tf.Tensor) -> tf.Tensor:
        values = correlations[..., tf.newaxis]
        for conv in self.convs:
            values = tf.nn.relu(conv(values))
        return values[..., 0]


class _NearIdentity(tf.keras.initializers.Initializer):
    """See `SeparableConv4D`."""

    def __call__(self, shape, dtype=None, **kwargs) -> tf.Tensor:
        height, width, inputs, outputs = shape
        carried = (
            np.eye(inputs, outputs) if inputs == outputs else np.ones((inputs, outputs)) / inputs
        )
        kernel = np.zeros(shape, np.float32)
        kernel[height // 2, width // 2] = carried
        return kernel + tf.random.normal(shape, stddev=NOISE_STD, dtype=dtype or tf.float32)


def _over_last_image(conv: tf.keras.layers.Conv2D, values: tf.Tensor) -> tf.Tensor:
    """Convolves `[B, h, w, H, W, C]` over H and W."""
    shape = tf.shape(values)
    _, h, w, height, width, channels = values.shape
    images = conv(tf.reshape(values, [shape[0] * h * w, height, width, channels]))
    return tf.reshape(images, [shape[0], h, w, height, width, conv.filters])


def _over_first_image(conv: tf.keras.layers.Conv2D, values: tf.Tensor) -> tf.Tensor:
    """Convolves `[B, h, w, H, W]` over h and w by a layer from one channel to one."""
    if not conv.built:
        conv.build([None, None, None, 1])
    batch, (_, h, w, height, width) = tf.shape(values)[0], values.shape
    images = tf.reshape(values, [batch, h, w, height * width])
    kernel = tf.tile(conv.kernel, [1, 1, height * width, 1])
    images = tf.nn.depthwise_conv2d(images, kernel, [1, 1, 1, 1], "SAME") + conv.bias
    return tf.reshape(images, [batch, h, w, height, width])


def _unit(features: tf.Tensor) -> tf.Tensor:
    features = tf.cast(features, tf.float32)
    return features / tf.sqrt(tf.reduce_sum(features**2, axis=-1, keepdims=True) + 1e-6)
