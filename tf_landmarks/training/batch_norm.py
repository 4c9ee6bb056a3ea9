"""Statistics of batch normalisation, estimated again with the weights as they are ("precise BN").

Moving averages lag behind weights that move. Where a method says so (`bn_reestimation_batches`), they are
replaced, before each evaluation and at the end, by the plain average over training batches
(docs/lmdis.md, "Statistics of batch normalisation").
"""

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from tf_landmarks.methods.base import Model, Stage
from tf_landmarks.training.run_data import RunData

# On the way, an estimate takes one batch for so many steps since the one before, a pass forward for as many
# trainings: a thirtieth of a run. Fewer than the least would be noise.
STEPS_PER_BATCH = 10
MIN_BATCHES = 20


class BatchNormReestimation:
    """Measures the statistics of a model on training batches and puts them in.

    Args:
        copy: A plain float32 copy of the model, whose weights are replaced.
        stage: The copy's stage, whose losses pass through the layers.
        data: The run's images.
    """

    def __init__(self, copy: Model, stage: Stage, data: RunData):
        self._copy = copy
        self._batches = data.statistics_batches(stage, copy.bn_reestimation_batches)
        self._measured = NormStatistics(copy, lambda batch: stage.losses(batch, training=True))
        self._variables = copy.network_variables
        statistics = {id(value) for value in self._measured.variables}
        self._statistics = [
            path for path, value in self._variables.items() if id(value) in statistics
        ]

    def __call__(self, model: Model, steps: int | None = None) -> None:
        """Replaces the statistics of `model` and touches none of its weights.

        Args:
            model: Where to put them.
            steps: How many were made since the last estimate, of which the number of batches is made; None: the
                last one, of all batches.
        """
        variables = model.network_variables
        for path, value in self._variables.items():
            value.assign(variables[path])
        self._copy.steps_done.assign(model.steps_done)  # which schedules of losses go by
        count = None if steps is None else max(MIN_BATCHES, steps // STEPS_PER_BATCH)
        self._measured.replace(itertools.islice(self._batches, count))
        for path in self._statistics:
            variables[path].assign(self._variables[path])


def replace_statistics(model: Model, batches: Iterable, forward: Callable[[Any], Any]) -> None:
    """Sets the means and variances of batch normalisation to their averages over batches; see `NormStatistics`."""
    NormStatistics(model, forward).replace(batches)


class NormStatistics:
    """The means and variances of a model's batch normalisation, to be replaced by their averages over batches.

    Made once, it passes through the model by one graph, whatever the weights are by then.

    Args:
        model: Changed in place, its weights are not; only the layers that `forward` passes through.
        forward: Passes a batch, a tensor or a dictionary of them, through the model, in training.
    """

    def __init__(self, model: Model, forward: Callable[[Any], Any]):
        self._norms, self._forward = _norms(model), forward
        #: The means and variances.
        self.variables = [value for norm in self._norms for value in _statistics(norm)]
        self._sums = [tf.Variable(tf.zeros_like(value)) for value in self.variables]
        self._measure = tf.function(self._add, autograph=False)

    def replace(self, batches: Iterable) -> None:
        """Replaces them by their averages over some batches."""
        for total in self._sums:
            total.assign(tf.zeros_like(total))
        momenta = [norm.momentum for norm in self._norms]
        for norm in self._norms:
            norm.momentum = 0.0  # what moves in one pass is then the batch's own
        count = 0
        try:
            for batch in batches:
                self._measure(batch)
                count += 1
        finally:
            for norm, momentum in zip(self._norms, momenta, strict=True):
                norm.momentum = momentum
        for total, value in zip(self._sums, self.variables, strict=True):
            value.assign(total / count)

    def _add(self, batch) -> None:
        self._forward(batch)
        for total, value in zip(self._sums, self.variables, strict=True):
            total.assign_add(value)


def batch_multiple(model: Model) -> int:
    """Of what a batch's size must be a multiple, to pass through a model's batch normalisation in training."""
    return math.lcm(1, *(getattr(norm, "groups", 1) for norm in _norms(model)))


def _norms(model: Model) -> list[tf.keras.layers.BatchNormalization]:
    kind = tf.keras.layers.BatchNormalization
    # A frozen network that is a part of the model keeps the statistics that came with its weights.
    return [layer for layer in model.submodules if isinstance(layer, kind) and layer.trainable]


def _statistics(norm: tf.keras.layers.BatchNormalization) -> tuple[tf.Variable, tf.Variable]:
    return norm.moving_mean, norm.moving_variance
