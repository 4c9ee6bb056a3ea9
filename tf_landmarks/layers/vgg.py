"""VGG-19 and VGG-16, on RGB (ImageNet) or on grey images (learned by colorization).

Sources: Simonyan & Zisserman 2015; the levels are those of Jakab et al. 2018, section 3.3 and their
released code. Max pooling everywhere.
"""

import tensorflow as tf

from tf_landmarks.layers.frozen_network import FrozenNetwork
from tf_landmarks.layers.weights import Arrays

_LEVELS = ("conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")


class Vgg(FrozenNetwork):
    """The convolutions up to conv5_2."""

    @staticmethod
    def layers_of(arrays: Arrays) -> list[str]:
        """See the base class; whether there is a fourth in block 3 tells VGG-19 from VGG-16."""
        inner = 4 if "conv3_4/kernel" in arrays else 3
        return layer_names((2, 2, inner, inner, 2))

    def features(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """See the base class."""
        features, values = {}, inputs
        for layer in self.layers:
            if layer.endswith("_1") and layer != "conv1_1":
                values = tf.nn.max_pool2d(values, 2, 2, "VALID")
            values = self._conv(values, layer)
            if layer in _LEVELS:
                features[layer] = values
        return features


def layer_names(convolutions: tuple[int, ...]) -> list[str]:
    """The names of a VGG's layers; (2, 2, 3, 3, 3) convolutions per block are VGG-16."""
    return [f"conv{b}_{i}" for b, n in enumerate(convolutions, 1) for i in range(1, n + 1)]
