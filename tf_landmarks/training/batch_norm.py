"""Statistics of batch normalisation, estimated again with the weights as they are ("precise BN").

Moving averages lag behind weights that move. Where a method says so (`bn_reestimation_batches`), they are
replaced, before each evaluation and at the end, by the plain average over that many training batches
(docs/lmdis.md, "Statistics of batch normalisation").
"""

from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from tf_landmarks.methods.base import Model, Stage
from tf_landmarks.training.run_data import RunData


class BatchNormReestimation:
    """Measures the statistics of a model on training batches and puts them in.

    Args:
        copy: A plain float32 copy of the model, whose weights are replaced.
        stage: The copy's stage, whose losses pass through the layers.
        data: The run's images.
    """

    def __init__(self, copy: Model, stage: Stage, data: RunData):
        self._copy, self._stage = copy, stage
        self._batches = data.statistics_batches(stage, copy.bn_reestimation_batches)
        self._variables = copy.network_variables
        statistics = {id(value) for norm in _norms(copy) for value in _statistics(norm)}
        self._statistics = [
            path for path, value in self._variables.items() if id(value) in statistics
        ]

    def __call__(self, model: Model) -> None:
        """Replaces the statistics of `model` and touches none of its weights."""
        variables = model.network_variables
        for path, value in self._variables.items():
            value.assign(variables[path])
        self._copy.steps_done.assign(model.steps_done)  # which schedules of losses go by
        replace_statistics(
            self._copy, self._batches, lambda batch: self._stage.losses(batch, training=True)
        )
        for path in self._statistics:
            variables[path].assign(self._variables[path])


def replace_statistics(model: Model, batches: Iterable, forward: Callable[[Any], Any]) -> None:
    """Sets the means and variances of batch normalisation to their averages over batches.

    Args:
        model: Changed in place, its weights are not; only the layers that `forward` passes through.
        batches: Tensors, or dictionaries of them.
        forward: Passes a batch through the model, in training.
    """
    norms = _norms(model)
    momenta = [norm.momentum for norm in norms]
    statistics = [value for norm in norms for value in _statistics(norm)]
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


def _norms(model: Model) -> list[tf.keras.layers.BatchNormalization]:
    kind = tf.keras.layers.BatchNormalization
    return [layer for layer in model.submodules if isinstance(layer, kind)]


def _statistics(norm: tf.keras.layers.BatchNormalization) -> tuple[tf.Variable, tf.Variable]:
    return norm.moving_mean, norm.moving_variance
