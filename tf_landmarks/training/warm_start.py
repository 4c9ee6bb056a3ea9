"""Starting from the weights of another run, with as many landmarks as before or more.

FSE goes from 50 to 51 for AFLW (docs/fse.md, "Annotated points").
"""

import os

import tensorflow as tf
from absl import logging

from tf_landmarks import flags, run_directory
from tf_landmarks.errors import UserError
from tf_landmarks.methods.base import Model
from tf_landmarks.options import RunOptions
from tf_landmarks.training import checkpoints, models


def check(run: RunOptions) -> None:
    """Checks that `--init_from` names a run of the same method.

    Raises:
        UserError: Naming the flag and what is wrong with it.
    """
    if not run.init_from:
        return
    try:
        source, _ = flags.read(os.path.join(run.init_from, run_directory.FLAGS))
    except UserError as error:
        raise UserError(f"--init_from={run.init_from}: {error}") from error
    if source.method != run.method:
        raise UserError(
            f"--init_from={run.init_from} is a run of --method={source.method}, and this is one of "
            f"{run.method}; weights do not carry over"
        )


def load_weights(run: RunOptions, model: Model) -> None:
    """Puts the latest weights of `run.init_from` into a new model, by their paths in its checkpoint.

    Where the model has more landmarks, the first ones are those of the other run, and the rest stay as
    they were drawn. What only losses need (running means, an opponent) and layers that a run may lack are taken over
    where both runs have them alike, so that one may go on with another loss. The step and the optimizers' state are not taken over.

    Args:
        run: The run's options, see `check`.
        model: The run's model with its variables.

    Raises:
        UserError: If the other run has no weights, or they are of other networks.
    """
    source = models.load_run(run.init_from)
    more = run.num_landmarks - source.run.num_landmarks
    old, new = (_lasting(each) for each in (source.model, model))
    if old.keys() != new.keys():
        (first, *_) = sorted(old.keys() ^ new.keys())
        raise _other_networks(run, f"{first} is there {'alone' if first in old else 'missing'}")
    for path, value in new.items():
        _take(run, path, old[path], value, more if getattr(model, "can_grow", False) else 0)
    logging.info("weights are those of %s at step %d", run.init_from, source.step)
    _take_layers(run.init_from, source.run.keep_best, model)


def _lasting(model: Model) -> dict[str, tf.Variable]:
    """The variables of networks that every run of the method has, by path."""
    return {
        path: value
        for path, value in model.network_variables.items()
        if path.split("/")[0] not in model.added_layers
    }


def _take_layers(run_dir: str, best: bool, model: Model) -> None:
    """Puts in what the other run has of what a run may lack, a layer at a time."""
    saved = checkpoints.latest_values(os.path.join(run_dir, run_directory.CHECKPOINTS), best)
    variables = {**model.loss_variables, **model.network_variables}
    for layer in (*model.loss_layers, *model.added_layers):
        own = {p: v for p, v in variables.items() if p.split("/")[0] == layer}
        if all(path in saved and saved[path].shape == value.shape for path, value in own.items()):
            for path, value in own.items():
                value.assign(saved[path])
        elif own:
            logging.info("%s begins anew: the other run has none, or another", layer)
            model.begin_layer(layer)


def _take(run: RunOptions, path: str, old: tf.Variable, new: tf.Variable, more: int) -> None:
    """Puts an old value into a variable, whose axes of landmarks may be longer by `more`."""
    if old.shape == new.shape:
        new.assign(old)
        return
    growth = {b - a for a, b in zip(old.shape, new.shape, strict=False)}
    if len(old.shape) != len(new.shape) or more <= 0 or growth - {0, more}:
        raise _other_networks(run, f"{path} is {list(old.shape)} there, {list(new.shape)} here")
    values = new.numpy()
    values[tuple(slice(length) for length in old.shape)] = old.numpy()
    new.assign(values)


def _other_networks(run: RunOptions, what: str) -> UserError:
    return UserError(
        f"--init_from={run.init_from} has other networks: {what}; take the same --image_size and options "
        "of the method, and as many --num_landmarks"
    )
