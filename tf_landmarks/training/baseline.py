"""The network as it was before training: the baseline that every evaluation prints.

It is kept at the start of a run, with the statistics of its batch normalisation measured on training
images, without labels. With the initial statistics of 0 and 1 its points would hardly move, and no
comparison with it would mean anything.
"""

import glob
import os

import numpy as np
import tensorflow as tf

from tf_landmarks import layout
from tf_landmarks.data.pipeline import Frames
from tf_landmarks.methods.base import LandmarkModel
from tf_landmarks.training import checkpoints, models
from tf_landmarks.training.options import RunOptions

NUM_IMAGES = 512


def keep(run: RunOptions, options, model: LandmarkModel, frames: Frames) -> None:
    """Keeps a model that has not been trained yet, once per run.

    Args:
        run: The run's options.
        options: The method's options.
        model: The model to keep; its statistics stay as they are.
        frames: Images to measure the statistics on.
    """
    path = _path(run.run_dir)
    if os.path.exists(path + ".index"):
        return
    twin = models.make_float32_model(run, options)
    copied = tf.train.Checkpoint(model=model).write(path + ".part")
    checkpoints.read_weights(copied, twin)
    for part in glob.glob(glob.escape(copied) + ".*"):
        os.remove(part)
    calibrate_batch_norm(twin, frames.sample(NUM_IMAGES))
    tf.train.Checkpoint(model=twin).write(path)


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
