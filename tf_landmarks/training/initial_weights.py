"""Weights from a file that layers of a new model begin with, as `Model.initial_weights` states; nothing in it is executed.

The arrays of an `.npz`, or of what PyTorch saves as `.pth`, have either the paths of the layer's variables (`levels/0/0/convs/1/kernel`) or the names and
axes of PyTorch (`layer1.0.conv2.weight`, a `state_dict`), where the layer knows its published names. In the place of
a file, "imagenet" stands for what the layer's own `download` gets.
"""

import operator
import os
import re
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from tf_landmarks import methods, run_directory
from tf_landmarks.errors import UserError
from tf_landmarks.layers import torch_file, weights
from tf_landmarks.layers.weights import Arrays
from tf_landmarks.methods.base import Model, variables_by_path
from tf_landmarks.options import RunOptions
from tf_landmarks.training import checkpoints

# What PyTorch calls a variable of a layer, and the order of its axes here.
_PARTS = {
    "kernel": ("weight", (2, 3, 1, 0)),
    "depthwise_kernel": ("weight", (2, 3, 0, 1)),
    "gamma": ("weight", (0,)),
    "beta": ("bias", (0,)),
    "moving_mean": ("running_mean", (0,)),
    "moving_variance": ("running_var", (0,)),
}
# What such files have beside the features: a classifier, and counters.
_LEFT_OUT = re.compile(r"_?fc\.(weight|bias)|.*num_batches_tracked")


def check(run: RunOptions, options) -> None:
    """Checks that the files can be read; whether they fit is seen once there is a model.

    A run that has begun needs no file any more.

    Raises:
        UserError: Naming the flag and what is wrong with its file.
    """
    if _has_begun(run):
        return
    for flag, path, _ in _named(methods.MODELS[run.method], run.method, options):
        if run.init_from:
            raise UserError(f"{flag}={path} and --init_from={run.init_from}: one or the other")
        if path != weights.IMAGENET:
            _read(flag, path)


def load(run: RunOptions, model: Model) -> None:
    """Puts the weights of the files that its options name into the model of a run that has not begun.

    Raises:
        UserError: If one of them cannot be read, lacks an array, has one of another shape, or more than the layer has.
    """
    if _has_begun(run):
        return
    for flag, path, layers in _named(type(model), run.method, model.options):
        for name in layers:
            put(flag, path, _layer(model, name))
        logging.info("%s begins with the weights of %s", layers[0], path)


def variables(model: Model) -> list[tf.Variable]:
    """Those of a model whose first values a file gives, statistics of batch normalisation too."""
    layers = [name for _, _, names in _named(type(model), "", model.options) for name in names]
    return [v for name in layers for v in _layer(model, name).variables]


def _has_begun(run: RunOptions) -> bool:
    return checkpoints.exist(os.path.join(run.run_dir, run_directory.CHECKPOINTS))


def _named(kind: type[Model], method: str, options) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Flag, file and layers of each file that the options name."""
    for name, layers in kind.initial_weights.items():
        if getattr(options, name):
            yield f"--{method}_{name}", getattr(options, name), layers


def _layer(model: Model, name: str) -> tf.keras.layers.Layer:
    return operator.attrgetter(name)(model)


def _read(flag: str, path: str) -> Arrays:
    try:
        ending = os.path.splitext(path)[1].lower()
        if ending in torch_file.ENDINGS:
            return torch_file.read(path)
        if ending != ".npz":
            raise UserError(f"its name does not end in .npz or {torch_file.ENDINGS[0]}")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # whatever the reader makes of damaged bytes
        raise _refused(flag, path, str(error)) from error


def _download(flag: str, layer: tf.keras.layers.Layer) -> Arrays:
    if not hasattr(layer, "download"):
        raise _refused(flag, weights.IMAGENET, "there is nothing to download for it")
    try:
        return layer.download()
    except UserError as error:
        raise UserError(f"{flag}={weights.IMAGENET}: {error}") from error


def put(flag: str, path: str, layer: tf.keras.layers.Layer) -> None:
    """Puts every array of a file into its variable of a layer, once all are known to fit; raises as `load`."""
    arrays = _download(flag, layer) if path == weights.IMAGENET else _read(flag, path)
    own = variables_by_path(layer)
    found = {name: (name, None) for name in own}
    if not own.keys() & arrays.keys() and getattr(layer, "published_name", None):
        found = {name: published(layer, name) for name in own}
    missing = [name for name, _ in found.values() if name not in arrays]
    if missing:
        raise _refused(flag, path, f"it lacks {', '.join(missing[:3])}")
    names = {name for name, _ in found.values()}
    more = [name for name in arrays if name not in names and not _LEFT_OUT.fullmatch(name)]
    if more:
        raise _refused(flag, path, f"it has {', '.join(more[:3])} that the network lacks")
    values = {}
    for variable, (name, axes) in found.items():
        array, shape = arrays[name], tuple(own[variable].shape)
        fits = axes is None or array.ndim == len(axes)
        values[variable] = np.transpose(array, axes) if axes and fits else array
        if not fits or values[variable].shape != shape:
            # In the order of the file's axes, which is the one its owner knows.
            wanted = [shape[axis] for axis in np.argsort(axes)] if axes else list(shape)
            raise _refused(flag, path, f"{name} is {list(array.shape)}, not {wanted}")
    for variable, value in values.items():
        own[variable].assign(value)


def published(layer: tf.keras.layers.Layer, path: str) -> tuple[str, tuple[int, ...]]:
    """The published name of the variable at a path of a layer, and the order of axes that makes its array ours."""
    place, _, part = path.rpartition("/")
    name, axes = _PARTS[part]
    return f"{layer.published_name(place)}.{name}", axes


def _refused(flag: str, path: str, what: str) -> UserError:
    return UserError(
        f"{flag}={path} does not hold the weights of this network: {what}. It takes an .npz or .pth of a "
        "network's arrays by name, as docs/contrastlandmark.md describes under Weights from a file"
    )
