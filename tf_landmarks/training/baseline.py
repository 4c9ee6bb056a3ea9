"""The network as it was before training: the baseline that every evaluation prints.

It is kept at the start of a run, with the statistics of its batch normalisation measured on training
images, without labels. With the initial statistics of 0 and 1 its points would hardly move, and no
comparison with it would mean anything.
"""

import os

import numpy as np
import tensorflow as tf

from tf_landmarks import layout
from tf_landmarks.data.pipeline import Frames
from tf_landmarks.methods.base import LandmarkModel
from tf_landmarks.training import checkpoints

NUM_IMAGES = 512


def is_kept(run_dir: str) -> bool:
    """Whether a run has kept its untrained network."""
    return os.path.exists(_path(run_dir) + ".index")


def keep(run_dir: str, model: LandmarkModel, frames: Frames) -> None:
    """Keeps a model that has not been trained yet.

    Args:
        run_dir: Where.
        model: A copy of the model, in float32; its statistics are changed.
        frames: Images to measure the statistics on.
    """
    calibrate_batch_norm(model, frames.sample(NUM_IMAGES))
    tf.train.Checkpoint(model=model).write(_path(run_dir))


def load(run_dir: str, model: LandmarkModel) -> None:
    """Puts the kept network into a model."""
    checkpoints.read_weights(_path(run_dir), model)


def calibrate_batch_norm(model: LandmarkModel, images: np.ndarray, batch_size: int = 64) -> None:
    """Sets the statistics of batch normalisation to their means over batches of some images.

    Args:
        model: Changed in place; only the layers that `represent` passes through.
        images: `[N, S, S, 3]` float32 in [0, 1].
        batch_size: Images per batch; a last batch of under half of it is left out.
    """
    norms = [m for m in model.submodules if isinstance(m, tf.keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for count, start in enumerate(range(0, len(images), batch_size)):
        batch = images[start : start + batch_size]
        if count and len(batch) < batch_size // 2:
            break
        for norm in norms:
            norm.momentum = count / (count + 1.0)  # makes the moving average the plain mean so far
        model.represent(tf.constant(batch), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _path(run_dir: str) -> str:
    return os.path.join(run_dir, layout.CHECKPOINTS, "untrained")
