"""Statistics of batch normalisation, measured with the weights as they are.

Moving averages lag behind weights that move. Where a method says so (`norm_passes`), they are replaced,
before each evaluation and at the end, by the plain average over that many training batches
(docs/lmdis.md, "Statistics of batch normalisation").
"""

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from tf_landmarks.methods.base import Stage, TrainedModel
from tf_landmarks.options import RunOptions
from tf_landmarks.training.input_pipeline import ImageSet

SEED_OFFSET = 2  # of the run's seed; its batches are not those of training


class Recalibration:
    """Measures the statistics of a model on training batches and puts them in.

    Args:
        run: The run's options.
        copy: A plain float32 copy of the model, whose weights are replaced.
        stage: Makes the batches.
        frames: The training images.
    """

    def __init__(self, run: RunOptions, copy: TrainedModel, stage: Stage, frames: ImageSet):
        self._copy = copy
        batches = frames.batches(stage.pairing, run.batch_size, run.seed + SEED_OFFSET, 0)
        self._batches = batches.take(copy.norm_passes)

    def __call__(self, model: TrainedModel) -> None:
        """Replaces the statistics of `model` and touches none of its weights."""
        copied = zip(model.network_variables, self._copy.network_variables, strict=True)
        for theirs, ours in copied:
            ours.assign(theirs)
        self._copy.steps_done.assign(model.steps_done)  # which schedules of losses go by
        replace_statistics(
            self._copy, self._batches, lambda batch: self._copy.compute_losses(batch, training=True)
        )
        for norm, measured in zip(_norms(model), _norms(self._copy), strict=True):
            norm.moving_mean.assign(measured.moving_mean)
            norm.moving_variance.assign(measured.moving_variance)


def replace_statistics(
    model: TrainedModel, batches: Iterable, forward: Callable[[Any], Any]
) -> None:
    """Sets the means and variances of batch normalisation to their averages over batches.

    Args:
        model: Changed in place, its weights are not; only the layers that `forward` passes through.
        batches: Tensors, or dictionaries of them.
        forward: Passes a batch through the model, in training.
    """
    norms = _norms(model)
    momenta = [norm.momentum for norm in norms]
    statistics = [v for norm in norms for v in (norm.moving_mean, norm.moving_variance)]
    sums = [tf.Variable(tf.zeros_like(value)) for value in statistics]
    for norm in norms:
        norm.momentum = 0.0  # what moves in one pass is then the batch's own

    @tf.function
    def measure(batch) -> None:
        forward(batch)
        for total, value in zip(sums, statistics, strict=True):
            total.assign_add(value)

    count = 0
    try:
        for batch in batches:
            measure(batch)
            count += 1
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    for total, value in zip(sums, statistics, strict=True):
        value.assign(total / count)


def _norms(model: TrainedModel) -> list[tf.keras.layers.BatchNormalization]:
    kind = tf.keras.layers.BatchNormalization
    return [layer for layer in model.submodules if isinstance(layer, kind)]
