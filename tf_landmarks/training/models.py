"""Making the model that a run's options mean, with what it is handed: frozen models, labelled images."""

import os
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from tf_landmarks import flags, methods, run_directory
from tf_landmarks.data import labelled_inputs
from tf_landmarks.errors import UserError
from tf_landmarks.layers import exported_points, pretrained
from tf_landmarks.layers.exported_points import ExportedPoints
from tf_landmarks.methods.base import Frozen, Model, ModelSpec
from tf_landmarks.options import RunOptions
from tf_landmarks.training import checkpoints


class LoadedRun(NamedTuple):
    """A run as it was left.

    Attributes:
        run: Its options.
        options: Those of its method.
        model: In float32, with the weights that an export would have.
        step: The step that these were saved at.
    """

    run: RunOptions
    options: object
    model: Model
    step: int


def model_spec(run: RunOptions) -> ModelSpec:
    """The part of a run's options that shapes its networks."""
    return ModelSpec(run.image_size, run.num_landmarks, run.sync_batch_norm, run.geometry)


def make_model(run: RunOptions, options, for_training: bool = True) -> Model:
    """Makes the model of a run with its variables, in the number format that is set globally.

    Args:
        run: The run's options.
        options: The method's options.
        for_training: Whether it will compute losses, see `build_variables`.

    Raises:
        UserError: If a frozen model that it needs cannot be loaded.
    """
    kind = methods.MODELS[run.method]
    frozen = {
        name: _load_frozen(needed, getattr(options, name), f"--{run.method}_{name}", run, options)
        for name, needed in _frozen_kinds(kind, options, for_training).items()
    }
    model = kind(model_spec(run), options, **({"frozen": frozen} if kind.frozen_kinds else {}))
    model.build_variables(for_training)
    return model


def make_float32_model(run: RunOptions, options, for_training: bool = False) -> Model:
    """Makes the model in float32, as exports and evaluations use it; see `make_model`."""
    policy = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("float32")
    try:
        return make_model(run, options, for_training)
    finally:
        tf.keras.mixed_precision.set_global_policy(policy)


def load_run(run_dir: str) -> LoadedRun:
    """Makes the model of a run directory and puts its latest weights in, or its best with `--keep_best`.

    Raises:
        UserError: If it is no run directory, or holds no checkpoint.
    """
    run, options = flags.read(os.path.join(run_dir, run_directory.FLAGS))
    model = make_float32_model(run, options)
    folder = os.path.join(run_dir, run_directory.CHECKPOINTS)
    step = checkpoints.load_latest(folder, model, best=run.keep_best)
    return LoadedRun(run, options, model, step)


def check_frozen(method: str, options) -> None:
    """Checks that the frozen models which training needs are there and of the right kind.

    Nothing of TensorFlow is touched yet: its devices are set up later.

    Raises:
        UserError: Naming the flag and what is wrong with it.
    """
    for name, frozen in _frozen_kinds(methods.MODELS[method], options, True).items():
        flag, place = f"--{method}_{name}", getattr(options, name)
        if issubclass(frozen.kind, Model):
            _read_kind(frozen, place, flag)
        elif frozen.kind is labelled_inputs.LabelledInputs:
            labelled_inputs.check(place, flag)
        elif frozen.kind is ExportedPoints:
            exported_points.check(place, flag)
        else:
            pretrained.check(place, flag)


def _frozen_kinds(kind: type[Model], options, for_training: bool) -> Mapping[str, Frozen]:
    """The frozen models to load: those that the options name, as far as they are needed."""
    return {
        name: frozen
        for name, frozen in kind.frozen_kinds.items()
        if getattr(options, name) and (for_training or not frozen.for_losses_only)
    }


def _load_frozen(frozen: Frozen, place: str, flag: str, run: RunOptions, options):
    if frozen.kind is labelled_inputs.LabelledInputs:
        return labelled_inputs.read(place, run.geometry, run.cropping)
    if frozen.kind is ExportedPoints:
        return ExportedPoints(place, flag, options.names.split(","), run.geometry)
    if not issubclass(frozen.kind, Model):
        return pretrained.load(place, flag)
    _read_kind(frozen, place, flag)
    try:
        return load_run(place).model
    except UserError as error:
        raise UserError(f"{flag}={place}: {error}") from error


def _read_kind(frozen: Frozen, run_dir: str, flag: str) -> None:
    """Checks that a directory holds a run of the right kind."""
    try:
        run, _ = flags.read(os.path.join(run_dir, run_directory.FLAGS))
    except UserError as error:
        raise UserError(f"{flag}={run_dir}: {error}") from error
    found = methods.MODELS[run.method]
    if not issubclass(found, frozen.kind):
        needed = [name for name, kind in methods.MODELS.items() if issubclass(kind, frozen.kind)]
        raise UserError(
            f"{flag}={run_dir}: it is a run of --method={run.method}; this takes one of {' or '.join(needed)}"
        )
