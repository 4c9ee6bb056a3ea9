"""How the learning rate falls."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import tensorflow as tf

Schedule = Literal["constant", "staircase", "cosine", "plateau", "steps"]
LearningRate = float | tf.keras.optimizers.schedules.LearningRateSchedule


class PlateauSchedule(tf.Module, tf.keras.optimizers.schedules.LearningRateSchedule):
    """Lowers the learning rate whenever the error stalls.

    Errors are averaged over windows of `window` steps. A window that does not go 0.1 % below the
    best one so far is a stall; `patience` stalls in a row lower the rate and are then forgotten.
    All state is in variables, which the model's checkpoints keep.

    Args:
        base: Learning rate at the start.
        window: Steps per window.
        patience: Windows without improvement before the rate falls.
        factor: What it is then multiplied by.
    """

    IMPROVEMENT = 1e-3

    def __init__(self, base: float, window: int, patience: int, factor: float = 0.1):
        super().__init__()
        self.window, self.patience, self.factor = window, patience, factor
        self.rate = _state(base)
        self.best = _state(tf.float32.max)
        self.mean = _state(0.0)  # of the current window
        self.count = _state(0)  # steps of the current window
        self.stalls = _state(0)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The current learning rate, at whatever step."""
        return tf.identity(self.rate)

    def update(self, error: tf.Tensor) -> None:
        """Takes the positive error of one step, the same on all replicas."""
        count = self.count + 1
        mean = self.mean + (error - self.mean) / tf.cast(count, tf.float32)
        ended = count >= self.window
        improved = mean < (1.0 - self.IMPROVEMENT) * self.best
        stalls = tf.where(ended, tf.where(improved, 0, self.stalls + 1), self.stalls)
        lowers = stalls >= self.patience
        self.rate.assign(tf.where(lowers, self.rate * self.factor, self.rate))
        self.best.assign(tf.where(ended & improved, mean, self.best))
        self.mean.assign(mean)  # the first error of the next window replaces it
        self.count.assign(tf.where(ended, 0, count))
        self.stalls.assign(tf.where(lowers, 0, stalls))


class EpochCosine(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Falls along half a cosine, once an epoch: in epoch e = 1 ... E of E, `low + (base - low) (1 + cos(pi e / E)) / 2`.

    The last epoch has the lowest rate, and the first already less than `base`, as in the codes of MoCo and of
    ContrastLandmark.

    Args:
        base: Where the cosine begins.
        steps: Steps in all; E is as many epochs as they begin.
        steps_per_epoch: Steps of an epoch; 1: the rate falls in every step.
        least: What is left in the end, as a share of `base`.
    """

    def __init__(self, base: float, steps: int, steps_per_epoch: int = 1, least: float = 0.0):
        super().__init__()
        self._base, self._low = base, least * base
        self._steps_per_epoch, self._epochs = steps_per_epoch, -(-steps // steps_per_epoch)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The learning rate of a step, from 0 on."""
        epoch = tf.minimum(tf.cast(step, tf.int64) // self._steps_per_epoch + 1, self._epochs)
        share = tf.cast(epoch, tf.float64) / self._epochs
        rate = self._low + (self._base - self._low) * 0.5 * (1.0 + tf.cos(np.pi * share))
        return tf.cast(rate, tf.float32)


def _state(value: float | int) -> tf.Variable:
    # Every replica computes the same value from an error averaged over replicas.
    return tf.Variable(
        value, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
    )


def learning_rate(
    schedule: Schedule,
    base: float,
    steps: int,
    decay_rate: float = 1.0,
    decay_steps: int = 1,
    plateau_steps: int = 10_000,
    plateau_patience: int = 3,
    plateau_factor: float = 0.1,
    drops: Sequence[int] = (),
) -> LearningRate:
    """Makes a learning-rate schedule.

    Args:
        schedule: "constant"; "staircase": `base * decay_rate^floor(step / decay_steps)`; "cosine":
            from `base` to 0 over `steps`; "plateau": see `PlateauSchedule`; "steps": to a tenth at
            each of `drops`.
        base: Learning rate at the start.
        steps: Length of training.
        decay_rate: Factor of the staircase.
        decay_steps: Steps between two stairs.
        plateau_steps: Steps per window of the plateau schedule.
        plateau_patience: Windows without improvement before its rate falls.
        plateau_factor: What it is then multiplied by.
        drops: Steps from which the rate is a tenth of what it was.

    Returns:
        A number or a `LearningRateSchedule`.
    """
    if schedule == "cosine":
        return tf.keras.optimizers.schedules.CosineDecay(base, steps)
    if schedule == "staircase":
        return tf.keras.optimizers.schedules.ExponentialDecay(
            base, decay_steps, decay_rate, staircase=True
        )
    if schedule == "plateau":
        return PlateauSchedule(base, plateau_steps, plateau_patience, plateau_factor)
    if schedule == "steps" and drops:
        rates = [base * 0.1**fallen for fallen in range(len(drops) + 1)]
        # Keras keeps the old rate at a boundary itself.
        return tf.keras.optimizers.schedules.PiecewiseConstantDecay([d - 1 for d in drops], rates)
    if schedule in ("constant", "steps"):
        return base
    raise ValueError(
        f"schedule {schedule!r} is unknown; it is one of constant, staircase, cosine, plateau, steps"
    )
