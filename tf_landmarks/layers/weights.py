"""Files of pretrained weights, read as plain arrays: nothing in them is executed."""

import os
import re

import numpy as np
import tensorflow as tf

from tf_landmarks import run_directory
from tf_landmarks.errors import UserError

Arrays = dict[str, np.ndarray]

#: Stands for the weights that Keras downloads.
IMAGENET = "imagenet"
_LAYER = re.compile(r"(?:block(\d)_)?(conv\d(?:_\d)?|fire\d/(?:squeeze1x1|expand1x1|expand3x3))/")


def read_arrays(path: str) -> Arrays:
    """Reads kernels and biases from a file, under the names `<layer>/kernel` and `<layer>/bias`.

    Layers are called conv1_1 to conv5_4 or conv1, fire2/squeeze1x1 and so on; Keras' block1_conv1 is
    conv1_1.

    Raises:
        UserError: If the file's ending is unknown or nothing in it has such a name.
        OSError: If it cannot be read.
    """
    arrays: Arrays = {}

    def add(name: str, values: np.ndarray) -> None:
        match = _LAYER.search(name)
        if match and values.ndim in (1, 4):
            block, layer = match.groups()
            layer = layer if block is None else f"conv{block}_{layer.removeprefix('conv')}"
            arrays[f"{layer}/{'kernel' if values.ndim == 4 else 'bias'}"] = values

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
    if not arrays:
        raise UserError("none of its arrays has the name of a layer of VGG or SqueezeNet")
    return arrays


def write_arrays(path: str, arrays: Arrays) -> None:
    """Writes what `read_arrays` reads, as `.npz`, all or nothing."""
    with run_directory.open_whole(path, "wb") as file:
        np.savez(file, **arrays)


def download() -> Arrays:
    """Lets Keras download the weights of VGG-19.

    Raises:
        UserError: If they cannot be had.
    """
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
