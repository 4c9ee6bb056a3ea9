"""Making the model that a run's options mean."""

import tensorflow as tf

from tf_landmarks import methods
from tf_landmarks.methods.base import ModelShape, TrainedModel
from tf_landmarks.options import RunOptions


def model_shape(run: RunOptions) -> ModelShape:
    """The part of a run's options that shapes its networks."""
    return ModelShape(run.image_size, run.num_landmarks, run.sync_batch_norm)


def make_model(run: RunOptions, options, for_training: bool = True) -> TrainedModel:
    """Makes the model of a run with its variables, in the number format that is set globally.

    Args:
        run: The run's options.
        options: The method's options.
        for_training: Whether it will compute losses, see `build_variables`.
    """
    model = methods.create(run.method, model_shape(run), options)
    model.build_variables(for_training)
    return model


def make_float32_model(run: RunOptions, options, for_training: bool = False) -> TrainedModel:
    """Makes the model in float32, as exports and evaluations use it; see `make_model`."""
    policy = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("float32")
    try:
        return make_model(run, options, for_training)
    finally:
        tf.keras.mixed_precision.set_global_policy(policy)
