"""Starting from the weights of another run, with as many landmarks as before or more.

FSE goes from 50 to 51 for AFLW (docs/fse.md, "Annotated points").
"""

import dataclasses
import os

from absl import logging

from tf_landmarks import flags, run_directory
from tf_landmarks.errors import UserError
from tf_landmarks.methods.base import TrainedModel
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


def load_weights(run: RunOptions, model: TrainedModel) -> None:
    """Puts the latest weights of `run.init_from` into a new model.

    Where the model has more landmarks, the first ones are those of the other run, and the rest stay as
    they were drawn. The step and the optimizer's state are not taken over.

    Args:
        run: The run's options, see `check`.
        model: The run's model with its variables.

    Raises:
        UserError: If the other run has no weights, or they are of other networks.
    """
    other, options = flags.read(os.path.join(run.init_from, run_directory.FLAGS))
    other = dataclasses.replace(other, sync_batch_norm=run.sync_batch_norm)
    source = models.make_float32_model(other, options)
    step = checkpoints.load_latest(
        os.path.join(run.init_from, run_directory.CHECKPOINTS), source, best=other.keep_best
    )
    more = run.num_landmarks - other.num_landmarks
    theirs, ours = source.network_variables, model.network_variables
    if len(theirs) != len(ours):
        raise _other_networks(run, f"{len(theirs)} variables, not {len(ours)}")
    for old, new in zip(theirs, ours, strict=True):
        if old.shape == new.shape:
            new.assign(old)
            continue
        same_rank = len(old.shape) == len(new.shape)
        growth = {b - a for a, b in zip(old.shape, new.shape, strict=False)}
        if not same_rank or more < 0 or growth - {0, more} or not model.can_grow:
            raise _other_networks(
                run, f"{new.name} is {list(old.shape)} there, {list(new.shape)} here"
            )
        values = new.numpy()
        values[tuple(slice(length) for length in old.shape)] = old.numpy()
        new.assign(values)
    logging.info("weights are those of %s at step %d", run.init_from, step)


def _other_networks(run: RunOptions, what: str) -> UserError:
    return UserError(
        f"--init_from={run.init_from} has other networks: {what}; take the same --image_size and options "
        "of the method, and as many --num_landmarks"
    )
