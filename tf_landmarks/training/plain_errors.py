"""What TensorFlow's errors mean that end a training, in words for whoever started it."""

import contextlib
import gc
import traceback
from collections.abc import Iterator

import tensorflow as tf

from tf_landmarks.errors import UserError
from tf_landmarks.methods.base import NOT_FINITE, Model
from tf_landmarks.training import numerics, strategy
from tf_landmarks.training.preemption import WorkerLostError
from tf_landmarks.training.run_data import RunData


@contextlib.contextmanager
def of_step(model: Model, data: RunData) -> Iterator[None]:
    """Says what TensorFlow's errors mean that a step may end with."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if NOT_FINITE not in str(error):
            raise
        step = int(model.steps_done.numpy())
        reason = numerics.explain(model, *data.training_batch(model.stage, step))
        raise UserError(f"step {step + 1} failed: {reason}") from error
    except strategy.WORKER_ERRORS as error:
        _, count = strategy.worker()
        if count == 1:
            raise
        raise WorkerLostError(
            f"one of the {count} workers is gone ({str(error).splitlines()[0][:200]}); start all of "
            "them again with the same command, and they go on from the last checkpoint"
        ) from error


@contextlib.contextmanager
def of_data(data: RunData) -> Iterator[None]:
    """Says which files are bad where TensorFlow, whose pipeline met them, gives a traceback."""
    try:
        yield
    except BaseException as error:
        _end_pipelines(error)
        if isinstance(error, tf.errors.OpError):
            data.bad.check()
        raise


def _end_pipelines(error: BaseException) -> None:
    """Frees the iterators that an error's traceback holds, and so ends their threads.

    Else the process would hang: a Python that exits lets no thread in any more, and waits for the
    pipeline, whose threads wait to read an image in Python.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
    gc.collect()
