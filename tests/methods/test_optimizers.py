"""Optimizers from options: whatever a method has as defaults, its flags decide."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tf_landmarks.methods import MODELS, optimizers, schedules, training_step
from tf_landmarks.methods.optimizers import OptimizerOptions

pytestmark = pytest.mark.core


def rates(options: OptimizerOptions, *steps: int, length: int = 1000) -> list[float]:
    schedule = optimizers.learning_rate(options, length)
    return [float(schedule(step)) if callable(schedule) else schedule for step in steps]


def test_each_schedule_takes_its_options():
    found = rates(OptimizerOptions(learning_rate=0.5), 0, 999)
    np.testing.assert_allclose(found, [0.5, 0.5])
    stairs = OptimizerOptions(schedule="staircase", decay_rate=0.1, decay_steps=7)
    np.testing.assert_allclose(rates(stairs, 6, 7, 14), [1e-3, 1e-4, 1e-5], rtol=1e-5)
    np.testing.assert_allclose(rates(OptimizerOptions(schedule="cosine"), 500), [5e-4], rtol=1e-5)
    drops = OptimizerOptions(schedule="steps", learning_rate_step_1=10, learning_rate_step_2=20)
    np.testing.assert_allclose(rates(drops, 9, 10, 19, 20), [1e-3, 1e-4, 1e-4, 1e-5], rtol=1e-5)
    one = OptimizerOptions(schedule="steps", learning_rate_step_2=20)
    np.testing.assert_allclose(rates(one, 0, 19, 20), [1e-3, 1e-3, 1e-4], rtol=1e-5)
    assert rates(OptimizerOptions(schedule="steps"), 500) == [1e-3]


def test_the_plateau_takes_window_patience_and_factor():
    options = OptimizerOptions(
        schedule="plateau", plateau_steps=5, plateau_patience=2, plateau_factor=0.5
    )
    schedule = optimizers.learning_rate(options, 100)
    assert isinstance(schedule, schedules.PlateauSchedule)
    assert (schedule.window, schedule.patience, schedule.factor) == (5, 2, 0.5)


@pytest.mark.parametrize(
    ("clip", "own", "together"), [("none", None, None), ("variable", 1, None), ("global", None, 1)]
)
def test_adam_clips_as_it_is_told(clip, own, together):
    player = optimizers.player("model", OptimizerOptions(clip=clip), epsilon=1e-8)
    adam = player.optimizer(0.25)
    assert isinstance(adam, tf.keras.optimizers.Adam)
    assert (adam.clipnorm, adam.global_clipnorm) == (own, together)
    assert (float(adam.learning_rate), adam.epsilon) == (0.25, 1e-8)
    assert player.variables is None


def test_methods_state_their_published_defaults():
    found = {
        name: tuple(
            getattr(kind.options_class(), field)
            for field in ("learning_rate", "schedule", "clip", "plateau_steps", "plateau_factor")
        )
        for name, kind in MODELS.items()
        if issubclass(kind.options_class, OptimizerOptions)
    }
    assert found == {
        "imm": (1e-3, "staircase", "variable", 10_000, 0.1),
        "fse": (1e-4, "plateau", "none", 10_000, 0.1),
        "lmdis": (1e-3, "steps", "none", 10_000, 0.1),
        "dve": (1e-3, "constant", "none", 10_000, 0.1),
        "c3": (5e-4, "steps", "variable", 10_000, 0.1),
        "semisupervised": (2e-3, "cosine", "none", 10_000, 0.1),
        "generation": (1e-4, "plateau", "none", 2000, 0.5),
    }


def test_options_stay_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        OptimizerOptions().clip = "global"


def test_the_l2_penalty_is_in_the_gradient_before_the_step():
    weight = tf.Variable(1.0)
    sgd = tf.keras.optimizers.SGD(0.03, momentum=0.9)
    steps = [1.0]
    for _ in range(2):
        with tf.GradientTape() as tape:
            penalty = training_step.l2_penalty([weight], 1e-4)
        gradients = [tape.gradient(penalty, weight)]
        sgd.apply_gradients(zip(gradients, [weight], strict=True))
        steps.append(float(weight))
    first = 1.0 - 0.03 * 1e-4
    # The second step holds 0.9 of the first one: momentum sees the decay.
    second = first - 0.03 * 1e-4 * (0.9 + first)
    np.testing.assert_allclose(steps, [1.0, first, second], rtol=0, atol=6e-8)
