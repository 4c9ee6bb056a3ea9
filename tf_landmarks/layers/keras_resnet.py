"""Keras' ResNet50, whose weights of ImageNet Keras downloads, as one of resnet.py: with dilated levels, in our names.

Its bottlenecks have their stride in the first 1x1, and its convolutions have biases. Each stands before a batch
normalisation, whose running mean takes it up: `(x + b) - m = x - (m - b)`.
"""

import functools
import re

import numpy as np
import tensorflow as tf

from tf_landmarks.errors import UserError
from tf_landmarks.layers import grouped_norm, resnet
from tf_landmarks.layers.weights import Arrays

_ARCHITECTURE = resnet.Architecture((3, 4, 6, 3), (64, 128, 256, 512), True, first_stride=True)
_EPSILON = 1.001e-5
_BLOCK = re.compile(r"conv(\d)_block(\d)_(\d)_(conv|bn)")


class KerasResNet50(resnet.ResNet):
    """See the module's head; it takes images as `frozen_network.bgr` makes them.

    Args:
        dilated_levels: See `resnet.ResNet`.
        sync: Whether replicas share the statistics of batch normalisation.
    """

    published_name = None  # PyTorch's weights are those of another stride

    def __init__(self, dilated_levels: int = 0, sync: bool = False, **kwargs):
        norm = functools.partial(
            grouped_norm.GroupedBatchNormalization, epsilon=_EPSILON, synchronized=sync
        )
        super().__init__(_ARCHITECTURE, norm, dilated_levels, **kwargs)

    @staticmethod
    def download() -> Arrays:
        """Lets Keras download the weights of ImageNet, by the paths of our variables.

        Raises:
            UserError: If they cannot be had.
        """
        try:
            network = tf.keras.applications.ResNet50(include_top=False, weights="imagenet")
        except Exception as error:  # whatever the network, the cache folder or a proxy makes of it
            raise UserError(f"Keras could not download ResNet50 ({error})") from error
        return arrays_of(network)


def arrays_of(network: tf.keras.Model) -> Arrays:
    """The weights of a `tf.keras.applications.ResNet50` without its top, by the paths of our variables."""
    arrays, biases = {}, {}
    for layer in network.layers:
        if not layer.weights:
            continue
        conv, norm = _paths(layer.name)
        values = {v.name.split("/")[-1].split(":")[0]: v.numpy() for v in layer.weights}
        if "kernel" in values:
            arrays[f"{conv}/kernel"], biases[norm] = values["kernel"], values["bias"]
        else:
            arrays |= {f"{norm}/{part}": value for part, value in values.items()}
    for norm, bias in biases.items():
        arrays[f"{norm}/moving_mean"] = np.asarray(arrays[f"{norm}/moving_mean"] - bias)
    return arrays


def _paths(name: str) -> tuple[str, str]:
    """Our paths of the convolution and of the normalisation that one of Keras' layers is, or belongs to."""
    match = _BLOCK.fullmatch(name)
    if not match:
        return "stem", "stem_norm"  # conv1_conv, conv1_bn
    level, block, part = (int(number) for number in match.groups()[:3])
    place = f"levels/{level - 2}/{block - 1}"
    if part == 0:
        return f"{place}/shortcut", f"{place}/shortcut_norm"
    return f"{place}/convs/{part - 1}", f"{place}/norms/{part - 1}"
