"""What the frozen networks have in common: kernels and biases by layer, and features at several levels."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_landmarks.errors import UserError
from tf_landmarks.layers.weights import Arrays

# Of ImageNet in 0-255, in the order blue, green, red of the networks' first kernels.
_BGR_MEANS = (103.939, 116.779, 123.68)
# Of grey images in [0, 1], as the released colorization network was trained.
_GREY_MEAN = 114.451 / 255.0


class FrozenNetwork:
    """A network with fixed weights, from images to features at several levels.

    It is no Keras layer on purpose: its weights are neither trained nor saved with a model.

    Args:
        arrays: `<layer>/kernel` and `<layer>/bias` for each layer.

    Raises:
        UserError: If layers are missing, or do not fit one another.
    """

    def __init__(self, arrays: Arrays):
        self.layers = self.check(arrays)
        self.is_grey = arrays[f"{self.layers[0]}/kernel"].shape[2] == 1
        self._weights = {
            layer: [
                tf.Variable(arrays[f"{layer}/{part}"].astype(np.float32), trainable=False)
                for part in ("kernel", "bias")
            ]
            for layer in self.layers
        }

    @classmethod
    def check(cls, arrays: Arrays) -> list[str]:
        """Returns the names of the layers, all of which the arrays have; raises as the class."""
        layers = cls.layers_of(arrays)
        missing = [
            f"{layer}/{part}"
            for layer in layers
            for part in ("kernel", "bias")
            if f"{layer}/{part}" not in arrays
        ]
        if missing:
            raise UserError(f"it lacks {', '.join(missing[:4])}")
        _check_chain(layers, arrays)
        return layers

    @staticmethod
    def layers_of(arrays: Arrays) -> list[str]:
        """The names of the layers that these arrays should have."""
        raise NotImplementedError

    def features(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The features of each level, of what the first layer takes."""
        raise NotImplementedError

    def levels(self, image_size: int) -> tuple[str, ...]:
        """The names of the features of images of this side, from the finest to the coarsest."""
        channels = 1 if self.is_grey else 3
        return tuple(self.features(tf.zeros([1, image_size, image_size, channels])))

    def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes features after ReLU.

        Args:
            images: `[B, H, W, 3]` float32 RGB, 1 being white; values outside [0, 1] are allowed.

        Returns:
            `[B, h, w, C]` float32 for each level; a level that the size of the images leaves without
            a pixel is missing.
        """
        inputs = grey(images) if self.is_grey else bgr(images)
        dtype = tf.keras.mixed_precision.global_policy().compute_dtype
        features = self.features(tf.cast(inputs, dtype))
        return {level: tf.cast(value, tf.float32) for level, value in features.items()}

    def _conv(self, values: tf.Tensor, layer: str, strides: int = 1, padding: str = "SAME"):
        kernel, bias = (tf.cast(weight, values.dtype) for weight in self._weights[layer])
        return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(values, kernel, strides, padding), bias))


def bgr(images: tf.Tensor) -> tf.Tensor:
    """What networks of ImageNet see that Keras downloads, `[..., 3]`, of `images [..., 3]` RGB, 1 being white."""
    return 255.0 * images[..., ::-1] - tf.constant(_BGR_MEANS)


def grey(images: tf.Tensor) -> tf.Tensor:
    """What a network on grey images sees, `[..., 1]`, of `images [..., 3]` RGB, 1 being white."""
    return tf.reduce_mean(images, axis=-1, keepdims=True) - _GREY_MEAN


def _check_chain(layers: Sequence[str], arrays: Arrays) -> None:
    """Refuses kernels that do not take what the layer before them gives."""
    width = arrays[f"{layers[0]}/kernel"].shape[2]
    if width not in (1, 3):
        raise UserError(f"{layers[0]} takes {width} channels, not 3 (colour) or 1 (grey)")
    squeezed = 0
    for layer in layers:
        kernel, bias = arrays[f"{layer}/kernel"], arrays[f"{layer}/bias"]
        taken = squeezed if "/expand" in layer else width
        if kernel.shape[2] != taken or bias.shape != kernel.shape[3:]:
            raise UserError(
                f"{layer} has a kernel {list(kernel.shape)} and a bias {list(bias.shape)}; the layer "
                f"before it gives {taken} channels"
            )
        if "/squeeze" in layer:
            squeezed, width = kernel.shape[3], 0
        else:  # the two outputs of a fire module are joined
            width = kernel.shape[3] + (width if "/expand" in layer else 0)
