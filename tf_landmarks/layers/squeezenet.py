"""SqueezeNet v1.1 on RGB (Iandola et al. 2016), trained on ImageNet."""

import tensorflow as tf

from tf_landmarks.layers.frozen_network import FrozenNetwork
from tf_landmarks.layers.weights import Arrays

_LEVELS = ("conv1", "fire3", "fire5", "fire7", "fire9")
_POOLED = ("fire2", "fire4", "fire6")  # the fire modules behind a pooling layer
_PARTS = ("squeeze1x1", "expand1x1", "expand3x3")


class SqueezeNet(FrozenNetwork):
    """All but the classifier."""

    @staticmethod
    def layers_of(arrays: Arrays) -> list[str]:
        """See the base class."""
        return ["conv1", *(f"fire{number}/{part}" for number in range(2, 10) for part in _PARTS)]

    def features(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """See the base class."""
        values = self._conv(inputs, "conv1", strides=2, padding="VALID")
        features = {"conv1": values}
        for number in range(2, 10):
            fire = f"fire{number}"
            if fire in _POOLED:
                if min(values.shape[1:3]) < 3:  # pooling would leave nothing
                    break
                values = tf.nn.max_pool2d(values, 3, 2, "VALID")
            squeezed = self._conv(values, f"{fire}/squeeze1x1")
            values = tf.concat(
                [self._conv(squeezed, f"{fire}/{part}") for part in ("expand1x1", "expand3x3")], -1
            )
            if fire in _LEVELS:
                features[fire] = values
        return features
