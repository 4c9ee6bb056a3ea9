"""Frozen networks whose features a perceptual loss compares.

Three kinds, told apart by what a weights file holds: VGG-19 or VGG-16 on RGB (ImageNet), a VGG-16 on grey
images (learned by colorization, see `python -m tf_landmarks.pretrain`), and SqueezeNet v1.1. Files are
read as plain arrays; nothing in them is executed.

Sources: Jakab et al. 2018, section 3.2 and their released code (levels, grey input); Simonyan & Zisserman
2015; Iandola et al. 2016. Max pooling everywhere.
"""

import os
import re

import numpy as np
import tensorflow as tf

from tf_landmarks import run_directory
from tf_landmarks.errors import UserError

Arrays = dict[str, np.ndarray]

IMAGENET = "imagenet"
# Of ImageNet in 0-255, in the order blue, green, red of the networks' first kernels.
_BGR_MEANS = (103.939, 116.779, 123.68)
# Of grey images in [0, 1], as the released colorization network was trained.
_GREY_MEAN = 114.451 / 255.0
_VGG_LEVELS = ("conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")
_SQUEEZENET_LEVELS = ("conv1", "fire3", "fire5", "fire7", "fire9")
_POOLED = ("fire2", "fire4", "fire6")  # the fire modules behind a pooling layer
_LAYER = re.compile(r"(?:block(\d)_)?(conv\d(?:_\d)?|fire\d/(?:squeeze1x1|expand1x1|expand3x3))/")


class FrozenNetwork:
    """A network with fixed weights, from images to features at several levels.

    It is no Keras layer on purpose: its weights are neither trained nor saved with a model.

    Args:
        arrays: `<layer>/kernel` and `<layer>/bias` for each layer.

    Raises:
        UserError: If layers are missing, or do not fit one another.
    """

    def __init__(self, arrays: Arrays):
        self._is_squeezenet = "fire2/squeeze1x1/kernel" in arrays
        self.layers = _squeezenet_layers() if self._is_squeezenet else _vgg_layers(arrays)
        missing = [
            f"{layer}/{part}"
            for layer in self.layers
            for part in ("kernel", "bias")
            if f"{layer}/{part}" not in arrays
        ]
        if missing:
            raise UserError(f"it lacks {', '.join(missing[:4])}")
        self.is_grey = arrays[f"{self.layers[0]}/kernel"].shape[2] == 1
        _check_chain(self.layers, arrays)
        self._weights = {
            layer: [
                tf.Variable(arrays[f"{layer}/{part}"].astype(np.float32), trainable=False)
                for part in ("kernel", "bias")
            ]
            for layer in self.layers
        }

    def levels(self, image_size: int) -> tuple[str, ...]:
        """The names of the features of images of this side, from the finest to the coarsest."""
        features = self._squeezenet if self._is_squeezenet else self._vgg
        channels = 1 if self.is_grey else 3
        return tuple(features(tf.zeros([1, image_size, image_size, channels])))

    def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes features after ReLU.

        Args:
            images: `[B, H, W, 3]` float32 RGB, 1 being white; values outside [0, 1] are allowed.

        Returns:
            `[B, h, w, C]` float32 for each level; a level that the size of the images leaves without
            a pixel is missing.
        """
        if self.is_grey:
            inputs = grey(images)
        else:
            inputs = 255.0 * images[..., ::-1] - tf.constant(_BGR_MEANS)
        dtype = tf.keras.mixed_precision.global_policy().compute_dtype
        features = self._squeezenet if self._is_squeezenet else self._vgg
        found = features(tf.cast(inputs, dtype))
        return {level: tf.cast(value, tf.float32) for level, value in found.items()}

    def _vgg(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        found, values = {}, inputs
        for layer in self.layers:
            if layer.endswith("_1") and layer != "conv1_1":
                values = tf.nn.max_pool2d(values, 2, 2, "VALID")
            values = self._conv(values, layer)
            if layer in _VGG_LEVELS:
                found[layer] = values
        return found

    def _squeezenet(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        values = self._conv(inputs, "conv1", strides=2, padding="VALID")
        found = {"conv1": values}
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
            if fire in _SQUEEZENET_LEVELS:
                found[fire] = values
        return found

    def _conv(self, values: tf.Tensor, layer: str, strides: int = 1, padding: str = "SAME"):
        kernel, bias = (tf.cast(weight, values.dtype) for weight in self._weights[layer])
        return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(values, kernel, strides, padding), bias))


def grey(images: tf.Tensor) -> tf.Tensor:
    """What a network on grey images sees, `[..., 1]`, of `images [..., 3]` RGB, 1 being white."""
    return tf.reduce_mean(images, axis=-1, keepdims=True) - _GREY_MEAN


def load(path: str, flag: str = "--imm_loss_network") -> FrozenNetwork:
    """Reads a loss network from a file of weights.

    Args:
        path: `.h5` or `.npz`; or "imagenet": VGG-19 as Keras downloads it.
        flag: The flag that named it, for messages.

    Returns:
        The network.

    Raises:
        UserError: If there is no such file, or no network that is known in it; says what to do.
    """
    try:
        return FrozenNetwork(_download() if path == IMAGENET else read_arrays(path))
    except (ValueError, OSError) as error:
        raise UserError(
            f"{flag}={path} is no loss network: {error}. It takes the weights of a VGG-16 or VGG-19 "
            "(.h5 or .npz), of SqueezeNet v1.1 (.h5), or what python -m tf_landmarks.pretrain "
            "--data=FOLDER learns from your own colour images; without it, pixels are compared"
        ) from error


def read_arrays(path: str) -> Arrays:
    """Reads kernels and biases from a file, under the names `<layer>/kernel` and `<layer>/bias`.

    Layers are called conv1_1 to conv5_4 or conv1, fire2/squeeze1x1 and so on; Keras' block1_conv1 is
    conv1_1.

    Raises:
        UserError: If the file's ending is unknown or nothing in it has such a name.
        OSError: If it cannot be read.
    """
    found: Arrays = {}

    def add(name: str, values: np.ndarray) -> None:
        match = _LAYER.search(name)
        if match and values.ndim in (1, 4):
            block, layer = match.groups()
            layer = layer if block is None else f"conv{block}_{layer.removeprefix('conv')}"
            found[f"{layer}/{'kernel' if values.ndim == 4 else 'bias'}"] = values

    ending = os.path.splitext(path)[1].lower()
    if ending == ".npz":
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                add(name, file[name])
    elif ending in (".h5", ".hdf5"):
        import h5py

        with h5py.File(path, "r") as file:
            file.visititems(
                lambda name, item: add(name, item[()]) if isinstance(item, h5py.Dataset) else None
            )
    else:
        raise UserError(f"its ending is {ending or 'missing'}, not .h5 or .npz")
    if not found:
        raise UserError("none of its arrays has the name of a layer of VGG or SqueezeNet")
    return found


def write_arrays(path: str, arrays: Arrays) -> None:
    """Writes what `read_arrays` reads, as `.npz`, all or nothing."""
    with run_directory.open_whole(path, "wb") as file:
        np.savez(file, **arrays)


def vgg_layers(convolutions: tuple[int, ...]) -> list[str]:
    """The names of a VGG's layers; (2, 2, 3, 3, 3) convolutions per block are VGG-16."""
    return [f"conv{b}_{i}" for b, n in enumerate(convolutions, 1) for i in range(1, n + 1)]


def _vgg_layers(arrays: Arrays) -> list[str]:
    """The layers up to conv5_2; whether there is a fourth in block 3 tells VGG-19 from VGG-16."""
    inner = 4 if "conv3_4/kernel" in arrays else 3
    return vgg_layers((2, 2, inner, inner, 2))


def _squeezenet_layers() -> list[str]:
    parts = ("squeeze1x1", "expand1x1", "expand3x3")
    return ["conv1", *(f"fire{number}/{part}" for number in range(2, 10) for part in parts)]


def _check_chain(layers: list[str], arrays: Arrays) -> None:
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


def _download() -> Arrays:
    try:
        network = tf.keras.applications.VGG19(include_top=False, weights="imagenet")
    except Exception as error:  # whatever the network, the cache folder or a proxy makes of it
        raise UserError(f"Keras could not download VGG-19 ({error})") from error
    arrays: Arrays = {}
    for layer in network.layers:
        for part, values in zip(("kernel", "bias"), layer.get_weights(), strict=False):
            block, number = re.fullmatch(r"block(\d)_conv(\d)", layer.name).groups()
            arrays[f"conv{block}_{number}/{part}"] = values
    return arrays
