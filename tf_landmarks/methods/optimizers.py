"""Adam and how its learning rate falls, from options that methods have in common."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import tensorflow as tf

from tf_landmarks.methods import schedules
from tf_landmarks.methods.training_step import Player
from tf_landmarks.options import option

Clip = Literal["variable", "global", "none"]
_CLIPS = {"variable": {"clipnorm": 1.0}, "global": {"global_clipnorm": 1.0}, "none": {}}


@dataclasses.dataclass(frozen=True)
class OptimizerOptions:
    """Options of an optimizer; those of a method inherit them, and state other defaults where it has any."""

    learning_rate: float = option(1e-3, "Adam's learning rate at the start")
    schedule: schedules.Schedule = option(
        "constant",
        "how the learning rate falls; steps: to a tenth at each of learning_rate_step_1 and 2",
    )
    decay_rate: float = option(0.95, "factor of each stair of the staircase")
    decay_steps: int = option(100_000, "steps from stair to stair")
    plateau_steps: int = option(
        10_000, "steps per window over which the plateau schedule averages what it watches"
    )
    plateau_patience: int = option(
        3, "windows without improvement by 0.1 % before the plateau schedule lowers the rate"
    )
    plateau_factor: float = option(0.1, "what the plateau schedule multiplies the rate by")
    learning_rate_step_1: int = option(0, "first step of the schedule of steps; 0: none")
    learning_rate_step_2: int = option(0, "second step of the schedule of steps; 0: none")
    clip: Clip = option(
        "none", "what is clipped to norm 1: each variable's gradient, or all together"
    )


def player(
    name: str,
    options: OptimizerOptions,
    variables: Callable[[], list[tf.Variable]] | None = None,
    epsilon: float = 1e-7,
    amsgrad: bool = False,
) -> Player:
    """Makes a player that is trained by Adam.

    Args:
        name: See `Player`.
        options: Rate, schedule, clipping.
        variables: See `Player`.
        epsilon: Adam's; Keras' default is 1e-7.
        amsgrad: Whether Adam divides by the largest second moment so far (Reddi et al. 2018).
    """
    return Player(
        name,
        functools.partial(adam, options, epsilon=epsilon, amsgrad=amsgrad),
        functools.partial(learning_rate, options),
        variables,
    )


def adam(
    options: OptimizerOptions,
    rate: schedules.LearningRate,
    epsilon: float = 1e-7,
    amsgrad: bool = False,
) -> tf.keras.optimizers.Optimizer:
    """Makes Adam with the clipping of the options."""
    clips = _CLIPS[options.clip]
    return tf.keras.optimizers.Adam(rate, epsilon=epsilon, amsgrad=amsgrad, **clips)


def learning_rate(options: OptimizerOptions, steps: int) -> schedules.LearningRate:
    """Makes the schedule of the options, for a stage of `steps` steps."""
    drops = (options.learning_rate_step_1, options.learning_rate_step_2)
    return schedules.learning_rate(
        options.schedule,
        options.learning_rate,
        steps,
        options.decay_rate,
        options.decay_steps,
        options.plateau_steps,
        options.plateau_patience,
        options.plateau_factor,
        [step for step in drops if step],
    )
