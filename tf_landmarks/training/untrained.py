"""The network as it was before training: the baseline that every evaluation prints.

It is saved at the start of a run, with the statistics of its batch normalisation measured on training
images, without labels. With the initial statistics of 0 and 1 its points would hardly move, and no
comparison with it would mean anything. Where weights come from a file (`Model.initial_weights`), it has those: what
training adds is measured, not what they knew.
"""

import os

import numpy as np
import tensorflow as tf

from tf_landmarks import run_directory
from tf_landmarks.methods.base import FeatureModel, LandmarkModel, Model
from tf_landmarks.training import batch_norm, checkpoints, initial_weights
from tf_landmarks.training.input_pipeline import ImageSet

NUM_IMAGES, BATCH = 512, 64


def exists(run_dir: str) -> bool:
    """Whether a run has saved its untrained network."""
    return os.path.exists(_path(run_dir) + ".index")


def save(run_dir: str, model: LandmarkModel | FeatureModel, images: ImageSet) -> None:
    """Saves a model that has not been trained yet.

    Args:
        run_dir: Where.
        model: A copy of the model, in float32; its statistics are changed.
        images: To measure the statistics on.
    """
    calibrate(model, images)
    tf.train.Checkpoint(model=model).write(_path(run_dir))


def calibrate(model: LandmarkModel | FeatureModel, images: ImageSet) -> None:
    """Measures the statistics of the layers that `represent` passes through, on some images.

    Weights that a file gave keep the statistics that came with them.
    """
    given = [(value, value.numpy()) for value in initial_weights.variables(model)]
    inputs = images.sample(NUM_IMAGES)
    batches = [inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH)]
    if len(batches) > 1 and len(batches[-1]) < BATCH // 2:
        batches.pop()  # too few for statistics that count as much as the others'
    # Filled up from its start where parts of a batch are normalised each by itself.
    unit = batch_norm.batch_multiple(model)
    batches = [np.resize(b, [-(-len(b) // unit) * unit, *b.shape[1:]]) for b in batches]
    batch_norm.replace_statistics(
        model, map(tf.constant, batches), lambda batch: model.represent(batch, training=True)
    )
    for variable, value in given:
        variable.assign(value)


def load(run_dir: str, model: Model) -> None:
    """Puts the saved network into a model."""
    checkpoints.read_weights(_path(run_dir), model)


def _path(run_dir: str) -> str:
    return os.path.join(run_dir, run_directory.CHECKPOINTS, "untrained")
